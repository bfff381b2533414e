# SPDX-License-Identifier: Apache-2.0
"""The classic method: code planes of samples with the lossless coders of maintained libraries.

`payload` chooses, `samples8` and `split16` code samples of 8 and 16 bits, and `webp` and `generic` are the
coders. `bbcodec.bbfile` splits pictures into arrays. Nothing here uses a model.
"""

from __future__ import annotations

from bbcodec.classic.codes import METHODS, PAINTED, TILED
from bbcodec.classic.payload import decode, decode_painted, encode, encode_painted
from bbcodec.classic.webp import pieces, tile_places, webp_size

__all__ = [
    "METHODS",
    "PAINTED",
    "TILED",
    "decode",
    "decode_painted",
    "encode",
    "encode_painted",
    "pieces",
    "tile_places",
    "webp_size",
]
