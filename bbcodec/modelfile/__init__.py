# SPDX-License-Identifier: Apache-2.0
"""Model files.

`modelfile` reads and writes whole ``.bbm`` files, `delta` writes a model as changes of a released one,
`registry` finds the model that a name, a path or a ``.bb`` file asks for.
"""

from __future__ import annotations

from bbcodec.modelfile.modelfile import (
    DELTA_MAGIC,
    MAGIC,
    SUFFIX,
    VERSION,
    Model,
    assemble,
    dump,
    layout,
    load,
    load_named,
    parse_header,
    released,
    split,
)

__all__ = [
    "DELTA_MAGIC",
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
