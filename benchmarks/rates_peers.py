# SPDX-License-Identifier: Apache-2.0
"""The other lossless codecs of `rates.py`, with their settings and library versions, and their cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

__all__ = ["PEERS", "Cache", "Measured", "Peer", "exact", "peers"]

Pixels = NDArray[np.uint8]

PEERS = ("png", "webp", "jpegls", "jxl7", "jxl9")


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

    `decode` returns the pixels. A gray picture may have one channel or three equal ones. With `tiled`, small
    pictures are also measured as one mosaic.
    """

    key: str
    title: str
    settings: str
    library: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    tiled: bool = False


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
    """Return whether a picture was decoded exactly. Three equal channels are accepted for a gray picture."""
    if image.ndim == 2 and decoded.ndim == 3 and (decoded == decoded[:, :, :1]).all():
        decoded = decoded[:, :, 0]
    return decoded.dtype == image.dtype and np.array_equal(decoded, image)


def _pillow(format: str, **settings: Any) -> Callable[[Pixels], bytes]:
    def encode(image: Pixels) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, format, **settings)
        return out.getvalue()

    return encode


def _unpillow(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)))


def _webp_encode(settings: dict[str, Any]) -> Callable[[Pixels], bytes]:
    save = _pillow("WEBP", **settings)
    # WebP has no gray format: a gray picture is coded as three equal channels.
    return lambda image: save(image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2))


def _webp() -> Peer:
    settings: dict[str, Any] = {"lossless": True, "method": 6, "quality": 100, "exact": True}
    library = f"libwebp {features.version('webp')}, Pillow {pillow_version}"
    return Peer(
        "webp", "WebP lossless", _words(settings), library, _webp_encode(settings), _unpillow, tiled=True
    )


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _png() -> Peer:
    library = f"zlib {features.version('zlib')}, Pillow {pillow_version}"
    return Peer("png", "PNG", "optimize=True", library, _pillow("PNG", optimize=True), _unpillow)


def _jpegls(imagecodecs: Any) -> Peer:
    library = f"{imagecodecs.jpegls_version()}, imagecodecs {imagecodecs.__version__}"

    def encode(image: Pixels) -> bytes:
        return bytes(imagecodecs.jpegls_encode(image, level=0))

    return Peer(
        "jpegls", "JPEG-LS", "level=0, no colour transform", library, encode, imagecodecs.jpegls_decode
    )


def _jpegxl(imagecodecs: Any, effort: int) -> Peer:
    library = f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}"

    def encode(image: Pixels) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, numthreads=1))

    def decode(data: bytes) -> Pixels:
        pixels: Pixels = imagecodecs.jpegxl_decode(data, numthreads=1)
        return pixels

    settings = _words({"lossless": True, "effort": effort, "numthreads": 1})
    return Peer(f"jxl{effort}", f"JPEG XL e{effort}", settings, library, encode, decode, tiled=True)


def peers(wanted: list[str]) -> tuple[list[Peer], list[str]]:
    """Return the installed peers, and the reasons why others are missing."""
    rows, missing = [], []
    imagecodecs = None
    if not {"png", "webp"}.issuperset(wanted):
        with contextlib.suppress(ImportError):
            import imagecodecs
    for key in wanted:
        if key == "png":
            rows.append(_png())
        elif key == "webp":
            rows.append(_webp())
        elif imagecodecs is None:
            missing.append(f"{key}: imagecodecs is not installed (extra 'bench')")
        else:
            rows.append(_jpegls(imagecodecs) if key == "jpegls" else _jpegxl(imagecodecs, int(key[3:])))
    return rows, missing
