# SPDX-License-Identifier: Apache-2.0
"""The ``.bb`` container: header, sections, limits, and a reader that checks every byte.

`container` reads and writes files of sections. `model_id` reads how they name models. `inflate` expands
deflate streams within a limit. `recovery` repairs lost sectors of a file, with the code of `erasure`.
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
    parse_header,
    read,
    read_header,
    varint,
    write,
)
from bbcodec.container.model_id import (
    MODEL_ID_SIZE,
    SHORT_MODEL_ID_SIZE,
    is_model_size,
    model_id_of,
    same_model,
    short_id,
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
    "SHORT_MODEL_ID_SIZE",
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
    "is_model_size",
    "model_id_of",
    "parse_header",
    "read",
    "read_header",
    "same_model",
    "short_id",
    "varint",
    "write",
]
