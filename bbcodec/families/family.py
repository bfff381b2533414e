# SPDX-License-Identifier: Apache-2.0
"""The learned path: pixels into independent payloads and back, by whatever the model's family asks for.

Models with latents (`rvae`, `markov`) code chains of tiles (`bbcodec.families.latent.tiles`), the family
`local` codes blocks (`bbcodec.families.local.blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Section
from bbcodec.families.stats import ChainStats, EncodedPixels, Lost, Pixels
from bbcodec.jobs import Progress
from bbcodec.modelfile import Model
from bbcodec.picture.region import Place, Window

__all__ = ["ChainStats", "EncodedPixels", "bit_map", "decode", "encode", "estimate_bits", "inspect", "places"]


class _Coder(Protocol):
    def encode(
        self,
        image: Pixels,
        model: Model,
        *,
        threads: int = 0,
        backend: str | None = None,
        progress: Progress | None = None,
    ) -> EncodedPixels: ...

    def decode(
        self,
        chains: Sequence[bytes | memoryview],
        height: int,
        width: int,
        channels: int,
        model: Model,
        *,
        threads: int = 0,
        backend: str | None = None,
        progress: Progress | None = None,
        window: Window | None = None,
        lost: Lost | None = None,
    ) -> Pixels: ...

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]: ...

    def bit_map(
        self,
        image: Pixels,
        chains: Sequence[bytes | memoryview],
        model: Model,
        *,
        threads: int = 0,
        backend: str | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]: ...

    def inspect(
        self, chains: Sequence[bytes | memoryview], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]: ...

    def estimate_bits(self, image: Pixels, model: Model, backend: str | None = None) -> float: ...


def _coder(model: Model) -> _Coder:
    if model.family == "local":
        from bbcodec.families.local import blocks

        return cast(_Coder, blocks)
    from bbcodec.families.latent import tiles

    return cast(_Coder, tiles)


def encode(
    image: Pixels,
    model: Model,
    *,
    threads: int = 0,
    backend: str | None = None,
    progress: Progress | None = None,
    fitted: Section | None = None,
) -> EncodedPixels:
    """Encode pixels.

    Parameters
    ----------
    image : uint8 [H, W, C], C of 1 (gray) or 3 (RGB).
    model : a loaded model file.
    threads : 0 for one per CPU. The bytes do not depend on it.
    backend : see `bbcodec.backends`; the bytes do not depend on it.
    progress : called with (parts done, parts) from worker threads.
    fitted : section that changes the model and turns the picture, or None.

    Returns
    -------
    EncodedPixels
    """
    if fitted is not None:
        from bbcodec.families.local import fitted as fits

        change = fits.unpack(fitted.payload, fitted.offset)
        image, model = fits.turn(image, change.view), change.apply(model)
    return _coder(model).encode(image, model, threads=threads, backend=backend, progress=progress)


def decode(
    chains: Sequence[bytes | memoryview],
    height: int,
    width: int,
    channels: int,
    model: Model,
    *,
    threads: int = 0,
    backend: str | None = None,
    progress: Progress | None = None,
    fitted: Section | None = None,
    window: Window | None = None,
    lost: Lost | None = None,
) -> Pixels:
    """Decode what `encode` made: uint8 [height, width, channels], or a window of it.

    With `lost`, as many payloads as `places` tells are given; see `bbcodec.jobs.Lost`.

    Raises
    ------
    FormatError
        The number of payloads does not fit the size, or a payload or the section of the fit is not sound.
    """
    view = 0
    if fitted is not None:
        from bbcodec.families.local import fitted as fits

        change = fits.unpack(fitted.payload, fitted.offset)
        model, view = change.apply(model), change.view
        height, width = fits.turned_size(height, width, view)
        window = window and fits.turned_window(window, height, width, view)
    image = _coder(model).decode(
        chains,
        height,
        width,
        channels,
        model,
        threads=threads,
        backend=backend,
        progress=progress,
        window=window,
        lost=lost,
    )
    return fits.turn_back(image, view) if view else image


def places(height: int, width: int, model: Model, fitted: Section | None = None) -> list[list[Place]]:
    """Rows and columns of the picture that each payload holds, in rectangles."""
    if fitted is None:
        return _coder(model).places(height, width, model)
    from bbcodec.families.local import fitted as fits

    change = fits.unpack(fitted.payload, fitted.offset)
    turned = fits.turned_size(height, width, change.view)
    found = _coder(model).places(*turned, change.apply(model))
    return [[fits.place_back(place, *turned, change.view) for place in chain] for chain in found]


def bit_map(
    image: Pixels,
    chains: Sequence[bytes | memoryview],
    model: Model,
    *,
    threads: int = 0,
    backend: str | None = None,
    progress: Progress | None = None,
    fitted: Section | None = None,
) -> NDArray[np.float32]:
    """Where the bits of payloads went: float32 [H, W], bits per pixel.

    The family `local` knows the cost of every pixel; the others that of every tile, which its pixels share.

    Parameters
    ----------
    image : uint8 [H, W, C], what `decode` gave of the same payloads.
    chains, model, threads, backend, progress, fitted : see `decode`.
    """
    view = 0
    if fitted is not None:
        from bbcodec.families.local import fitted as fits

        change = fits.unpack(fitted.payload, fitted.offset)
        model, view = change.apply(model), change.view
        image = fits.turn(image, view)
    bits = _coder(model).bit_map(image, chains, model, threads=threads, backend=backend, progress=progress)
    return fits.turn_back(bits[..., None], view)[..., 0] if view else bits


def inspect(
    chains: Sequence[bytes | memoryview], height: int, width: int, model: Model | None = None
) -> dict[str, Any]:
    """What the payloads tell without decoding; without the model only how many there are."""
    if model is None:
        return {"chains": len(chains)}
    return _coder(model).inspect(chains, height, width, model)


def estimate_bits(image: Pixels, model: Model, backend: str | None = None) -> float:
    """Net bits that a picture of at most 2^17 pixels takes in one piece, start not counted."""
    return _coder(model).estimate_bits(image, model, backend=backend)
