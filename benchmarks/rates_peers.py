# SPDX-License-Identifier: Apache-2.0
"""The other lossless codecs of `rates.py`, with their settings and library versions, and their cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

__all__ = ["PEERS", "Cache", "Measured", "Peer", "exact", "is_bilevel", "peers"]

Pixels = NDArray[np.uint8]

PEERS = ("png", "webp", "jpegls", "jxl7", "jxl9", "jbig2", "jbig")


@dataclass(frozen=True)
class Measured:
    """Measurement of one file: bytes, seconds to encode and to decode, and whether it is from the cache."""

    nbytes: int
    encode_seconds: float
    decode_seconds: float
    cached: bool = False


@dataclass(frozen=True)
class Peer:
    """One codec: its name in options (`key`) and in tables (`title`), settings, library and functions.

    `encode` takes gray, gray with alpha, RGB or RGBA. `decode` returns pixels that `exact` accepts. With
    `tiled`, small pictures are also measured as one mosaic. With `bilevel`, only bilevel pictures are coded.
    """

    key: str
    title: str
    settings: str
    library: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    tiled: bool = False
    bilevel: bool = False


class Cache:
    """Sizes and times by (peer, settings, library version, sha256 of the pixels), in a JSON file.

    It contains only exact round trips. It is written every few seconds, so that a stopped run can resume.
    """

    def __init__(self, path: Path | None, every: float = 5.0) -> None:
        self.path, self.every, self.saved = path, every, time.monotonic()
        self.entries: dict[str, list[float]] = {}
        if path is not None and path.is_file():
            self.entries = json.loads(path.read_text())

    def save(self) -> None:
        """Write the file atomically."""
        if self.path is not None:
            part = self.path.with_name(self.path.name + f".{os.getpid()}")
            part.write_text(json.dumps(self.entries, indent=0))
            part.replace(self.path)
        self.saved = time.monotonic()

    def measure(self, peer: Peer, image: Pixels) -> Measured:
        """Return size and times of a picture with a peer: from the cache, or measured and verified now.

        Raises
        ------
        ValueError
            The decoded picture differs.
        """
        pixels = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        key = "|".join((peer.key, peer.settings, peer.library, pixels))
        if key in self.entries:
            size, encode, decode = self.entries[key]
            return Measured(int(size), encode, decode, cached=True)
        start = time.perf_counter()
        data = peer.encode(image)
        middle = time.perf_counter()
        decoded = peer.decode(data)
        end = time.perf_counter()
        if not exact(image, decoded):
            raise ValueError(f"{peer.title}: the decoded picture differs")
        self.entries[key] = [len(data), round(middle - start, 6), round(end - middle, 6)]
        if time.monotonic() - self.saved > self.every:
            self.save()
        return Measured(len(data), middle - start, end - middle)


def exact(image: Pixels, decoded: Pixels) -> bool:
    """Return whether a picture was decoded exactly.

    A codec may lack a format of ours: three equal channels are accepted for a gray picture, no alpha for an
    opaque one, and 0 and 1 for a bilevel one.
    """
    if decoded.dtype != image.dtype or decoded.shape[:2] != image.shape[:2]:
        return False
    if is_bilevel(image) and decoded.max(initial=0) == 1:
        decoded = 255 * decoded
    if _channels(image) in (2, 4) and _channels(decoded) in (1, 3):
        decoded = np.dstack([decoded, np.full_like(image[:, :, 0], 255)])
    if _channels(image) in (1, 2) and _channels(decoded) in (3, 4):
        if not (decoded[:, :, :3] == decoded[:, :, :1]).all():
            return False
        decoded = decoded[:, :, 0] if _channels(decoded) == 3 else decoded[:, :, [0, 3]]
    return np.array_equal(decoded, image)


def is_bilevel(image: Pixels) -> bool:
    """Return whether a picture is gray with no values but 0 and 255."""
    return image.ndim == 2 and not ((image != 0) & (image != 255)).any()


def _channels(image: Pixels) -> int:
    return 1 if image.ndim == 2 else image.shape[2]


def _coloured(image: Pixels) -> Pixels:
    """Return RGB or RGBA; gray becomes three equal channels."""
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return image[:, :, [0, 0, 0, 1]] if image.shape[2] == 2 else image


def _one_bit(image: Pixels) -> Image.Image:
    return Image.fromarray(image).convert("1", dither=Image.Dither.NONE)


def _pillow(image: Image.Image, format: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **settings)
    return out.getvalue()


def _unpillow(data: bytes) -> Pixels:
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("L") if image.mode == "1" else image)


def _webp() -> Peer:
    settings: dict[str, Any] = {"lossless": True, "method": 6, "quality": 100, "exact": True}
    library = f"libwebp {features.version('webp')}, Pillow {pillow_version}"

    def encode(image: Pixels) -> bytes:  # WebP has no gray format
        return _pillow(Image.fromarray(_coloured(image)), "WEBP", **settings)

    return Peer("webp", "WebP lossless", _words(settings), library, encode, _unpillow, tiled=True)


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _png() -> Peer:
    library = f"zlib {features.version('zlib')}, Pillow {pillow_version}"

    def encode(image: Pixels) -> bytes:
        data = _pillow(Image.fromarray(image), "PNG", optimize=True)
        if is_bilevel(image):
            data = min(data, _pillow(_one_bit(image), "PNG", optimize=True), key=len)
        return data

    return Peer("png", "PNG", "optimize=True", library, encode, _unpillow)


def _jpegls(imagecodecs: Any) -> Peer:
    library = f"{imagecodecs.jpegls_version()}, imagecodecs {imagecodecs.__version__}"

    def encode(image: Pixels) -> bytes:  # the library refuses two channels
        return bytes(imagecodecs.jpegls_encode(_coloured(image) if _channels(image) == 2 else image, level=0))

    return Peer(
        "jpegls", "JPEG-LS", "level=0, no colour transform", library, encode, imagecodecs.jpegls_decode
    )


def _jpegxl(imagecodecs: Any, effort: int) -> Peer:
    library = f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}"

    def encode(image: Pixels) -> bytes:
        options = {"lossless": True, "effort": effort, "numthreads": 1}
        data = bytes(imagecodecs.jpegxl_encode(image, **options))
        if is_bilevel(image):
            one_bit = imagecodecs.jpegxl_encode(image // 255, bitspersample=1, **options)
            data = min(data, bytes(one_bit), key=len)
        return data

    def decode(data: bytes) -> Pixels:
        pixels: Pixels = imagecodecs.jpegxl_decode(data, numthreads=1)
        return pixels

    settings = _words({"lossless": True, "effort": effort, "numthreads": 1})
    return Peer(f"jxl{effort}", f"JPEG XL e{effort}", settings, library, encode, decode, tiled=True)


@dataclass(frozen=True)
class _Tool:
    """A bilevel codec whose programs read and write files.

    `encoders` are command lines that are all tried; the smallest file counts. ``{source}`` and ``{target}``
    are the files. A program without ``{target}`` writes to its standard output. `asks` prints the version.
    `source` is Pillow's name of the format that the encoder reads. The decoder writes PBM.
    """

    title: str
    settings: str
    encoders: tuple[str, ...]
    decoder: str
    asks: str
    source: str

    @property
    def programs(self) -> list[str]:
        """Return the names of the programs."""
        return sorted({command.split()[0] for command in (*self.encoders, self.decoder)})


_TOOLS = {
    "jbig2": _Tool(
        "JBIG2",
        "generic region, with or without -d",
        ("jbig2 {source}", "jbig2 -d {source}"),
        "jbig2dec -t pbm -o {target} {source}",
        "jbig2 -V",
        "PNG",  # some PBM files are refused by its library, Leptonica 1.82
    ),
    "jbig": _Tool(
        "JBIG1",
        "sequential (-q)",
        ("pbmtojbg -q {source} {target}",),
        "jbgtopbm {source} {target}",
        "pbmtojbg --help",
        "PPM",
    ),
}


def _run(command: str, source: bytes) -> bytes:
    """Return the file that a command makes from the file `source`."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"source": f"{folder}/source", "target": f"{folder}/target"}
        Path(places["source"]).write_bytes(source)
        words = [word.format(**places) for word in command.split()]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            raise ValueError(f"{words[0]} failed: {said or done.returncode}")
        return Path(places["target"]).read_bytes() if "{target}" in command else done.stdout


def _tool(key: str) -> Peer:
    tool = _TOOLS[key]
    done = subprocess.run(tool.asks.split(), capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    library = said.partition("\n")[0].partition(" -- ")[0]

    def encode(image: Pixels) -> bytes:
        page = _pillow(_one_bit(image), tool.source)
        return min((_run(command, page) for command in tool.encoders), key=len)

    def decode(data: bytes) -> Pixels:
        return _unpillow(_run(tool.decoder, data))

    settings = f"{tool.settings}; times include the start of processes"
    return Peer(key, tool.title, settings, library, encode, decode, bilevel=True)


def peers(wanted: list[str]) -> tuple[list[Peer], list[str]]:
    """Return the installed peers, and the reasons why others are missing."""
    rows, missing = [], []
    imagecodecs = None
    if not {"png", "webp", *_TOOLS}.issuperset(wanted):
        with contextlib.suppress(ImportError):
            import imagecodecs
    for key in wanted:
        if key == "png":
            rows.append(_png())
        elif key == "webp":
            rows.append(_webp())
        elif key in _TOOLS:
            absent = [program for program in _TOOLS[key].programs if shutil.which(program) is None]
            if absent:
                missing.append(f"{key}: no program {', '.join(absent)} (optional, for bilevel pictures)")
            else:
                rows.append(_tool(key))
        elif imagecodecs is None:
            missing.append(f"{key}: imagecodecs is not installed (extra 'bench')")
        else:
            rows.append(_jpegls(imagecodecs) if key == "jpegls" else _jpegxl(imagecodecs, int(key[3:])))
    return rows, missing
