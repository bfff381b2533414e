# SPDX-License-Identifier: Apache-2.0
"""Encode one array of samples as a payload of the classic method, and decode it.

A payload is a method byte and data. The encoder chooses by sizes, never by time, so that the same samples
give the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import webp
from bbcodec.classic.codes import PAINTED, TILED, WEBP
from bbcodec.classic.samples8 import decode8, encode8
from bbcodec.classic.split16 import decode16, encode16
from bbcodec.container import Buffer, Reader
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Window

__all__ = ["decode", "decode_painted", "encode", "encode_painted"]

Samples = NDArray[Any]


def encode(samples: Samples, *, threads: int = 1) -> bytes:
    """Return the payload of an array of samples.

    Parameters
    ----------
    samples : ndarray
        bool, uint8 or uint16, ``[H, W]`` or ``[H, W, C]`` with C = 1..4.
    threads : int
        Threads for the tiles of large arrays; the bytes do not depend on it.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> (decode(encode(x), x.shape, x.dtype) == x).all()
    np.True_
    """
    planes = samples[:, :, None] if samples.ndim == 2 else samples
    if samples.dtype == np.uint16:
        return encode16(np.ascontiguousarray(planes), threads)
    return encode8(planes, threads)


def decode(
    data: Buffer,
    shape: tuple[int, ...],
    dtype: Any,
    *,
    name: str = "classic",
    offset: int = 0,
    window: Window | None = None,
    lost: Lost | None = None,
) -> Samples:
    """Return the samples of a payload, or a window of them.

    Parameters
    ----------
    data : bytes-like
    shape : tuple of int
        ``[H, W]`` or ``[H, W, C]``.
    dtype : bool, uint8 or uint16
    name, offset
        Section and offset of the payload, for messages.
    window : Window, optional
        Part to return. Only for payloads with tiles this saves decoding the rest.
    lost : dict, optional
        Damaged tiles of uint8 samples, which are not decoded; tiles found to be damaged are added. See
        `bbcodec.picture.loss.Lost`.

    Raises
    ------
    FormatError
        The payload is damaged, or does not hold samples of that shape. Sizes in the payload are compared with
        `shape` before anything of that size is allocated.
    """
    full = (*shape, 1) if len(shape) == 2 else shape
    dtype = np.dtype(dtype)
    reader = Reader(data, name, offset)
    if window is not None:
        if dtype == np.uint8 and len(data) and data[0] == TILED:
            reader.u8("method")
            part = webp.decode_tiles(reader, full, window)
        else:
            part = decode(data, full, dtype, name=name, offset=offset)[window.place]
        return part.reshape(window.height, window.width, *shape[2:])
    if dtype == np.uint16:
        return decode16(reader, full).reshape(shape)
    if lost is not None and len(data) and data[0] == TILED:
        reader.u8("method")
        return webp.decode_tiles(reader, full, lost=lost).reshape(shape)
    planes = decode8(reader, full, bits=dtype == np.bool_).reshape(shape)
    if dtype == np.bool_:
        if planes.max() > 1:
            raise reader.error(f"bilevel sample is {int(planes.max())}, expected 0 or 1")
        return planes.view(np.bool_)
    return planes


def encode_painted(colours: NDArray[np.uint8], *, threads: int = 1) -> bytes:
    """Return the payload of the colours ``[H, W, 3 or 4]`` of a palette picture."""
    return bytes([PAINTED]) + webp.encode(colours, threads)


def decode_painted(
    data: Buffer, shape: tuple[int, int, int], *, name: str = "classic", offset: int = 0
) -> NDArray[np.uint8]:
    """Return the colours ``[H, W, 3 or 4]`` of a payload of `encode_painted`.

    Raises
    ------
    FormatError
        As for `decode`.
    """
    reader = Reader(data, name, offset)
    reader.u8("method")
    if reader.left and data[1] not in (WEBP, TILED):
        raise reader.error(f"the method of the colours is {data[1]}, expected {WEBP} or {TILED}")
    return decode8(reader, shape)
