# SPDX-License-Identifier: Apache-2.0
"""The canonical picture and its modes; conversion from and to arrays and Pillow images.

Every array and Pillow image becomes one `Picture` (array, mode, palette, metadata) without changing a pixel,
or is refused. `bbcodec.picture.files` reads and writes files. This module must not know how pictures are
compressed.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bbcodec.errors import FormatError, UnsupportedImageError
from bbcodec.picture import metadata as meta
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.raster import bands

__all__ = ["BY_CODE", "MODES", "Mode", "Palette", "Picture", "PictureLike", "digest"]

Pixels: TypeAlias = NDArray[Any]

# Notes of TIFF files that change what samples mean: tag and type, value.
_PNG_HEAD_BYTES = 29  # signature and IHDR


@dataclass(frozen=True)
class Mode:
    """Pixel format of a picture.

    Parameters
    ----------
    code : int
        Number of the mode in the file header; never reused.
    name : str
        Pillow's name, or a name with ``;16`` for modes that Pillow does not have.
    channels : int
        Samples per pixel, alpha included.
    alpha : bool
        Whether the last channel is alpha.
    dtype : str
        NumPy name of the sample type.
    """

    code: int
    name: str
    channels: int
    alpha: bool
    dtype: str

    @property
    def colours(self) -> int:
        """Return the number of channels that are not alpha."""
        return self.channels - self.alpha

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of the canonical array: ``[H, W]`` for one channel, else ``[H, W, C]``."""
        return (height, width) if self.channels == 1 else (height, width, self.channels)


_ALL_MODES = (
    Mode(0, "1", 1, False, "bool"),
    Mode(1, "L", 1, False, "uint8"),
    Mode(2, "P", 1, False, "uint8"),
    Mode(3, "LA", 2, True, "uint8"),
    Mode(4, "RGB", 3, False, "uint8"),
    Mode(5, "RGBA", 4, True, "uint8"),
    Mode(6, "I;16", 1, False, "uint16"),
    Mode(7, "I;16B", 1, False, "uint16"),
    Mode(8, "LA;16", 2, True, "uint16"),
    Mode(9, "RGB;16", 3, False, "uint16"),
    Mode(10, "RGBA;16", 4, True, "uint16"),
)
MODES: dict[str, Mode] = {mode.name: mode for mode in _ALL_MODES}
BY_CODE: dict[int, Mode] = {mode.code: mode for mode in _ALL_MODES}


@dataclass(frozen=True)
class Palette:
    """The colours of a ``P`` picture, kept byte for byte.

    Parameters
    ----------
    data : bytes
        Entries of 3 or 4 bytes each; at most 256 entries, including unused ones.
    layout : str
        ``"RGB"`` or ``"RGBA"``.
    transparency : int or bytes, optional
        PNG/GIF transparency: the index that is transparent, or the alpha of the first entries.
    """

    data: bytes
    layout: str = "RGB"
    transparency: int | bytes | None = None

    def canonical(self) -> bytes:
        """Return the bytes of the palette that the digest covers."""
        t = self.transparency
        head = struct.pack(
            "<BBI", len(self.layout), 0 if t is None else 1 + isinstance(t, bytes), len(self.data)
        )
        extra = b"" if t is None else t if isinstance(t, bytes) else struct.pack("<I", t)
        return head + self.data + extra


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture: exact pixels, mode, palette, metadata.

    Parameters
    ----------
    pixels : ndarray
        bool, uint8 or uint16 ``[H, W]`` (one channel) or ``[H, W, C]``; palette indices for mode ``P``.
    mode : str
        A key of `MODES`.
    palette : Palette, optional
        For mode ``P`` only.
    metadata : Metadata
    axis : bool
        Whether the input array had an explicit channel axis of length 1, which `array` restores.
    """

    pixels: Pixels
    mode: str
    palette: Palette | None = None
    metadata: Metadata = field(default_factory=Metadata)
    axis: bool = False

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height, in the order of Pillow."""
        return self.width, self.height

    @property
    def array(self) -> Pixels:
        """Return the pixels in the shape of the input array."""
        return self.pixels[..., None] if self.axis else self.pixels

    @property
    def white_is_zero(self) -> bool:
        """Return whether a TIFF file said of these gray samples that 0 is white."""
        return MODES[self.mode].colours == 1 and self.metadata.white_is_zero

    @property
    def has_associated_alpha(self) -> bool:
        """Return whether a TIFF file said of these samples that colours are multiplied with alpha."""
        return MODES[self.mode].alpha and self.metadata.has_associated_alpha

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        """Return `array` for ``np.asarray(picture)``.

        Raises
        ------
        ValueError
            `copy` is False, and `dtype` requires a copy.
        """
        found = np.asarray(self.array, dtype=dtype)
        if copy is False and found.dtype != self.pixels.dtype:
            raise ValueError(
                f"dtype {found.dtype} needs a copy of {self.pixels.dtype} pixels, but copy=False"
            )
        return found.copy() if copy else found

    def same(self, other: Picture) -> bool:
        """Return whether mode, shape, pixels and palette are equal. Metadata is not compared."""
        return (
            self.mode == other.mode
            and self.axis == other.axis
            and self.palette == other.palette
            and self.same_pixels(other)
        )

    def same_pixels(self, other: Picture) -> bool:
        """Return whether shape, dtype and every sample are equal."""
        return (
            self.pixels.dtype == other.pixels.dtype
            and self.pixels.shape == other.pixels.shape
            and all(
                np.array_equal(self.pixels[rows], other.pixels[rows])
                for rows in bands(self.height, self.width)
            )
        )

    @classmethod
    def of(cls, image: PictureLike) -> Picture:
        """Return the picture of a `Picture`, a Pillow image or an array.

        Raises
        ------
        UnsupportedImageError
            The mode, dtype or shape cannot be kept exactly.
        FormatError
            The file that Pillow has open is damaged.
        """
        if isinstance(image, Picture):
            return image
        if isinstance(image, Image.Image):
            return _from_pil(image)
        if isinstance(image, np.ndarray):
            return _from_array(image)
        raise UnsupportedImageError(
            f"image is {type(image).__name__}, expected a Pillow image or a NumPy array"
        )

    def to_pil(self) -> Image.Image:
        """Return a Pillow image with the same mode, pixels, palette and metadata (in ``info``).

        Samples of modes ``1`` and ``L`` are inverted if 0 is white in them, so that viewers show the picture.

        Raises
        ------
        UnsupportedImageError
            The mode is 16-bit LA, RGB or RGBA, which Pillow does not have.
        """
        if self.mode in ("LA;16", "RGB;16", "RGBA;16"):
            raise UnsupportedImageError(
                f"mode {self.mode}: Pillow has no such image; use decompress() for the array or "
                f"write_image() for a PNG or TIFF"
            )
        pixels = ~self.pixels if self.mode in ("1", "L") and self.white_is_zero else self.pixels
        if self.mode == "1":
            raw = np.packbits(pixels, axis=1)
        elif self.mode in ("I;16", "I;16B"):
            raw = pixels.astype(">u2" if self.mode == "I;16B" else "<u2", copy=False)
        else:
            raw = pixels
        image = Image.frombytes(self.mode, self.size, np.ascontiguousarray(raw))
        if self.palette is not None and self.palette.data:
            image.putpalette(self.palette.data, self.palette.layout)
        image.info.update(self.metadata.as_info())
        if self.palette is not None and self.palette.transparency is not None:
            image.info["transparency"] = self.palette.transparency
        return image


PictureLike: TypeAlias = Picture | Image.Image | NDArray[Any]


def digest(picture: Picture) -> bytes:
    """Return the digest that verifies a decoded picture: 8 bytes of BLAKE2b over mode, size, palette, pixels.

    It covers the samples row by row with interleaved channels: 16-bit samples little-endian, bilevel samples
    as bytes 0 and 1.
    """
    state = hashlib.blake2b(digest_size=8, person=b"bbcodec-pixels")
    state.update(struct.pack("<BBII", MODES[picture.mode].code, picture.axis, picture.width, picture.height))
    if picture.palette is not None:
        state.update(picture.palette.canonical())
    pixels = native(picture.pixels)
    if pixels.dtype == np.uint16:
        pixels = pixels.astype("<u2", copy=False)
    state.update(pixels.reshape(-1).view(np.uint8).data)
    return state.digest()


def native(array: Pixels) -> Pixels:
    """Return a contiguous array in native byte order, with bool values stored as bytes 0 and 1.

    Pillow's bilevel images are bool arrays whose true bytes are 255.
    """
    if array.dtype == np.bool_:
        return np.not_equal(np.ascontiguousarray(array).view(np.uint8), 0)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _from_array(array: Pixels) -> Picture:
    axis = array.ndim == 3 and array.shape[2] == 1
    flat = array[:, :, 0] if axis else array
    channels = flat.shape[2] if flat.ndim == 3 else 1
    names = {
        "bool": {1: "1"},
        "uint8": {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"},
        "uint16": {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"},
    }.get(array.dtype.name, {})
    if flat.ndim not in (2, 3) or channels not in names or not array.size:
        raise UnsupportedImageError(
            f"array is {array.dtype} {list(array.shape)}, "
            f"expected uint8 or uint16 [H, W] or [H, W, 1..4], or bool [H, W]"
        )
    return Picture(native(flat), names[channels], axis=axis)


def _from_pil(image: Image.Image) -> Picture:
    if (count := frames(image)) > 1:
        kind = "multi-page file" if image.format in ("TIFF", "MPO") else "animation"
        raise UnsupportedImageError(
            f"{image.format} {kind} of {count} pictures is not supported; expected a single picture"
        )
    _refuse_reduced_samples(image)
    mode = MODES.get(image.mode)
    if mode is None:
        raise UnsupportedImageError(
            f"mode {image.mode} cannot be kept exactly; expected one of "
            f"{', '.join(m.name for m in _ALL_MODES[:8])}"
        )
    if not (image.width and image.height):
        raise UnsupportedImageError(f"image is {image.width} x {image.height}, expected at least 1 x 1")
    try:
        image.load()
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise FormatError(f"{image.format or 'image'}: pixels cannot be read: {error}") from error
    pixels = _samples(image)
    palette = _palette_of(image) if image.mode == "P" else None
    return Picture(pixels, image.mode, palette, meta.from_pil(image))


def frames(image: Image.Image) -> int:
    """Return the number of pictures of a Pillow image.

    Raises
    ------
    FormatError
        The file is damaged where the reader looks for more pictures.
    """
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:  # Pillow reads the file, and raises many kinds on damaged ones
        raise FormatError(f"{image.format}: the number of pictures cannot be read: {error}") from error


def _samples(image: Image.Image) -> Pixels:
    """Return the samples of a loaded image, read in bands because Pillow copies what it returns."""
    mode = MODES[image.mode]
    out = np.empty(mode.shape(image.height, image.width), mode.dtype)
    for rows in bands(image.height, image.width):
        out[rows] = native(np.asarray(image.crop((0, rows.start, image.width, rows.stop))))
    return out


def _palette_of(image: Image.Image) -> Palette:
    layout = image.palette.mode if image.palette is not None else "RGB"
    if layout not in ("RGB", "RGBA"):
        raise UnsupportedImageError(
            f"palette of {layout} colours cannot be kept exactly; expected RGB or RGBA"
        )
    key = image.info.get("transparency")
    if key is not None and not (isinstance(key, bytes) or (isinstance(key, int) and 0 <= key < 256)):
        raise UnsupportedImageError(f"palette transparency is {key!r}, expected an index or bytes")
    if isinstance(key, bytes) and len(key) > 256:
        raise UnsupportedImageError(f"palette has {len(key)} alphas, expected at most 256")
    return Palette(bytes(image.getpalette(layout) or ()), layout, key)


def _refuse_reduced_samples(image: Image.Image) -> None:
    """Raise `UnsupportedImageError` if Pillow reduces the samples of the file to 8 bits."""
    deep = None
    if image.format == "PNG":
        name = getattr(image, "filename", "")
        where = getattr(image, "fp", None) or (name if name and os.path.exists(name) else None)
        if (
            where is not None
            and image.mode not in ("I;16", "I")
            and _first_bytes(where)[24:25] == b"\x10"  # bits of a sample
        ):
            deep = "16 bits a sample"
    elif image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (1,))
        bits = bits if isinstance(bits, tuple) else (bits,)
        if max(bits) > 8 and image.mode not in ("I;16", "I;16B", "I", "F"):
            deep = f"{max(bits)} bits a sample"
    elif image.format == "PPM":
        for tile in getattr(image, "tile", ()):
            levels = tile[3] if tile[0].startswith("ppm") else None
            top = levels[-1] if isinstance(levels, tuple) else levels
            if isinstance(top, int) and top != 255:
                deep = f"a maximum of {top} instead of 255"
    elif any(";16" in str(tile[3]) or ";15" in str(tile[3]) for tile in getattr(image, "tile", ()) or ()):
        deep = "other than 8 bits a sample"
    if deep:
        hint = "; give the path to read_image() instead" if image.format == "PNG" else ""
        raise UnsupportedImageError(f"{image.format} has {deep}, which Pillow converts to 8 bits{hint}")


def _first_bytes(where: Any) -> bytes:
    """Return the first bytes of a path or of an open file, whose position does not change."""
    try:
        if isinstance(where, str | os.PathLike):
            with open(where, "rb") as file:
                return file.read(_PNG_HEAD_BYTES)
        at = where.tell()
        where.seek(0)
        head: bytes = where.read(_PNG_HEAD_BYTES)
        where.seek(at)
        return head
    except (OSError, ValueError, AttributeError):
        return b""
