# SPDX-License-Identifier: Apache-2.0
"""Regions: what comes back is that part of the whole, of every method and mode, and no more is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec import container
from bbcodec.bbfile.encoder import Fitting, Options, encode
from bbcodec.classic import samples8, webp
from bbcodec.container import Section
from bbcodec.families.latent import tiles
from bbcodec.families.local import blocks
from bbcodec.jobs import SERIAL
from bbcodec.picture import turn
from bbcodec.picture.region import Window

REGIONS = [(0, 0, 1, 1), (5, 7, 20, 11), (0, 0, 70, 50), (69, 49, 1, 1), (31, 0, 2, 50), (10, 24, 60, 2)]


def picture(channels: int, dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:50, :70]
    light = 100 + 50 * np.sin(x / 9) * np.cos(y / 7)
    values = light[..., None] + rng.normal(0, 3, (50, 70, channels))
    scale = 257 if dtype == np.uint16 else 1
    return (np.clip(values, 0, 255) * scale).astype(dtype)


def cut(image: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = region
    return image[y : y + height, x : x + width]


@pytest.mark.parametrize("model", ["photo", "rvae"])
def test_learned_regions(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 24)
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(tiles, "CHAIN_TILES", 7)
    image = picture(3)
    data = bbcodec.compress(image, method="learned", model=model)
    for region in REGIONS:
        assert np.array_equal(bbcodec.decompress(data, region=region), cut(image, region))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tiled", [False, True])
def test_classic_regions(channels: int, dtype: Any, tiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if tiled:
        monkeypatch.setattr(webp, "MAX_WHOLE_PIXELS", 0)
        monkeypatch.setattr(webp, "TILE_PIXELS", 700)
        monkeypatch.setattr(samples8, "_SMALL_BYTES", 0)
    image = picture(channels, dtype)
    data = bbcodec.compress(image, method="classic")
    for region in REGIONS:
        found = bbcodec.decompress(data, region=region)
        assert found.dtype == dtype
        assert np.array_equal(found, cut(image, region))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA"])
def test_regions_of_pillow_modes(mode: str) -> None:
    image = Image.fromarray(picture(3)).convert(mode)
    image.info["dpi"] = (72.0, 72.0)
    found = bbcodec.decompress_picture(bbcodec.compress(image), region=(5, 7, 20, 11))
    part = image.crop((5, 7, 25, 18))
    assert found.to_pil().tobytes() == part.tobytes()
    assert found.to_pil().mode == mode
    assert found.metadata.dpi == (72.0, 72.0)
    if mode == "P":
        assert found.to_pil().getpalette() == image.getpalette()


@pytest.mark.parametrize(("model", "method"), [("photo", "learned + classic"), ("standard", "learned")])
def test_alpha_goes_with_learned_colours(model: str, method: str) -> None:
    image = picture(4)
    data = bbcodec.compress(image, method="learned", model=model)
    assert bbcodec.info(data).method == method
    for region in REGIONS:
        assert np.array_equal(bbcodec.decompress(data, region=region), cut(image, region))


@pytest.mark.parametrize("view", range(16))
def test_regions_of_pictures_that_were_turned(view: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 24)

    def turned(self: Any, image: Any, model: Any, progress: Any) -> Section:
        return Section(container.FITTED, bytes([view, 0]))

    monkeypatch.setattr("bbcodec.bbfile.encoder.Fitting.section", turned)
    monkeypatch.setattr("bbcodec.bbfile.encoder.Fitting.fitter", lambda self, model: None)
    monkeypatch.setattr("bbcodec.bbfile.choose.SECTION_OVERHEAD_BYTES", -(10**6))  # it need not pay
    options = Options(method="learned", model="fast", fitting=Fitting(1.0))
    data = encode(bbcodec.Picture.of(picture(3)), options, SERIAL)
    assert bbcodec.info(data).fit is not None
    for region in REGIONS:
        assert np.array_equal(bbcodec.decompress(data, region=region), cut(picture(3), region))


def test_turned_windows_are_where_the_picture_is() -> None:
    image = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    window = Window(1, 2, 3, 4)
    for view in range(16):
        turned = turn.turn(image, view)
        found = turn.turned_window(window, *turned.shape[:2], view)
        assert np.array_equal(turn.turn_back(turned[found.place], view), image[window.place])


def test_no_more_blocks_are_decoded_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 24)
    data = bbcodec.compress(picture(3), method="learned", model="fast")
    done: list[tuple[int, int]] = []
    bbcodec.decompress(data, region=(0, 0, 5, 5), progress=lambda *at: done.append(at))
    assert done == [(1, 1)]


def test_no_more_tiles_are_decoded_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(tiles, "CHAIN_TILES", 5)
    data = bbcodec.compress(picture(3), method="learned", model="rvae")
    done: list[tuple[int, int]] = []
    bbcodec.decompress(data, region=(64, 48, 6, 2), progress=lambda *at: done.append(at))
    assert done == [(1, 5)]  # the last tile of the last chain comes first


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 0, 1),
        (0, 0, 71, 1),
        (-1, 0, 1, 1),
        (0, 50, 1, 1),
        (0, 49, 1, 2),
        (1, 2, 3),
        (1, 2, 3, 4.5),
        "1234",
    ],
)
def test_regions_outside_are_refused(region: Any) -> None:
    data = bbcodec.compress(picture(3), method="classic")
    with pytest.raises(bbcodec.OptionError, match="region"):
        bbcodec.decompress(data, region=region)
