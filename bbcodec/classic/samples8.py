# SPDX-License-Identifier: Apache-2.0
"""Code samples of 8 bits and of 1 bit with the smallest of WebP, LZMA and deflate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import generic, webp
from bbcodec.classic.codes import DEFLATE, LZMA, LZMA_BITS, TILED, WEBP
from bbcodec.container import Reader
from bbcodec.container.inflate import inflate

_SMALL_BYTES = 2**16  # up to this size deflate and LZMA are tried too: WebP has large tables
# Larger arrays, up to LZMA's dictionary size (about two seconds), are also coded with LZMA if WebP needs
# fewer bits a sample than this. LZMA gains up to a quarter on palette indices, a tenth on screens, and
# nothing on photographs.
_LZMA_BELOW_WEBP_BITS_GRAY, _LZMA_BELOW_WEBP_BITS_COLOUR = 4.0, 2.0


def encode8(planes: NDArray[Any], threads: int = 1) -> bytes:
    """Return the payload of bool or uint8 samples ``[H, W, C]``."""
    bilevel = planes.dtype == np.bool_
    if bilevel:
        planes = np.ascontiguousarray(planes).view(np.uint8) != 0
    planes = np.ascontiguousarray(planes, dtype=np.uint8)
    found = [webp.encode(planes, threads)]
    if planes.nbytes <= _SMALL_BYTES:
        found.append(bytes([DEFLATE]) + generic.deflate(planes.tobytes()))
    below = _LZMA_BELOW_WEBP_BITS_GRAY if planes.shape[2] == 1 else _LZMA_BELOW_WEBP_BITS_COLOUR
    if bilevel and planes.nbytes <= 8 * generic.LZMA_DICTIONARY_BYTES:
        found.append(
            bytes([LZMA_BITS]) + generic.compress_lzma(np.packbits(planes[:, :, 0], axis=1).tobytes())
        )
    elif planes.nbytes <= _SMALL_BYTES or (
        planes.nbytes <= generic.LZMA_DICTIONARY_BYTES and 8 * len(found[0]) < below * planes.nbytes
    ):
        found.append(bytes([LZMA]) + generic.compress_lzma(planes.tobytes()))
    return min(found, key=len)


def decode8(reader: Reader, shape: tuple[int, ...], *, bits: bool = False) -> NDArray[np.uint8]:
    """Return the uint8 samples ``[H, W, C]`` of a payload; `bits` allows the method of bilevel samples.

    Raises
    ------
    FormatError
        The payload is damaged, or does not hold samples of that shape.
    """
    method = reader.u8("method")
    size = int(np.prod(shape, dtype=np.int64))
    if method == WEBP:
        stream = reader.rest()
        webp.check_stream(stream, shape[0], shape[1], reader)
        return webp.decode_stream(stream, shape, reader)
    if method == TILED:
        return webp.decode_tiles(reader, shape)
    if method == DEFLATE:
        raw = inflate(reader, size)
    elif method == LZMA:
        raw = generic.expand_lzma(reader, size)
    elif method == LZMA_BITS and bits:
        row = -(-shape[1] // 8)
        packed = np.frombuffer(generic.expand_lzma(reader, shape[0] * row), np.uint8).reshape(shape[0], row)
        return np.unpackbits(packed, axis=1, count=shape[1]).reshape(shape)
    else:
        raise reader.error(f"classic method is {method}, expected 0 to 3{', or 5' if bits else ''}")
    return np.frombuffer(raw, np.uint8).reshape(shape).copy()
