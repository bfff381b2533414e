# SPDX-License-Identifier: Apache-2.0
"""Code samples with Pillow's lossless WebP: one stream for a picture, or one for each tile of a large one."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from bbcodec.classic.codes import TILED, WEBP
from bbcodec.container import Buffer, Reader, varint
from bbcodec.errors import FormatError
from bbcodec.jobs import parallel
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.pillow_limit import limited
from bbcodec.picture.raster import bands
from bbcodec.picture.region import Place, Window

MAX_SIDE = 16383  # pixels: VP8L has 14 bits for each side
TILE_PIXELS = 2**23  # pixels of a tile; libwebp's encoder takes about 40 bytes a pixel
# Larger pictures are coded in tiles. Tiles cost little: VP8L looks back over at most 2^20 pixels.
MAX_WHOLE_PIXELS = 2**24
MEASURED_TILE_PIXELS = 2**20  # pixels of a tile if only the size is measured
MAX_THOROUGH_PIXELS = 2**12  # up to this size WebP's slowest effort takes little time
# WebP's quickest effort takes a tenth of the time. It finds long repeats that the default may miss.
_QUICK = {"method": 0, "quality": 80}
_THOROUGH = {"method": 6, "quality": 100}


def pieces(data: Buffer, height: int, width: int) -> list[int]:
    """Return the bytes of the head and of each tile of a payload; empty if it has no tiles.

    Raises
    ------
    FormatError
        The list of tiles is damaged.
    """
    reader = Reader(data, "classic")
    if reader.u8("method") != TILED:
        return []
    cols, rows = _grid_size(height, width, TILE_PIXELS)
    if reader.left < 2 * cols * rows:
        raise reader.error(f"{reader.left} bytes cannot hold {cols * rows} tiles")
    sizes = [reader.varint(f"size of tile {i}") for i in range(cols * rows)]
    return [reader.offset, *sizes]


def tile_places(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of each tile of a picture that is coded in tiles, in file order."""
    return _grid(height, width, TILE_PIXELS)


def webp_size(samples: NDArray[Any], *, quick: bool = False, threads: int = 1) -> int:
    """Return the bytes of a uint8 array as a WebP file of Pillow's default effort.

    Parameters
    ----------
    samples : ndarray
        Large arrays are measured as tiles, which takes less memory.
    quick : bool
        Use WebP's quickest effort, as an estimate: the default is up to a sixth smaller on photographs.
    threads : int
    """
    planes = samples[:, :, None] if samples.ndim == 2 else samples
    height, width = planes.shape[:2]
    effort = _QUICK if quick else {}
    if height * width > MEASURED_TILE_PIXELS or max(height, width) > MAX_SIDE:
        tiles = _grid(height, width, MEASURED_TILE_PIXELS)
        return sum(parallel(lambda at: len(encode_stream(planes[at], **effort)), tiles, threads))
    return 20 + len(encode_stream(planes, **effort))


def _grid_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Return the columns and rows of tiles of so many pixels. With `TILE_PIXELS` it is part of the format."""
    cols = -(-width // MAX_SIDE)
    return cols, -(-height // min(MAX_SIDE, max(1, pixels // -(-width // cols))))


def _grid(height: int, width: int, pixels: int) -> list[tuple[slice, slice]]:
    """Return the tiles in raster order; none is empty."""
    cols, rows = _grid_size(height, width, pixels)
    y, x = (height * np.arange(rows + 1) // rows).tolist(), (width * np.arange(cols + 1) // cols).tolist()
    return [(slice(*y[i : i + 2]), slice(*x[j : j + 2])) for i in range(rows) for j in range(cols)]


def encode(planes: NDArray[np.uint8], threads: int) -> bytes:
    """Return the payload of uint8 samples ``[H, W, C]``: one stream, or tiles."""
    height, width = planes.shape[:2]
    pixels = height * width
    if max(height, width) > MAX_SIDE or pixels > MAX_WHOLE_PIXELS:
        tiles: list[bytes] = parallel(
            lambda at: encode_stream(planes[at]), _grid(height, width, TILE_PIXELS), threads
        )
        return b"".join([bytes([TILED]), *(varint(len(tile)) for tile in tiles), *tiles])
    efforts = [{}, _QUICK, *([_THOROUGH] if pixels <= MAX_THOROUGH_PIXELS else [])]
    # One after the other, to save memory.
    streams: list[bytes] = parallel(lambda effort: encode_stream(planes, **effort), efforts, 1)
    return bytes([WEBP]) + min(streams, key=len)


def decode_tiles(
    reader: Reader, shape: tuple[int, ...], window: Window | None = None, lost: Lost | None = None
) -> NDArray[np.uint8]:
    """Return the samples ``[H, W, C]`` of a payload of tiles, or a window of them.

    With `lost`, damaged tiles are gray and are added to it.

    Raises
    ------
    FormatError
        The list of tiles, or without `lost` a tile, is damaged.
    """
    window = window or Window(0, 0, *shape[:2])
    cols, rows = _grid_size(shape[0], shape[1], TILE_PIXELS)
    if reader.left < 2 * cols * rows:  # before millions of sizes are read
        raise reader.error(f"{reader.left} bytes cannot hold {cols * rows} tiles")
    grid = _grid(shape[0], shape[1], TILE_PIXELS)
    sizes = [reader.varint(f"size of tile {i}") for i in range(len(grid))]
    if lost is not None:
        return _decode_intact_tiles(reader, shape, grid, sizes, lost)
    streams = [reader.take(size, f"tile {i}") for i, size in enumerate(sizes)]
    reader.finish()
    for (y, x), stream in zip(grid, streams, strict=True):
        check_stream(stream, y.stop - y.start, x.stop - x.start, reader)
    out = np.empty((window.height, window.width, shape[2]), np.uint8)
    for (y, x), stream in zip(grid, streams, strict=True):
        if met := window.meet((y, x)):
            tile = decode_stream(stream, (y.stop - y.start, x.stop - x.start, shape[2]), reader)
            out[met[0]] = tile[met[1]]
    return out


def _decode_intact_tiles(
    reader: Reader, shape: tuple[int, ...], grid: list[Place], sizes: list[int], lost: Lost
) -> NDArray[np.uint8]:
    """Decode the tiles that are not lost; add those that fail to `lost`."""
    out = np.empty(shape, np.uint8)  # not filled: no memory is taken before a tile is decoded
    for number, ((y, x), size) in enumerate(zip(grid, sizes, strict=True)):
        stream = reader.take(min(size, reader.left), f"tile {number}")
        try:
            if number not in lost:
                down, across = y.stop - y.start, x.stop - x.start
                check_stream(stream, down, across, reader)
                out[y, x] = decode_stream(stream, (down, across, shape[2]), reader)
        except FormatError as error:
            lost[number] = str(error)
    if len(lost) == len(grid):
        return np.broadcast_to(np.uint8(GRAY), shape)  # takes no memory
    for number in lost:
        out[grid[number]] = GRAY
    return out


def encode_stream(planes: NDArray[np.uint8], **effort: int) -> bytes:
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
    return Image.frombytes(mode, planes.shape[1::-1], np.ascontiguousarray(planes))


def check_stream(stream: Buffer, height: int, width: int, reader: Reader) -> None:
    """Raise `FormatError` unless the header of a VP8L stream has this size."""
    if len(stream) < 6 or stream[0] != 0x2F:
        raise reader.error("no VP8L signature 0x2f")
    (bits,) = struct.unpack_from("<I", stream, 1)
    found = ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if found != (height, width) or bits >> 29:
        raise reader.error(
            f"VP8L stream is {found[1]} x {found[0]}, version {bits >> 29}; expected {width} x "
            f"{height}, version 0"
        )


def decode_stream(stream: Buffer, shape: tuple[int, ...], reader: Reader) -> NDArray[np.uint8]:
    """Return the samples ``[H, W, C]`` of a VP8L stream; raise `FormatError` if it is damaged."""
    body = b"VP8L" + struct.pack("<I", len(stream)) + bytes(stream) + b"\0" * (len(stream) & 1)
    riff = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    try:
        with limited(None):  # sizes are checked, Pillow's limit is not needed
            image: Image.Image = WebPImagePlugin.WebPImageFile(io.BytesIO(riff))
        image = image.convert("RGBA" if shape[2] in (2, 4) else "RGB")
    except Exception as error:  # Pillow raises several unrelated types on damaged data
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
