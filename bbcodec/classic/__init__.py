# SPDX-License-Identifier: Apache-2.0
"""The classic method: planes of samples through lossless coders of well-kept libraries.

`payload` chooses, `samples8` and `split16` code samples of 8 and 16 bits, `webp` and `generic` are the
coders. Which arrays a picture consists of is decided in `bbcodec.bbfile`; no model is known here.
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
