# SPDX-License-Identifier: Apache-2.0
"""Maps of a flow's couplings: their tables, exact ends, strict growth under any parameters."""

from __future__ import annotations

import hashlib
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from bbcodec import backends
from bbcodec.coding import logistic_tables
from bbcodec.coding.distributions import cut_mixture
from bbcodec.coding.distributions.cut_mixture import CutMixture, NativeCutMixture, implementation

EXTREMES = np.array([-32768, -32767, -1, 0, 1, 32766, 32767])
Maps = CutMixture | NativeCutMixture
SIZES = [(20, 8), (20, 11), (20, 14), (12, 6), (6, 6)]  # bits and log2 of cells


@pytest.fixture(params=["numpy", "native"])
def kind(request: pytest.FixtureRequest) -> type[Maps]:
    if request.param not in backends.available():
        pytest.skip(f"no {request.param} backend here")
    return implementation(request.param)


def hostile(count: int, components: int, dtype: Any = np.int64, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Parameters [count, components] of which many are at the ends of int16."""
    rng = np.random.default_rng(seed)
    shape = (3, count, components)
    anything = rng.integers(-32768, 32768, shape)
    return tuple(np.where(rng.random(shape) < 0.6, rng.choice(EXTREMES, shape), anything).astype(dtype))


def likely(count: int, components: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Parameters such as networks give: logistics inside the range, of all scales."""
    rng = np.random.default_rng(seed)
    shape = (count, components)
    return rng.integers(-600, 600, shape), rng.integers(0, 16385, shape), rng.integers(0, 88, shape)


def curve(maps: Maps, count: int, cells_log2: int) -> np.ndarray:
    """F at the end of every cell, [count, cells + 1]."""
    return np.stack([maps.ends(np.full(count, m)) for m in range((1 << cells_log2) + 1)], -1)


def exact(
    parameters: tuple[np.ndarray, ...], m: np.ndarray, bits: int, cells_log2: int, rounded: bool
) -> np.ndarray:
    """The same map in float64; parameters within their clamps, m [count, points].

    Only weights are `rounded`, if so asked.
    """
    log2_weights, means, e = (p.astype(float)[:, None] for p in parameters)
    weights = np.exp2(12 + (log2_weights - log2_weights.max(-1, keepdims=True)) / 128)
    weights = np.floor(weights + 0.5) if rounded else weights
    inverse = np.exp2(3 - e / 8)

    def mass(levels: np.ndarray) -> np.ndarray:
        argument = np.clip((levels[..., None] - means / 64) * inverse, -99, 99)
        found: np.ndarray = (weights / (1 + np.exp(-argument))).sum(-1)
        return found

    ends = mass(np.array([[0.0, 256.0]]))
    share = (mass(m * 2.0 ** (8 - cells_log2)) - ends[:, :1]) / (ends[:, 1:] - ends[:, :1])
    return share * (2**bits - 2**cells_log2) + m


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        (cut_mixture.weight_table, "84bed7b18d9d0d104050d6992dcf426346eee64059cce620e1fc4ac2e87f839e"),
        (cut_mixture.inverse_scale_table, "609f7c90f2dd6f6f10eaf9e1249cfbe9b5dbb0659b206f613e4a9a9bc5c9ec4d"),
    ],
)
def test_tables_never_change(table: Any, digest: str) -> None:
    assert hashlib.sha256(table().astype("<i8").tobytes()).hexdigest() == digest
    assert not table().flags.writeable


def test_tables_are_what_they_say() -> None:
    def rounded(exponent: Decimal) -> int:
        return int((Decimal(2) ** exponent).to_integral_value(ROUND_HALF_UP))

    with localcontext(prec=40):
        weights = [rounded(12 - Decimal(i) / 128) for i in range(1537)]
        inverse = [rounded(22 - Decimal(e) / 8) for e in range(88)]
    assert cut_mixture.weight_table().tolist() == weights
    assert cut_mixture.inverse_scale_table().tolist() == inverse
    assert (weights[0], weights[-1]) == (4096, 1)
    assert np.array_equal(logistic_tables.inverse_scale_table(), inverse[:80])


@pytest.mark.parametrize(("bits", "cells_log2"), SIZES)
@pytest.mark.parametrize("components", [1, 3, 8])
def test_maps_run_from_end_to_end_and_always_grow(
    kind: type[Maps], components: int, bits: int, cells_log2: int
) -> None:
    count = 400 if cells_log2 <= 8 else 3
    for parameters in (hostile(count, components, seed=bits), likely(count, components)):
        found = curve(kind(*parameters, bits, cells_log2), count, cells_log2)
        assert (found[:, 0] == 0).all()
        assert (found[:, -1] == 1 << bits).all()
        assert (np.diff(found) >= 1).all()


def test_with_a_step_for_every_cell_the_map_is_the_identity(kind: type[Maps]) -> None:
    found = curve(kind(*hostile(50, 2), 6, 6), 50, 6)
    assert (found == np.arange(65)).all()


@pytest.mark.parametrize("spread", [0, 87])
@pytest.mark.parametrize("mean", [0, 8192, 16384])
def test_the_divisor_is_a_fifth_of_a_logistic_at_least(mean: int, spread: int) -> None:
    maps = CutMixture(*(np.array([[n]]) for n in (0, mean, spread)), 20, 8)
    assert maps._inside[0] >= 0.2 * 4096 * 2**15


@pytest.mark.parametrize("components", [1, 4, 8])
@pytest.mark.parametrize(("bits", "cells_log2"), [(20, 11), (20, 8), (12, 6)])
def test_maps_are_close_to_the_cut_mixture_of_real_numbers(
    kind: type[Maps], components: int, bits: int, cells_log2: int
) -> None:
    parameters = likely(300, components, seed=components)
    maps = kind(*parameters, bits, cells_log2)
    m = np.random.default_rng(0).integers(0, (1 << cells_log2) + 1, (300, 20))
    found = np.stack([maps.ends(column) for column in m.T], -1)
    # The sigmoid is linear between points 1/32 apart, so off by at most 0.097 / 8 / 32^2, of a fifth or more.
    off = np.abs(found - exact(parameters, m, bits, cells_log2, rounded=True))
    assert off.max() <= 1 + 2.0 ** (bits - 13)
    off = np.abs(found - exact(parameters, m, bits, cells_log2, rounded=False))
    assert off.max() <= 1 + 2.0 ** (bits - 11)


def test_parameters_are_clamped_as_the_file_says(kind: type[Maps]) -> None:
    weights, means, e = hostile(200, 3)
    behind = np.minimum(weights.max(-1, keepdims=True) - weights, cut_mixture.WEIGHT_LIMIT)
    plain = kind(weights, means, e, 20, 8)
    clamped = kind(-behind, np.clip(means, 0, 1 << 14), np.clip(e, 0, 87), 20, 8)
    assert np.array_equal(curve(plain, 200, 8), curve(clamped, 200, 8))
    moved = kind(weights + 77, means, e, 20, 8)
    assert np.array_equal(curve(plain, 200, 8), curve(moved, 200, 8))


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_narrow_integers_give_the_same_maps(kind: type[Maps], dtype: Any) -> None:
    wide, narrow = (kind(*hostile(100, 4, d), 20, 8) for d in (np.int64, dtype))
    assert np.array_equal(curve(wide, 100, 8), curve(narrow, 100, 8))


def test_a_narrow_logistic_gives_its_cells_almost_all_steps(kind: type[Maps]) -> None:
    maps = kind(*(np.array([[n]]) for n in (0, 64 * 100, 0)), 20, 8)
    start, end = (int(maps.ends(np.array([m]))[0]) for m in (98, 102))
    assert end - start > 0.99 * 2**20
    assert int(maps.ends(np.array([98]))[0]) < 0.001 * 2**20


@pytest.mark.parametrize(("bits", "cells_log2"), [(20, 5), (20, 15), (21, 8), (7, 8)])
def test_sizes_beyond_the_limits_are_refused(kind: type[Maps], bits: int, cells_log2: int) -> None:
    with pytest.raises(ValueError, match="bits, expected"):
        kind(*likely(2, 2), bits, cells_log2)


@pytest.mark.parametrize("components", [0, 9])
def test_numbers_of_logistics_beyond_the_limits_are_refused(kind: type[Maps], components: int) -> None:
    with pytest.raises(ValueError, match="logistics, expected"):
        kind(*likely(2, components), 20, 8)


@pytest.mark.parametrize(("bits", "cells_log2"), SIZES)
def test_cells_are_found_by_what_they_hold(kind: type[Maps], bits: int, cells_log2: int) -> None:
    rng = np.random.default_rng(cells_log2)
    for parameters in (hostile(500, 3, seed=bits), likely(500, 3)):
        maps = kind(*parameters, bits, cells_log2)
        y = rng.integers(0, 1 << bits, 500)
        y[:4] = 0, (1 << bits) - 1, 1, (1 << bits) - 2
        m = maps.find(y)
        assert (maps.ends(m) <= y).all()
        assert (maps.ends(m + 1) > y).all()
        cells = rng.integers(0, 1 << cells_log2, 500)
        assert np.array_equal(maps.find(maps.ends(cells)), cells)
        assert np.array_equal(maps.find(maps.ends(cells + 1) - 1), cells)


@pytest.mark.parametrize("components", [1, 3, 8])
@pytest.mark.parametrize(("bits", "cells_log2"), SIZES)
def test_the_native_maps_are_the_same(components: int, bits: int, cells_log2: int) -> None:
    if "native" not in backends.available():
        pytest.skip("no native backend here")
    rng = np.random.default_rng(0)
    for parameters in (hostile(600, components), likely(600, components)):
        ours, reference = (kind(*parameters, bits, cells_log2) for kind in (NativeCutMixture, CutMixture))
        m, y = rng.integers(0, (1 << cells_log2) + 1, 600), rng.integers(0, 1 << bits, 600)
        assert np.array_equal(ours.ends(m), reference.ends(m))
        assert np.array_equal(ours.find(y), reference.find(y))


def test_the_native_maps_refuse_what_is_out_of_range() -> None:
    if "native" not in backends.available():
        pytest.skip("no native backend here")
    maps = NativeCutMixture(*likely(2, 3), 20, 8)
    for numbers, call in (([-1, 0], maps.ends), ([0, 257], maps.ends), ([-1, 0], maps.find),
                          ([0, 1 << 20], maps.find), ([0], maps.ends), ([0, 0, 0], maps.find)):  # fmt: skip
        with pytest.raises(ValueError, match="number"):
            call(np.array(numbers))
