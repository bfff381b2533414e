# SPDX-License-Identifier: Apache-2.0
"""Read TIFF files: samples as they are stored, every tag that describes them; one picture a file.

`bbcodec.picture.formats.tiff.layout` says which samples have a place here, `samples` decodes them,
`metadata` keeps the other tags, `second_reader` is the second reader, `writer` the writer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError, UnsupportedImageError
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.formats.tiff import metadata as meta
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.layout import Layout, is_raw, layout_of
from bbcodec.picture.formats.tiff.samples import decode
from bbcodec.picture.formats.tiff.tags import ASCII, SHORT, Directory, Entry, TiffFile, ints, tag_of
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import MODES, Palette, Picture

__all__ = ["Opened", "opened", "picture_of_samples", "read"]

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _DESCRIPTION, _SUB_DIRECTORIES, _REFERENCE_LEVELS = 254, 255, 270, 330, 532
_IS_REDUCED, _IS_MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED: Final = 2  # value of SubfileType
_DEFAULT_LEVELS: Final = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)  # of YCbCr: the whole range
_IMAGEJ_COUNT: Final = re.compile(rb"^images=(\d{1,9})\s*$", re.MULTILINE)
_SPLIT: Final = "split it, for example with tiffsplit, or give its pages as arrays to bbcodec.compress()"


@dataclass(frozen=True)
class Opened:
    """A TIFF file with one picture: all but its samples."""

    file: TiffFile
    entries: Mapping[int, Entry]
    layout: Layout
    metadata: Metadata
    left_out: tuple[str, ...]


def read(data: bytes, max_pixels: int) -> Reading:
    """Read a TIFF file of one picture. Errors as of `bbcodec.read_image`."""
    found = opened(data, max_pixels)
    samples, lossy = decode(data, found.layout)
    return Reading(picture_of_samples(samples, found), "TIFF", found.left_out, lossy)


def opened(data: bytes, max_pixels: int) -> Opened:
    """Return layout and metadata of the picture of a TIFF file. Errors as of `read`."""
    file = TiffFile(data)
    directory, left_out = _only_picture(file)
    if _Kinds(file, directory).has_stack:
        raise UnsupportedImageError(f"TIFF stack of several pictures in one page is not supported; {_SPLIT}")
    layout = layout_of(file, directory, max_pixels)
    lost = [name for number, name in meta.LOST.items() if name and number in directory.entries]
    passed_over = of.STRUCTURAL | meta.LOST.keys()
    if layout.photometric == of.YCBCR and _REFERENCE_LEVELS in directory.entries:
        passed_over |= {_REFERENCE_LEVELS}  # of the samples in the file; the picture has RGB
        levels = file.tag(directory.entries[_REFERENCE_LEVELS]).data
        if levels != np.array(_DEFAULT_LEVELS, "<u4").tobytes():
            lost.append("the reference levels of its YCbCr samples")
    others = {number: e for number, e in directory.entries.items() if number not in passed_over}
    tree, dropped = file.tree(replace(directory, entries=others), meta.POINTERS)
    metadata = meta.metadata_of(tree, _layout_notes(layout))
    left_out = tuple(dict.fromkeys((*left_out, *lost, *dropped)))
    return Opened(file, directory.entries, layout, metadata, left_out)


class _Kinds:
    """What a directory is among those of a file."""

    def __init__(self, file: TiffFile, directory: Directory) -> None:
        self._file, self._directory = file, directory
        flags = self._number(_SUBFILE_TYPE)
        self.is_mask = bool(flags & _IS_MASK)
        self.is_reduced = bool(flags & _IS_REDUCED) or self._number(_OLD_SUBFILE_TYPE) == _OLD_REDUCED

    def _number(self, number: int) -> int:
        entry = self._directory.entries.get(number)
        return 0 if entry is None else self._file.pointer(entry)

    def below(self) -> list[Directory]:
        """Return the directories that its tag SubIFDs names."""
        entry = self._directory.entries.get(_SUB_DIRECTORIES)
        places = [] if entry is None else ints(self._file.tag(entry)).tolist()
        return [self._file.directory(at) for at in places if at]

    @property
    def has_stack(self) -> bool:
        """Whether ImageJ or tifffile has put further pictures behind the one of the directory."""
        entry = self._directory.entries.get(_DESCRIPTION)
        text = self._file.tag(entry).data.rstrip(b"\0") if entry is not None and entry.type == ASCII else b""
        if text.startswith(b"ImageJ="):
            count = _IMAGEJ_COUNT.search(text)
            return count is not None and int(count[1]) > 1
        if text.startswith(b'{"shape":') and b'"truncated"' in text:
            try:
                return bool(json.loads(text).get("truncated"))
            except (ValueError, RecursionError):
                return False
        return False


def _only_picture(file: TiffFile) -> tuple[Directory, tuple[str, ...]]:
    """Return the directory of the one picture of a file, and names of what lies beside it.

    Raises
    ------
    UnsupportedImageError
        It is a raw camera file, or has several pictures.
    """
    chain = file.chain()
    kinds = [_Kinds(file, directory) for directory in chain]
    below = [inner for kind in kinds for inner in kind.below()]
    if any(is_raw(file, directory) for directory in (*chain, *below)):
        raise UnsupportedImageError(
            "this is a raw camera file (DNG, NEF, ARW, or the like); develop it to TIFF first, "
            "or keep it as it is"
        )
    pages = [at for at, kind in enumerate(kinds) if not (kind.is_reduced or kind.is_mask)]
    if len(chain) > 1 and len(pages) != 1:
        raise UnsupportedImageError(
            f"TIFF multi-page file of {len(pages) or len(chain)} pictures is not supported; {_SPLIT}"
        )
    only = pages[0] if len(chain) > 1 else 0
    inner_kinds = [_Kinds(file, directory) for directory in below]
    others = [kind for at, kind in enumerate(kinds) if at != only]
    masks = sum(kind.is_mask for kind in (*others, *inner_kinds))
    reduced = sum(kind.is_reduced and not kind.is_mask for kind in (*others, *inner_kinds))
    further = len(others) + len(inner_kinds) - masks - reduced
    names = (
        (reduced, "a reduced copy", "reduced copies"),
        (masks, "a transparency mask", "transparency masks"),
        (further, "a further picture (SubIFD)", "further pictures (SubIFDs)"),
    )
    found = tuple(one if count == 1 else f"{count} {many}" for count, one, many in names if count)
    return chain[only], found


def _layout_notes(layout: Layout) -> list[Note]:
    """Return the notes of what the mode does not say of the samples."""
    tags = []
    if layout.mode == "L" and layout.bits < 8:
        tags.append(tag_of(of.BITS, SHORT, [layout.bits]))
    if layout.photometric == of.MIN_IS_WHITE:
        tags.append(tag_of(of.PHOTOMETRIC, SHORT, [of.MIN_IS_WHITE]))
    colours = layout.colour_map
    if colours is not None and np.any(colours >> 8 != colours & 255):
        tags.append(tag_of(of.COLOUR_MAP, SHORT, colours.reshape(-1).tolist()))
    if layout.is_associated:
        tags.append(tag_of(of.EXTRA_SAMPLES, SHORT, [of.ASSOCIATED]))
    if layout.is_undefined:
        tags.append(tag_of(of.SAMPLE_FORMAT, SHORT, [of.UNDEFINED_FORMAT] * layout.channels))
    return [meta.note_of(tag) for tag in tags]


def picture_of_samples(samples: NDArray[np.uint8] | NDArray[np.uint16], found: Opened) -> Picture:
    """Return the picture of samples as they are stored, ``[H, W, C]``."""
    layout = found.layout
    mode = layout.mode
    pixels: NDArray[np.generic] = samples.reshape(MODES[mode].shape(layout.height, layout.width))
    if mode == "1":
        pixels = samples.reshape(layout.height, layout.width) != 0
    elif mode == "L" and layout.bits < 8:
        pixels = samples.reshape(layout.height, layout.width) * np.uint8(255 // ((1 << layout.bits) - 1))
    palette = None
    if layout.colour_map is not None:
        palette = Palette((layout.colour_map >> 8).astype(np.uint8).T.tobytes())
    problem = found.metadata.problem(mode)
    if problem:
        raise FormatError(f"TIFF: {problem}")
    return Picture(pixels, mode, palette, found.metadata)
