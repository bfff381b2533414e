# SPDX-License-Identifier: Apache-2.0
"""PNG files: `files` reads and writes them; `chunks` finds, checks and packs their parts.

`samples` codes samples without Pillow, and `metadata` keeps the ancillary chunks.
"""

from __future__ import annotations

from bbcodec.picture.formats.png.files import DEPTH, FORMAT, MODES_HELD, read, read_again, write

__all__ = ["DEPTH", "FORMAT", "MODES_HELD", "read", "read_again", "write"]
