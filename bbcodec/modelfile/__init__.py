# SPDX-License-Identifier: Apache-2.0
"""Read, write and find model files.

`modelfile` reads and writes whole ``.bbm`` files. `delta` stores a model as changes of another model.
`registry` finds a model by name, id or path, or for a ``.bb`` file.
"""

from __future__ import annotations

from bbcodec.modelfile.modelfile import (
    MAGIC,
    VERSION,
    Model,
    assemble,
    dump,
    layout,
    parse_header,
    split,
)
from bbcodec.modelfile.registry import SUFFIX, load, load_named, released

__all__ = [
    "MAGIC",
    "SUFFIX",
    "VERSION",
    "Model",
    "assemble",
    "dump",
    "layout",
    "load",
    "load_named",
    "parse_header",
    "released",
    "split",
]
