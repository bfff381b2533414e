# SPDX-License-Identifier: Apache-2.0
"""The ``.bb`` container: header, sections, limits, and a reader that checks every byte.

`container` reads and writes files of sections. `inflate` expands deflate streams within a limit. `recovery`
repairs lost sectors of a file, with the code of `erasure`.
`bbcodec.bbfile` defines what the sections mean.
"""

from __future__ import annotations

from bbcodec.container.container import (
    CHAINS,
    CLASSIC,
    CRITICAL,
    END,
    FITTED,
    MAGIC,
    MAX_PIXELS,
    MAX_SECTIONS,
    MODEL,
    MODEL_ID_SIZE,
    PALETTE,
    RECOVERY,
    SUMS,
    VERSION,
    VERSION_RECOVERY,
    VERSION_SUMS,
    Buffer,
    Container,
    Header,
    Limits,
    Reader,
    Section,
    model_id_of,
    parse_header,
    read,
    read_header,
    varint,
    write,
)

__all__ = [
    "CHAINS",
    "CLASSIC",
    "CRITICAL",
    "END",
    "FITTED",
    "MAGIC",
    "MAX_PIXELS",
    "MAX_SECTIONS",
    "MODEL",
    "MODEL_ID_SIZE",
    "PALETTE",
    "RECOVERY",
    "SUMS",
    "VERSION",
    "VERSION_RECOVERY",
    "VERSION_SUMS",
    "Buffer",
    "Container",
    "Header",
    "Limits",
    "Reader",
    "Section",
    "model_id_of",
    "parse_header",
    "read",
    "read_header",
    "varint",
    "write",
]
