# SPDX-License-Identifier: Apache-2.0
"""What `method="auto"` chooses: by statistics and crops, for every mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from image_files import CASES, needs_cases
from PIL import Image

import bbcodec
from bbcodec.bbfile import choose
from bbcodec.picture.picture import MODES


def photograph(height: int = 300, width: int = 500) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.effect_mandelbrot((width, height), (-2, -1, 1, 1), 100), float)[..., None] / 4
    return (smooth + rng.normal(60, 8, (height, width, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("factor", "learned", "classic"),
    [(0.5, True, False), (0.95, True, True), (1.02, True, True), (1.5, False, True)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_choice_by_crops(factor: float, learned: bool, classic: bool, channels: int) -> None:
    samples = photograph()[..., :channels]
    choice = choose.choose(samples, lambda crop: 8 * factor * choose.webp_size(crop))
    assert (choice.learned, choice.classic) == (learned, classic)
    assert choice.webp_bits == pytest.approx(8 * choose.webp_size(samples), rel=0.1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"])
def test_photographs_of_any_mode_are_no_larger_than_either_method_makes_them(mode: str) -> None:
    info = MODES[mode]
    y, x = np.mgrid[:120, :160]
    waves = (120 + 60 * np.sin(x / 9 + y / 23) * np.cos(y / 11))[..., None]
    noise = np.random.default_rng(0).normal(0, 2, (120, 160, info.channels))
    pixels = (waves + noise).astype(np.uint8)
    if info.dtype == "uint16":
        pixels = pixels.astype(np.uint16) * 256 + np.arange(160, dtype=np.uint16)[:, None]
    pixels = pixels if info.channels > 1 else pixels[..., 0]
    sizes = {
        method: len(bbcodec.compress(pixels, method=method, model="fast", verify=False))
        for method in ("auto", "learned", "classic")
    }
    assert sizes["auto"] == min(sizes["learned"], sizes["classic"])
    if mode in ("L", "RGB"):
        assert sizes["auto"] == sizes["learned"] < sizes["classic"]


@needs_cases
def test_a_photograph_on_bars_takes_the_smallest_method() -> None:
    picture = bbcodec.read_image(CASES / "c_photo_on_bars.png")
    sizes = [len(bbcodec.compress(picture, method=method)) for method in ("auto", "classic", "learned")]
    assert sizes[0] == min(sizes)
    assert sizes[0] < 16_113  # JPEG XL, effort 9


def test_graphics_are_known_without_the_model() -> None:
    def never(crop: Any) -> float:
        raise AssertionError("the model must not be asked")

    flat = np.zeros((100, 100, 3), np.uint8)
    few = np.random.default_rng(0).integers(0, 2, (300, 300, 1)).astype(np.uint8).repeat(3, axis=2) * 255
    sketch = np.random.default_rng(0).integers(0, 20, (300, 300, 1)).astype(np.uint8) * 12
    for samples in (flat, few, flat[:, :1], flat[..., :1], few[..., :1], sketch):
        assert choose.choose(samples, never) == choose.Choice(learned=False, classic=True)


def test_uneven_pictures_try_both() -> None:
    picture_ = photograph(600, 900)
    picture_[200:260] = 7  # a flat band between the crops
    picture_[:20] = 9
    choice = choose.choose(picture_, lambda crop: 4 * choose.webp_size(crop))
    assert choice.learned
    assert choice.classic


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 30), (300, 400), (400, 300), (128, 99999)])
def test_crops_lie_inside(size: tuple[int, int]) -> None:
    for y, x in choose.crops(*size):
        assert 0 <= y.start < y.stop <= size[0]
        assert 0 <= x.start < x.stop <= size[1]
