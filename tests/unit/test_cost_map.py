# SPDX-License-Identifier: Apache-2.0
"""Where the bits went: maps add up to the files, and lie where the pixels lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_pictures import pictures

import bbcodec
from bbcodec import container, modelfile
from bbcodec.api import cost_map
from bbcodec.bbfile.cost_map import ANCHORS, CHAIN_OVERHEAD, colours
from bbcodec.bbfile.samples_sections import unpack_chains
from bbcodec.container import Section
from bbcodec.families import learned
from bbcodec.families.local.fitted import Fitted
from bbcodec.jobs import SERIAL

GOLDEN = Path(__file__).parents[1] / "golden"


def half_noise(height: int = 48, width: int = 96) -> np.ndarray:
    """Flat on the left, noise on the right."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:, width // 2 :] = np.random.default_rng(1).integers(0, 256, (height, width // 2, 3))
    return picture


def left_over(bits: np.ndarray, chains: list[bytes] | list[memoryview]) -> float:
    """Bits a chain that are in the chains, and not in the map."""
    return (8 * sum(map(len, chains)) - float(bits.sum(dtype=np.float64))) / len(chains)


def chains_in(data: bytes) -> list[memoryview]:
    section = container.read(data).one(container.CHAINS)
    assert section is not None
    return unpack_chains(section)


@pytest.mark.parametrize("model", ["photo", "fast", "thumb"])
def test_half_flat_half_noise(model: str) -> None:
    data = bbcodec.compress(half_noise(), method="learned", model=model)
    bits = cost_map(data)
    assert bits.dtype == np.float32
    assert bits.shape == (48, 96)
    assert bits[:, :48].mean() < 1
    assert 23.5 < bits[:, 48:].mean() < 27.5  # 24 cannot be beaten but by chance
    assert 0 <= left_over(bits, chains_in(data)) <= CHAIN_OVERHEAD
    assert bits.min() > 0


@pytest.mark.parametrize("model", ["rvae", "flowpp"])
def test_models_with_latents_tell_what_tiles_cost(model: str) -> None:
    picture = np.concatenate([half_noise(64, 64), half_noise(64, 128)], axis=1)  # the third tile is noise
    data = bbcodec.compress(picture, method="learned", model=model, verify=False)
    bits = cost_map(data)
    tiles = [bits[:, 64 * i : 64 * (i + 1)] for i in range(3)]
    assert all(np.ptp(tile) == 0 for tile in tiles)
    assert tiles[1].mean() < tiles[0].mean() < tiles[2].mean()
    assert 0 <= left_over(bits, chains_in(data)) <= CHAIN_OVERHEAD


def test_several_blocks_and_backends() -> None:
    (picture,) = pictures(1, 9, 1030)
    picture[:, 700:] = half_noise(9, 660)[:, 330:]
    data = bbcodec.compress(picture, method="learned", model="fast")
    assert len(chains_in(data)) == 3
    bits = cost_map(data, threads=2)
    assert bits[:, 700:].mean() > 23 > 12 > bits[:, :700].mean()
    assert 0 <= left_over(bits, chains_in(data)) <= CHAIN_OVERHEAD
    data = bbcodec.compress(picture[:, 690:720], method="learned", model="fast")
    assert np.array_equal(cost_map(data, backend="numpy"), cost_map(data))


def test_a_turned_picture() -> None:
    model = modelfile.load_named("fast")
    image = half_noise(24, 40)
    for view in (0, 7, 12):
        section = Section(container.FITTED, Fitted(view=view).pack())
        chains = learned.encode(image, model, SERIAL, fitted=section).chains
        bits = learned.cost_map(image, chains, model, SERIAL, fitted=section)
        assert bits.shape == (24, 40)
        assert bits[:, :20].mean() < 4 < 23 < bits[:, 20:].mean()
        assert 0 <= left_over(bits, chains) <= CHAIN_OVERHEAD


@pytest.mark.parametrize("name", ["local_photo", "local_gray", "local_rgba", "learned_markov"])
def test_files_of_old(name: str) -> None:
    data = (GOLDEN / f"{name}.bb").read_bytes()
    found = bbcodec.info(data)
    bits = bbcodec.cost_map(data)
    assert bits.shape == (found.height, found.width)
    assert 0 <= left_over(bits, chains_in(data)) <= CHAIN_OVERHEAD


def test_no_map_without_a_model() -> None:
    with pytest.raises(bbcodec.OptionError, match="method classic"):
        cost_map((GOLDEN / "classic_rgb.bb").read_bytes())


def test_colours_grow_lighter_evenly() -> None:
    painted = colours(np.linspace(0, 30, 50, dtype=np.float32)[None], 24)
    assert painted.shape == (1, 50, 3)
    assert tuple(painted[0, 0]) == ANCHORS[0]
    assert tuple(painted[0, -1]) == tuple(painted[0, 40]) == ANCHORS[-1]
    srgb = np.array(ANCHORS) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    assert (np.diff(np.maximum(lightness, 0)) > 6).all()
    assert (np.diff(np.maximum(lightness, 0)) < 17).all()
    assert (colours(np.zeros((2, 2), np.float32), 0) == ANCHORS[0]).all()
