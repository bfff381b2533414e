# SPDX-License-Identifier: Apache-2.0
"""TIFF files: `reader` and `second_reader` read them in two ways, `writer` writes them.

`layout` says which samples have a place here, `samples` decodes them with `codecs`, `fax` and
`pillow_strips`, and `metadata` keeps the other tags. `tags` packs and unpacks tags, `numbers` names them.
"""

from __future__ import annotations

from bbcodec.picture.formats.tiff.metadata import (
    COLOUR_MAP,
    DEPTH,
    FORMAT,
    exif_tree,
    holds_density,
    said_by_fields,
)
from bbcodec.picture.formats.tiff.reader import read
from bbcodec.picture.formats.tiff.second_reader import read_again
from bbcodec.picture.formats.tiff.writer import MODES_HELD, write

__all__ = [
    "COLOUR_MAP",
    "DEPTH",
    "FORMAT",
    "MODES_HELD",
    "exif_tree",
    "holds_density",
    "read",
    "read_again",
    "said_by_fields",
    "write",
]
