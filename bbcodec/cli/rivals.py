# SPDX-License-Identifier: Apache-2.0
"""The codecs that `bbcodec compare` measures, each as a pair of functions on pictures.

Each is called so that it is lossless. Nothing is timed or printed here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, features

from bbcodec.cli import codec
from bbcodec.cli.settings import Decoding, Encoding
from bbcodec.jobs import MAX_THREADS
from bbcodec.picture.files import read_image, write_image
from bbcodec.picture.picture import Picture

__all__ = ["Codec", "codecs", "versions"]


@dataclass(frozen=True)
class Codec:
    """One row of the comparison.

    Parameters
    ----------
    name
        Name in the table.
    encode
        Returns the bytes of a picture. Every codec leaves metadata out.
    decode
        Returns an object with all the pixels.
    exact
        Returns whether the result of `decode` is the picture.
    ours
        Whether the codec is bbcodec.
    """

    name: str
    encode: Callable[[Picture], bytes]
    decode: Callable[[bytes], Any]
    exact: Callable[[Picture, Any], bool]
    ours: bool = False


def _ours(name: str, method: str, model: str | None, threads: int, backend: str | None) -> Codec:
    # The comparison measures and checks the round trip itself.
    encoding = Encoding(method, model, keep_metadata=False, verify=False, threads=threads, backend=backend)
    decoding = Decoding.of(None, threads, backend, None, None)

    def encode(picture: Picture) -> bytes:
        return codec.encode(picture, encoding)

    def decode(data: bytes) -> Picture:
        return codec.decode(data, decoding)

    return Codec(f"bbcodec {name}", encode, decode, Picture.same, ours=True)


def _png_encode(picture: Picture) -> bytes:
    out = io.BytesIO()
    if picture.mode in ("LA;16", "RGB;16", "RGBA;16"):  # Pillow cannot
        write_image(out, picture, format="png")
    else:
        picture.to_pil().save(out, "PNG", optimize=True)
    return out.getvalue()


def _same_pixels(picture: Picture, decoded: Picture) -> bool:
    return picture.pixels.dtype == decoded.pixels.dtype and np.array_equal(picture.pixels, decoded.pixels)


def _colours(picture: Picture) -> NDArray[np.uint8]:
    """Return the picture as WebP takes it: RGB or RGBA, without loss."""
    image = picture.to_pil()
    if image.mode.startswith("I;16"):
        raise ValueError("no 16-bit samples")
    alpha = image.mode.endswith("A") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))


def _webp(name: str, **effort: int) -> Codec:
    def encode(picture: Picture) -> bytes:
        out = io.BytesIO()
        Image.fromarray(_colours(picture)).save(out, "WEBP", lossless=True, exact=True, **effort)
        return out.getvalue()

    def decode(data: bytes) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(data)))

    def exact(picture: Picture, pixels: NDArray[np.uint8]) -> bool:
        expected = _colours(picture)
        # Pillow leaves an alpha channel out of the file when it is opaque everywhere.
        opaque = expected.shape[2] == 4 and bool((expected[:, :, 3] == 255).all())
        return np.array_equal(expected[:, :, : pixels.shape[2]], pixels) and (
            pixels.shape == expected.shape or opaque
        )

    return Codec(name, encode, decode, exact)


def _jpegxl(threads: int) -> Codec:
    import imagecodecs

    def samples(picture: Picture) -> NDArray[Any]:
        if picture.mode == "P":
            return _colours(picture)
        return picture.pixels.view(np.uint8) * np.uint8(255) if picture.mode == "1" else picture.pixels

    def encode(picture: Picture) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(samples(picture), lossless=True, effort=7, numthreads=threads))

    def decode(data: bytes) -> Any:
        return imagecodecs.jpegxl_decode(data, numthreads=threads)

    def exact(picture: Picture, pixels: NDArray[Any]) -> bool:
        return np.array_equal(samples(picture), pixels)

    return Codec("JPEG XL e7", encode, decode, exact)


def codecs(models: list[str], threads: int, backend: str | None) -> list[Codec]:
    """Return all codecs that are installed, ours first.

    Parameters
    ----------
    models
        Models of the learned method, one row each.
    threads
        Threads of bbcodec and JPEG XL. PNG and WebP use one.
    backend
        Backend of bbcodec.
    """
    rows = [_ours(model, "learned", model, threads, backend) for model in models]
    rows.append(_ours("auto", "auto", None, threads, backend))
    rows.append(Codec("PNG optimised", _png_encode, lambda data: read_image(io.BytesIO(data)), _same_pixels))
    rows.append(_webp("WebP"))
    rows.append(_webp("WebP slowest", method=6, quality=100))
    if importlib.util.find_spec("imagecodecs") is not None:
        rows.append(_jpegxl(min(threads, MAX_THREADS)))
    return rows


def versions() -> dict[str, str]:
    """Return the versions of what is measured: bbcodec, and the libraries behind the rivals."""
    import platform

    found = {"bbcodec": importlib.metadata.version("bbcodec"), "Python": platform.python_version()}
    found["PNG, WebP"] = f"Pillow {PIL.__version__}, zlib {features.version('zlib')}, "
    found["PNG, WebP"] += f"libwebp {features.version('webp')}"
    if importlib.util.find_spec("imagecodecs") is not None:
        import imagecodecs

        found["JPEG XL"] = f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}"
    return found
