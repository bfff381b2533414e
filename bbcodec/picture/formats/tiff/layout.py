# SPDX-License-Identifier: Apache-2.0
"""How a TIFF file stores its samples: what its tags mean, checked, or refused by name.

What is not here is kept as it is by `bbcodec.picture.formats.tiff.metadata`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError, LimitError, UnsupportedImageError
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.tags import Directory, Order, TiffFile, ints
from bbcodec.picture.picture import MODES

__all__ = ["Chunk", "Layout", "layout_of"]

_MODES: Final = {
    (1, 1, False): "1",
    **dict.fromkeys(((1, 2, False), (1, 4, False), (1, 8, False)), "L"),
    (1, 16, False): "I;16",
    (1, 8, True): "LA",
    (1, 16, True): "LA;16",
    (3, 8, False): "RGB",
    (3, 16, False): "RGB;16",
    (3, 8, True): "RGBA",
    (3, 16, True): "RGBA;16",
}
_ARRAY: Final = "load it with tifffile, and give the array to bbcodec.compress()"
# Bytes that a stored byte can give at most; LZW has codes of 12 bits for strings of less than 4096 bytes.
_MAX_RATIOS: Final = {of.DEFLATE: 1032, of.OLD_DEFLATE: 1032, of.PACK_BITS: 64, of.LZW: 2732}
_MIN_TILE_PIXELS: Final = 64  # TIFF 6.0 wants sides of 16 or more, and not all writers heed it
_FREE_TILE_PIXELS: Final = 2**22  # a tile may be larger than the picture, and than its limit


@dataclass(frozen=True)
class Chunk:
    """A strip or tile: where its data are, and which samples of the picture it holds.

    Parameters
    ----------
    start, size : bytes in the file.
    rows : the rows that are stored in it.
    top, left : of its first sample in the picture.
    plane : the channel that it holds, or None if it holds all.
    """

    start: int
    size: int
    rows: int
    top: int
    left: int
    plane: int | None


@dataclass(frozen=True)
class Layout:
    """How the samples of a picture are stored.

    Parameters
    ----------
    mode : of the picture, a key of `MODES`.
    height, width, bits, channels, photometric, compression, predictor, fill_order : as of the tags.
    order : of the bytes of a sample.
    is_planar : whether each channel has its own strips or tiles.
    is_associated : whether colours are multiplied with alpha.
    is_undefined : whether the format of the samples is called undefined; they are read as whole numbers.
    chunk_height, chunk_width : of a strip or tile, in pixels.
    is_tiled : whether chunks at the right and the lower border are padded.
    starts, sizes : of the strips or tiles in the file, in bytes.
    colour_map : 16-bit colours ``[3, entries]``, or None.
    tables : JPEG tables that all strips or tiles share.
    fax_options : T4Options.
    """

    mode: str
    height: int
    width: int
    bits: int
    channels: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    order: Order
    is_planar: bool
    is_associated: bool
    is_undefined: bool
    chunk_height: int
    chunk_width: int
    is_tiled: bool
    starts: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    colour_map: NDArray[np.uint16] | None
    tables: bytes
    fax_options: int

    @property
    def chunk_channels(self) -> int:
        """Return the samples of a pixel in a strip or tile."""
        return 1 if self.is_planar else self.channels

    @property
    def row_bytes(self) -> int:
        """Return the bytes of a row of a strip or tile."""
        return -(-self.chunk_width * self.chunk_channels * self.bits // 8)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the strips or tiles in the order of the file."""
        index = 0
        for plane in range(self.channels if self.is_planar else 1):
            for top in range(0, self.height, self.chunk_height):
                rows = self.chunk_height if self.is_tiled else min(self.chunk_height, self.height - top)
                for left in range(0, self.width, self.chunk_width):
                    start, size = int(self.starts[index]), int(self.sizes[index])
                    yield Chunk(start, size, rows, top, left, plane if self.is_planar else None)
                    index += 1


def is_raw(file: TiffFile, directory: Directory) -> bool:
    """Return whether a directory is one of a raw camera file."""
    space = directory.entries.get(of.PHOTOMETRIC)
    if space is not None and space.items == 1 and file.pointer(space) in of.RAW_SPACES:
        return True
    return any(number in directory.entries for number in of.RAW_TAGS)


class _Values:
    """The whole numbers of the tags of a directory."""

    def __init__(self, file: TiffFile, directory: Directory) -> None:
        self._file, self._directory = file, directory

    def __contains__(self, number: int) -> bool:
        return number in self._directory.entries

    def list(self, number: int) -> NDArray[np.uint64]:
        """Return the values of a tag; of none if it is missing."""
        entry = self._directory.entries.get(number)
        return np.zeros(0, np.uint64) if entry is None else ints(self._file.tag(entry))

    def one(self, number: int, default: int | None = None) -> int:
        """Return the value of a tag, or the default if it is missing."""
        values = self.list(number)
        if not len(values):
            if default is None or number in self:
                raise FormatError(f"TIFF: tag {number} is missing, or has no value")
            return default
        return int(values[0])

    def one_or_two(self, number: int) -> int:
        """Return the value of a tag that is 1, which is the default, or 2."""
        value = self.one(number, 1)
        if value not in (1, 2):
            raise FormatError(f"TIFF: tag {number} is {value}, expected 1 or 2")
        return value

    def same(self, number: int, channels: int, default: int) -> int:
        """Return the value of a tag with a value for each channel, all the same.

        Raises
        ------
        UnsupportedImageError
            The values differ.
        """
        values = self.list(number)[:channels] if number in self else np.array([default])
        if len(values) not in (1, channels):
            raise FormatError(f"TIFF: tag {number} has {len(values)} values for {channels} channels")
        if np.any(values != values[0]):
            what = "bits a sample" if number == of.BITS else "sample formats"
            raise UnsupportedImageError(f"TIFF: {what} of {values.tolist()} are not supported; {_ARRAY}")
        return int(values[0])

    def bytes(self, number: int) -> bytes:
        """Return the bytes of a tag; none if it is missing."""
        entry = self._directory.entries.get(number)
        return b"" if entry is None else self._file.tag(entry).data


def _plain_sizes(sizes: NDArray[np.uint64], row_bytes: int, rows: int, height: int) -> NDArray[np.uint64]:
    """Return the bytes of strips or tiles that are not compressed.

    Parameters
    ----------
    sizes : as the file says; zeros if it does not.
    row_bytes, rows : of a whole strip or tile.
    height : rows of a plane, whose last strip may be shorter; 0 for tiles.

    Raises
    ------
    FormatError
        The file says that one has fewer.
    """
    needed = np.full(len(sizes), row_bytes * rows, np.uint64)
    if height % rows:
        strips = -(-height // rows)
        needed[strips - 1 :: strips] = row_bytes * (height % rows)
    unsaid = (sizes == 0) if len(sizes) == 1 or not sizes.any() else np.zeros(len(sizes), bool)
    if np.any(sizes[~unsaid] < needed[~unsaid]):
        raise FormatError("TIFF: a strip or tile has too few bytes")
    return needed


def layout_of(file: TiffFile, directory: Directory, max_pixels: int) -> Layout:
    """Return how the samples of the picture of a directory are stored.

    Raises
    ------
    UnsupportedImageError
        No mode holds such samples, or their compression has no reader here.
    FormatError
        Tags are missing, contradict each other, or name bytes outside the file.
    LimitError
        The picture has more than `max_pixels`.
    """
    tags = _Values(file, directory)
    width, height = tags.one(of.WIDTH), tags.one(of.HEIGHT)
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise FormatError(f"TIFF: {width} x {height}, expected 1 to 2147483647")
    if width * height > max_pixels:
        raise LimitError(f"{width} x {height} is above the limit of {max_pixels} pixels")
    if tags.one(of.DEPTH, 1) > 1:
        raise UnsupportedImageError(
            f"TIFF: a volume of {tags.one(of.DEPTH)} planes is not supported; {_ARRAY}"
        )
    compression = tags.one(of.COMPRESSION, of.PLAIN)
    if compression not in of.READ:
        name = of.UNREAD.get(compression, f"of number {compression}")
        raise UnsupportedImageError(
            f"TIFF compression {name} is not supported; decode it to PNG or TIFF first"
        )
    # Readers take facsimiles without the tag as white-is-0.
    photometric = tags.one(of.PHOTOMETRIC, of.MIN_IS_WHITE if compression in of.FAX else None)
    channels = tags.one(of.CHANNELS, 1)
    bits, mode, alpha, is_undefined = _samples(tags, photometric, channels, compression)
    if mode == "I;16" and file.order == ">":
        mode = "I;16B"
    is_planar = tags.one_or_two(of.PLANAR) == 2 and channels > 1
    is_tiled = of.TILE_WIDTH in tags or of.TILE_OFFSETS in tags
    if is_tiled:
        chunk_width, chunk_height = _tile_size(tags, max_pixels)
    else:
        chunk_width, chunk_height = width, min(tags.one(of.STRIP_ROWS, height) or height, height)
    count = -(-width // chunk_width) * -(-height // chunk_height) * (channels if is_planar else 1)
    predictor = tags.one(of.PREDICTOR, 1)
    _check_predictor(predictor, compression, bits)
    row_bytes = -(-chunk_width * (1 if is_planar else channels) * bits // 8)
    starts, sizes = _places(tags, compression, count, len(file.data), is_tiled=is_tiled)
    if compression == of.PLAIN:
        sizes = _plain_sizes(sizes, row_bytes, chunk_height, 0 if is_tiled else height)
    _check_places(file, starts, sizes)
    stored = int(sizes.sum())
    if (
        compression in _MAX_RATIOS
        and height * width * bits * channels > 8 * _MAX_RATIOS[compression] * stored
    ):
        raise FormatError(f"TIFF: {stored} bytes cannot hold {width} x {height} pixels")
    return Layout(
        mode=mode,
        height=height,
        width=width,
        bits=bits,
        channels=channels,
        photometric=photometric,
        compression=compression,
        predictor=predictor,
        fill_order=tags.one_or_two(of.FILL_ORDER),
        order=file.order,
        is_planar=is_planar,
        is_associated=alpha == of.ASSOCIATED,
        is_undefined=is_undefined,
        chunk_height=chunk_height,
        chunk_width=chunk_width,
        is_tiled=is_tiled,
        starts=starts,
        sizes=sizes,
        colour_map=_colour_map(tags, bits) if photometric == of.PALETTE else None,
        tables=tags.bytes(of.JPEG_TABLES) if compression == of.JPEG else b"",
        fax_options=tags.one(of.FAX_OPTIONS, 0) if compression == of.FAX_3 else 0,
    )


def _tile_size(tags: _Values, max_pixels: int) -> tuple[int, int]:
    """Return width and height of the tiles."""
    width, height = tags.one(of.TILE_WIDTH), tags.one(of.TILE_HEIGHT)
    if not (0 < width < 2**31 and 0 < height < 2**31 and width * height >= _MIN_TILE_PIXELS):
        raise FormatError(f"TIFF: tiles of {width} x {height}, expected multiples of 16")
    if width * height > max(max_pixels, _FREE_TILE_PIXELS):
        raise LimitError(f"TIFF: tiles of {width} x {height} are above the limit of {max_pixels} pixels")
    return width, height


def _samples(tags: _Values, photometric: int, channels: int, compression: int) -> tuple[int, str, int, bool]:
    """Return bits a sample, the mode, the kind of alpha, and whether the format of samples is undefined.

    Raises
    ------
    UnsupportedImageError
        No mode holds the samples.
    """
    if not 0 < channels < 2**16:
        raise FormatError(f"TIFF: {channels} channels")
    if photometric in of.SPACES:
        raise UnsupportedImageError(
            f"TIFF: {of.SPACES[photometric]} are not supported; convert it to RGB first"
        )
    if photometric not in of.COLOURS:
        raise UnsupportedImageError(
            f"TIFF: photometric interpretation {photometric} is not supported; {_ARRAY}"
        )
    if photometric == of.YCBCR and compression != of.JPEG:
        raise UnsupportedImageError("TIFF: YCbCr samples are not supported; convert it to RGB first")
    colours = of.COLOURS[photometric]
    if channels < colours:
        raise FormatError(f"TIFF: {channels} channels, expected at least {colours}")
    form = tags.same(of.SAMPLE_FORMAT, channels, 1)
    bits = tags.same(of.BITS, channels, 1)
    kinds = {2: "signed integer", 3: "float", 5: "complex integer", 6: "complex float"}
    if form not in (1, of.UNDEFINED_FORMAT):
        kind = kinds.get(form, f"format {form}")
        raise UnsupportedImageError(f"TIFF: {bits}-bit {kind} samples are not supported; {_ARRAY}")
    alpha = _alpha(tags, channels, colours)
    mode = _MODES.get((colours, bits, bool(alpha)))
    if photometric == of.PALETTE:
        mode = "P" if bits <= 8 and mode in ("1", "L") else None
    if compression in of.FAX and mode != "1":
        raise FormatError("TIFF: facsimile compression of other than 1-bit samples")
    if compression in (of.JPEG, of.WEBP) and (mode not in ("L", "LA", "RGB", "RGBA") or bits != 8):
        mode = None
    if mode is None:
        kind = "a palette" if photometric == of.PALETTE else f"{channels} channel{'s' * (channels > 1)}"
        raise UnsupportedImageError(f"TIFF: {bits}-bit samples of {kind} are not supported; {_ARRAY}")
    assert MODES[mode].channels == channels
    return bits, mode, alpha, form == of.UNDEFINED_FORMAT


def _alpha(tags: _Values, channels: int, colours: int) -> int:
    """Return 1 for associated alpha, 2 for unassociated alpha, 0 if there is no alpha."""
    if channels == colours:
        return 0
    if channels > colours + 1:
        raise UnsupportedImageError(f"TIFF: {channels} channels are not supported; {_ARRAY}")
    extra = tags.list(of.EXTRA_SAMPLES)
    kind = int(extra[0]) if len(extra) else 0
    if kind not in (of.ASSOCIATED, of.UNASSOCIATED):
        raise UnsupportedImageError(
            f"TIFF: {channels} channels are not supported where the last is not called alpha (ExtraSamples "
            f"{kind if len(extra) else 'is missing'}); {_ARRAY}"
        )
    return kind


def _check_predictor(predictor: int, compression: int, bits: int) -> None:
    if predictor == 1:
        return
    if predictor == 3:
        raise FormatError("TIFF: predictor 3 (floats) for whole numbers")
    if predictor != 2:
        raise UnsupportedImageError(
            f"TIFF: predictor {predictor} is not supported; save it without predictor"
        )
    if compression not in of.PREDICTED or bits < 8:
        raise UnsupportedImageError(
            f"TIFF: predictor 2 with compression {compression} and {bits} bits a sample means different "
            f"things to different readers; save it without predictor"
        )


def _colour_map(tags: _Values, bits: int) -> NDArray[np.uint16]:
    values = tags.list(of.COLOUR_MAP)
    if len(values) != 3 * 2**bits or np.any(values > 65535):
        raise FormatError(f"TIFF: a colour map of {len(values)} numbers, expected {3 * 2**bits}")
    return values.astype(np.uint16).reshape(3, -1)


def _places(
    tags: _Values, compression: int, count: int, file_size: int, *, is_tiled: bool
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return where strips or tiles begin, and how many bytes each has (0 where the file does not say it)."""
    offsets, bytes_tag = (of.TILE_OFFSETS, of.TILE_BYTES) if is_tiled else (of.STRIP_OFFSETS, of.STRIP_BYTES)
    if is_tiled and of.STRIP_OFFSETS in tags:
        if offsets in tags:
            raise FormatError("TIFF: strips and tiles")
        offsets, bytes_tag = of.STRIP_OFFSETS, of.STRIP_BYTES  # libtiff reads such files
    starts, sizes = tags.list(offsets), tags.list(bytes_tag)
    if not len(sizes) and compression == of.PLAIN:
        sizes = np.zeros(len(starts), np.uint64)
    elif not len(sizes) and len(starts) == 1:
        sizes = np.array([max(file_size - int(starts[0]), 0)], np.uint64)
    if len(starts) != count or len(sizes) != count:
        raise FormatError(f"TIFF: {len(starts)} strips or tiles of {len(sizes)} sizes, expected {count}")
    if np.any((starts == 0) & (sizes == 0)):
        raise UnsupportedImageError(
            "TIFF: a sparse file without some of its strips or tiles; write it whole first"
        )
    return starts, sizes


def _check_places(file: TiffFile, starts: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> None:
    """Raise `FormatError` if strips or tiles are cut off, or overlap other than being the same."""
    ends = starts + sizes
    file_size = len(file.data)
    if np.any(starts < file.header_bytes) or np.any(ends > file_size) or np.any(ends < starts):
        raise FormatError("TIFF: the file is cut off: a strip or tile lies outside it")
    same = np.unique(np.stack([starts, sizes]), axis=1)
    if int(same[1].sum()) > file_size:
        raise FormatError("TIFF: strips or tiles overlap")
