# SPDX-License-Identifier: Apache-2.0
"""Model files.

`modelfile` reads and writes whole ``.bbm`` files, `delta` writes a model as changes of another one,
`registry` finds the model that a name, a path or a ``.bb`` file asks for.
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
