# SPDX-License-Identifier: Apache-2.0
"""Code samples of 16 bits as a transform and two planes of bytes.

Payload: method `SPLIT16`, transform byte, varint length of the high part, high part, low part (absent for
`_SCALED`). The parts are 8-bit payloads of the high and low bytes of the transformed samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic.codes import SPLIT16
from bbcodec.classic.samples8 import decode8, encode8
from bbcodec.container import Reader, varint
from bbcodec.picture.raster import bands, steps

_CROP_SIDE = 256  # pixels; the transforms are compared on a crop
_PREDICT, _COLOUR, _SCALED = 1, 2, 4


def encode16(planes: NDArray[np.uint16], threads: int) -> bytes:
    """Return the payload of samples ``[H, W, C]``."""
    height, width, channels = planes.shape
    # 8-bit samples times 257, the common conversion to 16 bits
    if all(np.array_equal(planes[r] >> 8, planes[r] & 255) for r in bands(height, width)):
        return _pack16(planes, _SCALED, threads)
    y, x = max(0, height - _CROP_SIDE) // 2, max(0, width - _CROP_SIDE) // 2
    crop = np.ascontiguousarray(planes[y : y + _CROP_SIDE, x : x + _CROP_SIDE])
    kinds = [0, _PREDICT, *((_COLOUR, _PREDICT | _COLOUR) if channels >= 3 else ())]
    tried = {kind: _pack16(crop, kind, threads) for kind in kinds}
    kind = min(kinds, key=lambda k: len(tried[k]))
    return tried[kind] if crop.shape == planes.shape else _pack16(planes, kind, threads)


def _pack16(planes: NDArray[np.uint16], kind: int, threads: int) -> bytes:
    high = encode8(_byte(planes, kind, 8), threads)
    low = b"" if kind & _SCALED else encode8(_byte(planes, kind, 0), threads)
    return bytes([SPLIT16, kind]) + varint(len(high)) + high + low


def _byte(planes: NDArray[np.uint16], kind: int, shift: int) -> NDArray[np.uint8]:
    """Return one byte of each transformed sample: the high one for a `shift` of 8, the low one for 0."""
    out = np.empty(planes.shape, np.uint8)
    for rows in bands(*planes.shape[:2]):
        above = planes[max(0, rows.start - 1) : rows.stop].copy()  # with the row above, for prediction
        if kind & _COLOUR:
            above[:, :, 0] -= above[:, :, 1]
            above[:, :, 2] -= above[:, :, 1]
        if kind & _PREDICT:
            above = _residual(above)
        out[rows] = above[-(rows.stop - rows.start) :] >> shift & 255
    return out


def decode16(reader: Reader, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return the samples ``[H, W, C]`` of a payload.

    Raises
    ------
    FormatError
        The payload is damaged, or does not hold samples of that shape.
    """
    method, kind = reader.u8("method"), reader.u8("transform")
    if method != SPLIT16 or kind > 4 or (kind & _COLOUR and shape[2] < 3):
        raise reader.error(
            f"method {method}, transform {kind}: expected {SPLIT16} and 0 to 4 that fit {shape[2]} channels"
        )
    size = reader.varint("size of high part")
    at = reader.offset
    planes = decode8(Reader(reader.take(size, "high part"), "high part", at), shape).astype(np.uint16)
    planes <<= 8
    if kind & _SCALED:
        reader.finish()
        planes |= planes >> 8
        return planes
    planes |= decode8(Reader(reader.rest(), "low part", at + size), shape)
    if kind & _PREDICT:
        _unresidual(planes)
    if kind & _COLOUR:
        planes[:, :, 0] += planes[:, :, 1]
        planes[:, :, 2] += planes[:, :, 1]
    return planes


def _residual(planes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the residuals, sample - MED(W, N, NW) mod 2^16, folded: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...

    MED is the predictor of JPEG-LS (ITU-T T.87), the median of W, N and W + N - NW. Pixels outside are 0.
    """
    padded = np.pad(planes, ((1, 0), (1, 0), (0, 0)))
    diff = planes - _med(padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1])
    signs = np.negative(diff >> 15)
    folded: NDArray[np.uint16] = (diff << 1) ^ signs
    return folded


def _unresidual(planes: NDArray[np.uint16]) -> None:
    """Undo `_residual` in place."""
    height, width, channels = planes.shape
    above = np.zeros((width, channels), np.uint16)
    for rows in bands(height, width, deep=True):
        folded = planes[rows]
        out = np.zeros((len(folded) + 1, width + 1, channels), np.uint16)
        out[0, 1:] = above
        out[1:, 1:] = (folded >> 1) ^ (np.uint16(0) - (folded & 1))
        flat = out.reshape(-1, channels)
        for step in steps(len(folded), width):
            flat[step.pixel] += _med(flat[step.left], flat[step.up], flat[step.up_left])
        planes[rows] = out[1:, 1:]
        above = out[-1, 1:]


def _med(w: NDArray[np.uint16], n: NDArray[np.uint16], nw: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the median of W, N and W + N - NW."""
    low, high = np.minimum(w, n), np.maximum(w, n)
    # By cases, so that nothing leaves 16 bits: w + n - nw is used only if nw lies between w and n.
    return np.where(nw >= high, low, np.where(nw <= low, high, w + (n - nw)))
