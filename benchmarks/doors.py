# SPDX-License-Identifier: Apache-2.0
"""What comes in and what goes out, for all picture files below a folder, against independent readers.

Every file is read by bbcodec and by a reader that shares no code with it (pypng, tifffile, imagecodecs,
OpenCV, as far as they are installed). Then bbcodec writes the picture in the file's own format, and the small
dumpers below take both files apart. A difference is *explained* if bbcodec refused the file by name, or named
in its warning what it left out. All others are printed, and make the exit code 1.

Usage: python benchmarks/doors.py DIR [DIR ...] [--list]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import bbcodec
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.picture import formats
from bbcodec.picture.files import left_out, write_image
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture

MAX_PIXELS = 2**26
SUFFIXES = (
    "png",
    "apng",
    "tif",
    "tiff",
    "jpg",
    "jpeg",
    "gif",
    "bmp",
    "tga",
    "webp",
    "pbm",
    "pgm",
    "ppm",
    "qoi",
)
WRITTEN_AS = {"PNG": "png", "TIFF": "tif", "PNM": "ppm", "WEBP": "webp"}

# --- independent readers: samples as stored, [H, W] or [H, W, C] ------------------------------------------


def by_pypng(data: bytes, picture: Picture) -> Any:
    """Return the samples of a PNG file; low depths of gray scaled to 8 bits, as bbcodec has them."""
    import png

    width, height, rows, info = png.Reader(bytes=data).read()
    depth, planes = info["bitdepth"], info["planes"]
    samples = np.array([list(row) for row in rows], np.uint16).reshape(height, width, planes)
    if picture.mode == "L" and depth < 8:
        samples = samples * (255 // (2**depth - 1))
    return samples


def by_tifffile(data: bytes, picture: Picture) -> Any:
    """Return the samples of the first page of a TIFF file."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, -1)
        if picture.mode == "L" and page.bitspersample < 8:
            samples = samples * (255 // (2**page.bitspersample - 1))
        return samples


def by_imagecodecs(data: bytes, picture: Picture) -> Any:
    """Return the samples of a JPEG, WebP, QOI or BMP file."""
    import imagecodecs

    for name in ("jpeg8", "webp", "qoi", "bmp"):
        if getattr(imagecodecs, f"{name}_check")(data):
            return getattr(imagecodecs, f"{name}_decode")(data)
    raise FormatError("imagecodecs does not know it")


def by_opencv(data: bytes, picture: Picture) -> Any:
    """Return the samples of a PNM or BMP file."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise FormatError("OpenCV cannot read it")
    if picture.mode == "P" and samples.ndim == 2:
        raise FormatError("OpenCV makes it gray")
    if samples.ndim == 3 and samples.shape[2] > 2:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return samples


READERS: dict[str, tuple[Callable[[bytes, Picture], Any], ...]] = {
    "PNG": (by_pypng,),
    "TIFF": (by_tifffile,),
    "JPEG": (by_imagecodecs,),
    "WEBP": (by_imagecodecs,),
    "QOI": (by_imagecodecs,),
    "BMP": (by_imagecodecs, by_opencv),
    "PNM": (by_opencv,),
}


def same_samples(picture: Picture, found: Any) -> bool:
    """Return whether samples are those of a picture, whatever the type and trivial axes."""
    ours = picture.pixels
    if ours.dtype == bool:
        found = np.asarray(found) != 0
    if picture.mode == "P" and found.ndim == 3 and found.shape[2] > 2:  # the independent reader gives colours
        palette = np.frombuffer(picture.palette.data, np.uint8).reshape(-1, len(picture.palette.layout))
        beyond = ours >= len(palette)  # such samples have no colour
        ours = palette[np.where(beyond, 0, ours)][..., :3]
        found = np.where(beyond[..., None], ours, found[..., :3])
    found = np.asarray(found).reshape((*found.shape[:2], -1))
    ours = ours.reshape((*ours.shape[:2], -1))
    if ours.shape[2] < found.shape[2] == 3 * ours.shape[2] or (ours.shape[2], found.shape[2]) == (1, 3):
        ours = np.repeat(ours, 3, axis=2)
    return ours.shape == found.shape and bool(np.array_equal(ours, found))


# --- dumps of what a file says beside its samples ----------------------------------------------------------


def dump_png(data: bytes) -> list[tuple[str, Any]]:
    """Return the ancillary chunks; a profile without its compression."""
    found: list[tuple[str, Any]] = [("depth and colour type", data[24:26])]
    at = 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8].decode("latin-1"), data[at + 8 : at + 8 + size]
        at += 12 + size
        if kind == "IEND":
            break
        if kind == "iCCP" and b"\0\0" in body:
            name, _, packed = body.partition(b"\0\0")
            with contextlib.suppress(zlib.error):
                body = name + b"\0\0" + zlib.decompress(packed)
        if kind not in ("IHDR", "IDAT"):
            found.append((kind, body))
    return found


_TIFF_LAYOUT = {254, 255, 256, 257, 258, 259, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289}
_TIFF_LAYOUT |= {
    317,
    322,
    323,
    324,
    325,
    347,
    512,
    513,
    514,
    519,
    520,
    521,
    529,
    530,
    531,
    532,
    330,
    338,
    339,
}
_TIFF_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


def dump_tiff(data: bytes) -> list[tuple[str, Any]]:
    """Return the tags of the first directory that do not describe where the samples are."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    found: list[tuple[str, Any]] = []
    for _ in range(count):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        place = at + (12 if big else 8)
        size = _TIFF_SIZES.get(kind, 0)
        if size * number > (8 if big else 4):
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
        value = data[place : place + size * number]
        if order == ">" and size > 1:
            step = 4 if kind in (5, 10) else size
            value = b"".join(value[i : i + step][::-1] for i in range(0, len(value), step))
        if tag not in _TIFF_LAYOUT and tag not in (34665, 34853, 282, 283, 296):
            found.append((f"tag {tag}", value.rstrip(b"\0") if kind == 2 else value))
        elif tag in (34665, 34853):
            found.append((f"tag {tag}", "a directory"))
        at += 20 if big else 12
    return sorted(found)


DUMPS: dict[str, Callable[[bytes], list[tuple[str, Any]]]] = {"PNG": dump_png, "TIFF": dump_tiff}


# --- one file ----------------------------------------------------------------------------------------------


def examine(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (kind, words) for what happens to a file; the kind DIFFERENCE is unexplained."""
    try:
        reading = formats.read(io.BytesIO(data), max_pixels=MAX_PIXELS)
    except BBCodecError as error:
        yield type(error).__name__, str(error)
        return
    picture = reading.picture
    yield "read", f"{reading.format} {picture.mode} {picture.width} x {picture.height}"
    if reading.left_out:
        yield "left out", ", ".join(reading.left_out)
    agreed = failures = 0
    for reader in READERS.get(reading.format, ()):
        try:
            found = reader(data, picture)
        except Exception as error:  # an independent reader may lack a kind
            failures += 1
            yield "no second opinion", f"{reader.__name__}: {type(error).__name__}: {str(error)[:100]}"
            continue
        agreed += same_samples(picture, found)
        if not agreed and reader is READERS[reading.format][-1]:
            yield "DIFFERENCE", f"samples of {reader.__name__}"
    yield from _written(data, reading)


def _written(data: bytes, reading: formats.Reading) -> Iterator[tuple[str, str]]:
    """Yield what differs between a file and the one that is written of its picture."""
    picture = reading.picture
    small = picture.width * picture.height <= 2**16
    if small:
        try:
            packed = bbcodec.compress(picture, method="classic")
        except BBCodecError as error:
            yield type(error).__name__, str(error)
            return
        back = bbcodec.decompress_picture(packed)
        if not back.same(picture) or back.metadata != picture.metadata:
            yield "DIFFERENCE", "the .bb file gives back another picture"
        picture = back
    suffix = WRITTEN_AS.get(reading.format)
    if suffix is None:
        return
    out = io.BytesIO()
    try:
        write_image(out, picture, format=suffix)
    except BBCodecError as error:
        yield "not written", str(error)
        return
    again = formats.read(io.BytesIO(out.getvalue()), max_pixels=MAX_PIXELS)
    if not again.picture.same(picture):
        yield "DIFFERENCE", "the written file has other samples"
    if _plain(again.picture) != _plain(picture) and not left_out(picture, suffix):
        yield "DIFFERENCE", "the written file has other metadata"
    dump = DUMPS.get(reading.format)
    if dump is not None:
        before, after = Counter(map(repr, dump(data))), Counter(map(repr, dump(out.getvalue())))
        missing = [text for text in (before - after) if not _named(text, reading)]
        if missing:
            yield "DIFFERENCE", f"the written file lacks {'; '.join(m[:120] for m in missing)}"


def _plain(picture: Picture) -> Metadata:
    """Return the metadata of a picture, EXIF without the prefix that belongs to the file format."""
    m = picture.metadata
    return m if m.exif is None else replace(m, exif=m.exif.removeprefix(b"Exif\0\0"))


def _named(text: str, reading: formats.Reading) -> bool:
    """Return whether the warning about a file names an item of its dump."""
    name = text.split("'")[1]
    if name == "tag 262" and reading.lossy:  # YCbCr samples of JPEG have become RGB
        return True
    return any(name.split()[-1] in words for words in reading.left_out)


def main(arguments: list[str] | None = None) -> int:
    """Examine the files, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--list", action="store_true", help="print what happened to every file")
    options = parser.parse_args(arguments)
    files = [
        path
        for folder in options.folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower().lstrip(".") in SUFFIXES
    ]
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for path in files:
        try:
            events = list(examine(path.read_bytes()))
        except Exception as error:  # nothing but BBCodecError may come out of a reader
            events = [("DIFFERENCE", f"{type(error).__name__}: {error}")]
        counts.update({kind for kind, _ in events})
        reasons.update(words for kind, words in events if kind == "UnsupportedImageError")
        for kind, words in events:
            if options.list or kind == "DIFFERENCE":
                print(f"{path.name}: {kind}: {words}")
    print(f"\n{len(files)} files")
    for kind, count in counts.most_common():
        print(f"{count:6} {kind}")
    return 1 if counts["DIFFERENCE"] else 0


if __name__ == "__main__":
    sys.exit(main())
