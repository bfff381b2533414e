# SPDX-License-Identifier: Apache-2.0
"""The classic method: planes of samples through lossless coders of well-kept libraries.

Here one array of samples becomes one self-describing payload (method byte + data) and back: WebP lossless of
Pillow, deflate and LZMA of the standard library, and a residual split for 16-bit samples. Which arrays a
picture consists of is `bbcodec.api`'s business, and learned models must not be known here.

Every encoder choice is made by fixed rules on sizes, never on time, so that the same samples give the same
bytes.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from bbcodec.container import Buffer, Reader, varint
from bbcodec.container.inflate import inflate
from bbcodec.errors import FormatError
from bbcodec.families.stats import GRAY, Lost
from bbcodec.jobs import parallel
from bbcodec.picture.pillow_limit import limited
from bbcodec.picture.raster import bands, steps
from bbcodec.picture.region import Place, Window

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

Samples = NDArray[Any]

WEBP, TILED, DEFLATE, LZMA, SPLIT16, LZMA_BITS, PAINTED = range(7)
METHODS = ("webp", "webp tiles", "deflate", "lzma", "split16", "lzma bits", "painted")
"""Names of the method bytes, for reports."""

_WEBP_SIDE = 16383  # pixels: VP8L has 14 bits for each side
_TILE_PIXELS = 2**23  # libwebp's encoder takes about 40 bytes a pixel
# Larger pictures are coded in tiles. It costs them little: VP8L looks back over 2^20 pixels at most.
_WHOLE_PIXELS = 2**24
_MEASURED_PIXELS = 2**20  # tiles of what is only measured
_SMALL_BYTES = 2**16  # up to here deflate and LZMA are tried too: WebP's tables weigh on tiny pictures
# LZMA is also tried on arrays of repeats up to 4 MiB (two seconds or so): below so many WebP bits a sample.
# It gains up to a quarter on palette indices, a tenth on screens, and nothing on photographs.
_LZMA_BYTES = 2**22
_LZMA_BELOW_GRAY, _LZMA_BELOW_COLOUR = 4.0, 2.0
_THOROUGH_PIXELS = 2**12  # up to here WebP's slowest effort takes a moment only
_LZMA_FILTERS: list[dict[str, int]] = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": _LZMA_BYTES,  # a rule of the format, and with it the memory that decoding takes
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]
_LZMA_RATIO = 2**14  # at best a 273-byte match takes about a quarter of a bit
_CROP = 256
# WebP's quickest effort takes a tenth of the time; it finds long repeats that the default may miss.
_QUICK = {"method": 0, "quality": 80}
_THOROUGH = {"method": 6, "quality": 100}


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
        return _encode16(np.ascontiguousarray(planes), threads)
    bilevel = samples.dtype == np.bool_
    if bilevel:
        planes = np.ascontiguousarray(planes).view(np.uint8) != 0
    planes = np.ascontiguousarray(planes, dtype=np.uint8)
    found = [_encode_webp(planes, threads)]
    if planes.nbytes <= _SMALL_BYTES:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        found.append(bytes([DEFLATE]) + squeeze.compress(planes.tobytes()) + squeeze.flush())
    below = _LZMA_BELOW_GRAY if planes.shape[2] == 1 else _LZMA_BELOW_COLOUR
    if bilevel and planes.nbytes <= 8 * _LZMA_BYTES:
        found.append(bytes([LZMA_BITS]) + _lzma(np.packbits(planes[:, :, 0], axis=1).tobytes()))
    elif planes.nbytes <= _SMALL_BYTES or (
        planes.nbytes <= _LZMA_BYTES and 8 * len(found[0]) < below * planes.nbytes
    ):
        found.append(bytes([LZMA]) + _lzma(planes.tobytes()))
    return min(found, key=len)


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
        Where the payload stands, for messages.
    window : Window, optional
        Only of pictures that were cut into tiles less than all is decoded.
    lost : dict, optional
        Of uint8 samples that were cut into tiles: which of them are damaged, see `bbcodec.jobs.Lost`.

    Raises
    ------
    FormatError
        The payload is damaged, or does not hold samples of that shape. What a payload says about its own size
        is compared with `shape` before anything of that size is allocated.
    """
    full = (*shape, 1) if len(shape) == 2 else shape
    dtype = np.dtype(dtype)
    reader = Reader(data, name, offset)
    if window is not None:
        if dtype == np.uint8 and len(data) and data[0] == TILED:
            reader.u8("method")
            part = _decode_tiles(reader, full, window)
        else:
            part = decode(data, full, dtype, name=name, offset=offset)[window.place]
        return part.reshape(window.height, window.width, *shape[2:])
    if dtype == np.uint16:
        return _decode16(reader, full).reshape(shape)
    if lost is not None and len(data) and data[0] == TILED:
        reader.u8("method")
        return _decode_tiles(reader, full, lost=lost).reshape(shape)
    planes = _decode8(reader, full, bits=dtype == np.bool_).reshape(shape)
    if dtype == np.bool_:
        if planes.max() > 1:
            raise reader.error(f"bilevel sample is {int(planes.max())}, expected 0 or 1")
        return planes.view(np.bool_)
    return planes


def pieces(data: Buffer, height: int, width: int) -> list[int]:
    """Return the bytes of the head and of each tile of a payload of tiles; of any other nothing.

    Raises
    ------
    FormatError
        The list of tiles is not sound.
    """
    reader = Reader(data, "classic")
    if reader.u8("method") != TILED:
        return []
    cols, rows = _grid_size(height, width, _TILE_PIXELS)
    if reader.left < 2 * cols * rows:
        raise reader.error(f"{reader.left} bytes cannot hold {cols * rows} tiles")
    sizes = [reader.varint(f"size of tile {i}") for i in range(cols * rows)]
    return [reader.offset, *sizes]


def tile_places(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of the tiles of a picture that is cut into tiles, in their order."""
    return _grid(height, width, _TILE_PIXELS)


def encode_painted(colours: NDArray[np.uint8], *, threads: int = 1) -> bytes:
    """Return the payload of a palette picture that is held as its colours ``[H, W, 3 or 4]``."""
    return bytes([PAINTED]) + _encode_webp(colours, threads)


def decode_painted(
    data: Buffer, shape: tuple[int, int, int], *, name: str = "classic", offset: int = 0
) -> NDArray[np.uint8]:
    """Return the colours ``[H, W, 3 or 4]`` of a payload of `encode_painted`; errors as of `decode`."""
    reader = Reader(data, name, offset)
    reader.u8("method")
    if reader.left and data[1] not in (WEBP, TILED):
        raise reader.error(f"painted with method {data[1]}, expected {WEBP} or {TILED}")
    return _decode8(reader, shape)


def webp_size(samples: Samples, *, quick: bool = False, threads: int = 1) -> int:
    """Return the size in bytes of an uint8 array as a WebP file of Pillow's default effort.

    Parameters
    ----------
    samples : ndarray
        Large arrays are measured as tiles, which takes less memory.
    quick : bool
        Take WebP's quickest effort, for an estimate: the default is up to a sixth smaller on photographs.
    threads : int
    """
    planes = samples[:, :, None] if samples.ndim == 2 else samples
    height, width = planes.shape[:2]
    effort = _QUICK if quick else {}
    if height * width > _MEASURED_PIXELS or max(height, width) > _WEBP_SIDE:
        tiles = _grid(height, width, _MEASURED_PIXELS)
        return sum(parallel(lambda at: len(_vp8l(planes[at], **effort)), tiles, threads))
    return 20 + len(_vp8l(planes, **effort))


# --- 8 bits -------------------------------------------------------------------------------------------------


def _decode8(reader: Reader, shape: tuple[int, ...], *, bits: bool = False) -> NDArray[np.uint8]:
    method = reader.u8("method")
    size = int(np.prod(shape, dtype=np.int64))
    if method == WEBP:
        stream = reader.rest()
        _check_vp8l(stream, shape[0], shape[1], reader)
        return _unvp8l(stream, shape, reader)
    if method == TILED:
        return _decode_tiles(reader, shape)
    if method == DEFLATE:
        raw = inflate(reader, size)
    elif method == LZMA:
        raw = _unlzma(reader, size)
    elif method == LZMA_BITS and bits:
        row = -(-shape[1] // 8)
        packed = np.frombuffer(_unlzma(reader, shape[0] * row), np.uint8).reshape(shape[0], row)
        return np.unpackbits(packed, axis=1, count=shape[1]).reshape(shape)
    else:
        raise reader.error(f"classic method is {method}, expected 0 to 3{', or 5' if bits else ''}")
    return np.frombuffer(raw, np.uint8).reshape(shape).copy()


def _lzma(raw: bytes) -> bytes:
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def _unlzma(reader: Reader, size: int) -> bytes:
    packed = reader.rest()
    if size > _LZMA_RATIO * len(packed):
        raise reader.error(f"{len(packed)} bytes of LZMA cannot hold {size} bytes")
    # FORMAT_RAW takes no memory limit: the fixed dictionary size of the filter chain is the limit.
    expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    try:
        raw = expand.decompress(packed, size + 1)
        if len(raw) == size and not expand.eof:
            raw += expand.decompress(b"", 1)  # reads the end mark
    except (lzma.LZMAError, EOFError) as error:
        raise reader.error(f"LZMA stream is damaged: {error}") from error
    if len(raw) != size or not expand.eof or expand.unused_data:
        raise reader.error(f"LZMA stream does not end after {size} bytes")
    return raw


def _grid_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Return columns and rows of tiles of so many pixels: for `_TILE_PIXELS` a rule of the format."""
    cols = -(-width // _WEBP_SIDE)
    return cols, -(-height // min(_WEBP_SIDE, max(1, pixels // -(-width // cols))))


def _grid(height: int, width: int, pixels: int) -> list[tuple[slice, slice]]:
    """Return the tiles in raster order; none is empty."""
    cols, rows = _grid_size(height, width, pixels)
    y, x = (height * np.arange(rows + 1) // rows).tolist(), (width * np.arange(cols + 1) // cols).tolist()
    return [(slice(*y[i : i + 2]), slice(*x[j : j + 2])) for i in range(rows) for j in range(cols)]


def _encode_webp(planes: NDArray[np.uint8], threads: int) -> bytes:
    height, width = planes.shape[:2]
    pixels = height * width
    if max(height, width) > _WEBP_SIDE or pixels > _WHOLE_PIXELS:
        tiles: list[bytes] = parallel(
            lambda at: _vp8l(planes[at]), _grid(height, width, _TILE_PIXELS), threads
        )
        return b"".join([bytes([TILED]), *(varint(len(tile)) for tile in tiles), *tiles])
    efforts = [{}, _QUICK, *([_THOROUGH] if pixels <= _THOROUGH_PIXELS else [])]
    # One after the other, for the memory's sake.
    streams: list[bytes] = parallel(lambda effort: _vp8l(planes, **effort), efforts, 1)
    return bytes([WEBP]) + min(streams, key=len)


def _decode_tiles(
    reader: Reader, shape: tuple[int, ...], window: Window | None = None, lost: Lost | None = None
) -> NDArray[np.uint8]:
    window = window or Window(0, 0, *shape[:2])
    cols, rows = _grid_size(shape[0], shape[1], _TILE_PIXELS)
    if reader.left < 2 * cols * rows:  # before millions of them are listed
        raise reader.error(f"{reader.left} bytes cannot hold {cols * rows} tiles")
    grid = _grid(shape[0], shape[1], _TILE_PIXELS)
    sizes = [reader.varint(f"size of tile {i}") for i in range(len(grid))]
    if lost is not None:
        return _decode_sound_tiles(reader, shape, grid, sizes, lost)
    streams = [reader.take(size, f"tile {i}") for i, size in enumerate(sizes)]
    reader.finish()
    for (y, x), stream in zip(grid, streams, strict=True):
        _check_vp8l(stream, y.stop - y.start, x.stop - x.start, reader)
    out = np.empty((window.height, window.width, shape[2]), np.uint8)
    for (y, x), stream in zip(grid, streams, strict=True):
        if met := window.meet((y, x)):
            tile = _unvp8l(stream, (y.stop - y.start, x.stop - x.start, shape[2]), reader)
            out[met[0]] = tile[met[1]]
    return out


def _decode_sound_tiles(
    reader: Reader, shape: tuple[int, ...], grid: list[Place], sizes: list[int], lost: Lost
) -> NDArray[np.uint8]:
    """Decode the tiles that can be decoded."""
    out = np.full(shape, GRAY, np.uint8)
    for number, ((y, x), size) in enumerate(zip(grid, sizes, strict=True)):
        stream = reader.take(min(size, reader.left), f"tile {number}")
        try:
            if number not in lost:
                down, across = y.stop - y.start, x.stop - x.start
                _check_vp8l(stream, down, across, reader)
                out[y, x] = _unvp8l(stream, (down, across, shape[2]), reader)
        except FormatError as error:
            lost[number] = str(error)
    return out


def _vp8l(planes: NDArray[np.uint8], **effort: int) -> bytes:
    """Return the VP8L stream of ``[H, W, C]`` samples, without the RIFF headers around it (20 bytes)."""
    out = io.BytesIO()
    _as_colours(planes).save(out, "WEBP", lossless=True, exact=True, **effort)
    riff = out.getvalue()
    at = 12
    while riff[at : at + 4] != b"VP8L":
        at += 8 + (struct.unpack_from("<I", riff, at + 4)[0] + 1 & ~1)
    (length,) = struct.unpack_from("<I", riff, at + 4)
    return riff[at + 8 : at + 8 + length]


def _as_colours(planes: NDArray[np.uint8]) -> Image.Image:
    """Return samples ``[H, W, C]`` as the RGB or RGBA image that WebP takes."""
    channels = planes.shape[2]
    if channels == 1:
        planes = np.repeat(planes, 3, axis=2)
    elif channels == 2:
        planes = np.concatenate([np.repeat(planes[:, :, :1], 3, axis=2), planes[:, :, 1:]], axis=2)
    mode = "RGBA" if channels in (2, 4) else "RGB"
    return Image.frombytes(mode, planes.shape[1::-1], np.ascontiguousarray(planes).data)


def _check_vp8l(stream: Buffer, height: int, width: int, reader: Reader) -> None:
    """Raise unless the VP8L stream says that it holds a picture of this size."""
    if len(stream) < 6 or stream[0] != 0x2F:
        raise reader.error("no VP8L signature 0x2f")
    (bits,) = struct.unpack_from("<I", stream, 1)
    found = ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if found != (height, width) or bits >> 29:
        raise reader.error(
            f"VP8L stream is {found[1]} x {found[0]}, version {bits >> 29}; expected {width} x "
            f"{height}, version 0"
        )


def _unvp8l(stream: Buffer, shape: tuple[int, ...], reader: Reader) -> NDArray[np.uint8]:
    body = b"VP8L" + struct.pack("<I", len(stream)) + bytes(stream) + b"\0" * (len(stream) & 1)
    riff = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    try:
        with limited(None):  # sizes have been checked, Pillow's own limit is not wanted
            image: Image.Image = WebPImagePlugin.WebPImageFile(io.BytesIO(riff))
        image = image.convert("RGBA" if shape[2] in (2, 4) else "RGB")
    except Exception as error:  # Pillow raises several kinds, of no common root, on damaged data
        raise reader.error(f"VP8L stream is damaged: {error}") from error
    if image.size != shape[1::-1]:
        raise reader.error(
            f"VP8L stream holds {image.width} x {image.height}, expected {shape[1]} x {shape[0]}"
        )
    channels = {1: [0], 2: [0, 3]}.get(shape[2], slice(None))
    out = np.empty(shape, np.uint8)
    for rows in bands(*shape[:2]):
        out[rows] = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))[:, :, channels]
    return out


# --- 16 bits
# ----------------------------------------------------------------------------------------------------------
# payload: method SPLIT16, transform byte, varint length of the high part, high part, low part (absent for
# SCALED). The parts are 8-bit payloads of the high and low bytes of the transformed samples.

_PREDICT, _COLOUR, _SCALED = 1, 2, 4


def _encode16(planes: NDArray[np.uint16], threads: int) -> bytes:
    height, width, channels = planes.shape
    # 8-bit samples times 257, the usual widening
    if all(np.array_equal(planes[r] >> 8, planes[r] & 255) for r in bands(height, width)):
        return _pack16(planes, _SCALED, threads)
    y, x = max(0, height - _CROP) // 2, max(0, width - _CROP) // 2
    crop = np.ascontiguousarray(planes[y : y + _CROP, x : x + _CROP])
    kinds = [0, _PREDICT, *((_COLOUR, _PREDICT | _COLOUR) if channels >= 3 else ())]
    tried = {kind: _pack16(crop, kind, threads) for kind in kinds}
    kind = min(kinds, key=lambda k: len(tried[k]))
    return tried[kind] if crop.shape == planes.shape else _pack16(planes, kind, threads)


def _pack16(planes: NDArray[np.uint16], kind: int, threads: int) -> bytes:
    high = encode(_byte(planes, kind, 8), threads=threads)
    low = b"" if kind & _SCALED else encode(_byte(planes, kind, 0), threads=threads)
    return bytes([SPLIT16, kind]) + varint(len(high)) + high + low


def _byte(planes: NDArray[np.uint16], kind: int, shift: int) -> NDArray[np.uint8]:
    """Return one byte of the transformed samples."""
    out = np.empty(planes.shape, np.uint8)
    for rows in bands(*planes.shape[:2]):
        above = planes[max(0, rows.start - 1) : rows.stop].copy()  # and the row before, to predict from
        if kind & _COLOUR:
            above[:, :, 0] -= above[:, :, 1]
            above[:, :, 2] -= above[:, :, 1]
        if kind & _PREDICT:
            above = _residual(above)
        out[rows] = above[-(rows.stop - rows.start) :] >> shift & 255
    return out


def _decode16(reader: Reader, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    method, kind = reader.u8("method"), reader.u8("transform")
    if method != SPLIT16 or kind > 4 or (kind & _COLOUR and shape[2] < 3):
        raise reader.error(
            f"method {method}, transform {kind}: expected {SPLIT16} and 0 to 4 that fit {shape[2]} channels"
        )
    size = reader.varint("size of high part")
    at = reader.offset
    planes = _decode8(Reader(reader.take(size, "high part"), "high part", at), shape).astype(np.uint16)
    planes <<= 8
    if kind & _SCALED:
        reader.finish()
        planes |= planes >> 8
        return planes
    planes |= _decode8(Reader(reader.rest(), "low part", at + size), shape)
    if kind & _PREDICT:
        _unresidual(planes)
    if kind & _COLOUR:
        planes[:, :, 0] += planes[:, :, 1]
        planes[:, :, 2] += planes[:, :, 1]
    return planes


def _residual(planes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return sample - MED(W, N, NW) mod 2^16, signs folded: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...

    MED is the predictor of JPEG-LS (ITU-T T.87), written as the median of W, N and W + N - NW; pixels outside
    are 0.
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
    low, high = np.minimum(w, n), np.maximum(w, n)
    # The median of three by cases, so that nothing leaves 16 bits: w + n - nw is only used where nw lies
    # between.
    return np.where(nw >= high, low, np.where(nw <= low, high, w + (n - nw)))
