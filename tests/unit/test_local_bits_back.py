# SPDX-License-Identifier: Apache-2.0
"""Increasing maps of integers with local bits back: exact inverses, and their cost."""

from __future__ import annotations

import numpy as np
import pytest
from flows import TableMap, random_ends

from bbcodec import backends
from bbcodec.coding import ans, codecs
from bbcodec.coding.bits_back.local_bits_back import Bijection, chain, piecewise_linear
from bbcodec.coding.distributions.cut_mixture import CutMixture
from bbcodec.errors import MessageUnderflow

SHAPE = (3, 4, 5)
# log2 of cells, and of steps in a cell
SIZES = [(0, 4), (1, 1), (4, 0), (4, 3), (6, 6), (8, 12), (11, 9), (20, 0)]


def random_message(lanes: int = 8, tail: int = 600, seed: int = 0) -> ans.Message:
    rng = np.random.default_rng(seed)
    head = rng.integers(ans.LOWER, ans.UPPER, lanes, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())


class Identity:
    """The only map of cells of one step."""

    def ends(self, m: np.ndarray) -> np.ndarray:
        return m

    def find(self, y: np.ndarray) -> np.ndarray:
        return y


def random_map(cells_log2: int, cell_bits: int, seed: int = 0, backend: str | None = "numpy") -> Bijection:
    rng = np.random.default_rng(seed)
    if cells_log2 == 20:  # then there is only the identity
        return piecewise_linear(Identity(), SHAPE, cell_bits, backend)
    ends = random_ends(rng, SHAPE, cells_log2, cell_bits)
    return piecewise_linear(TableMap(ends), SHAPE, cell_bits, backend)


def values(bits: int, seed: int = 0) -> np.ndarray:
    """Numbers below 2**bits, both ends among them."""
    found = np.random.default_rng(seed).integers(0, 1 << bits, SHAPE)
    found[0, 0, :2] = 0, (1 << bits) - 1
    return found


def net_bits(end: ans.Message, start: ans.Message) -> float:
    return codecs.message_bits(end) - codecs.message_bits(start)


def check(bijection: Bijection, bits: int, seed: int = 0) -> None:
    """Either direction undoes the other, message and all."""
    start, x = random_message(seed=seed), values(bits, seed)
    for one, other in (
        (bijection.forward, bijection.backward),
        (bijection.backward, bijection.forward),
    ):
        message, y = one(start, x)
        assert y.shape == SHAPE
        assert y.dtype == np.int64
        assert y.min() >= 0
        assert y.max() < 1 << bits
        end, back = other(message, y)
        assert np.array_equal(back, x)
        assert ans.message_equal(end, start)


@pytest.mark.parametrize(("cells_log2", "cell_bits"), SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_forward_and_backward_undo_each_other(cells_log2: int, cell_bits: int, seed: int) -> None:
    check(random_map(cells_log2, cell_bits, seed), cells_log2 + cell_bits, seed)


@pytest.mark.parametrize("wide", [0, 7, 15])
def test_the_least_and_the_largest_slope(wide: int) -> None:
    cells_log2, cell_bits = 4, 8
    size = np.ones(16, np.int64)
    size[wide] += (1 << cells_log2 + cell_bits) - 16
    ends = np.broadcast_to(np.concatenate([[0], np.cumsum(size)]), (*SHAPE, 17))
    bijection = piecewise_linear(TableMap(ends), SHAPE, cell_bits)
    check(bijection, cells_log2 + cell_bits)
    start = random_message()
    for cell, slope in ((wide, size[wide] / 256), ((wide + 1) % 16, 1 / 256)):
        end, y = bijection.forward(start, np.full(SHAPE, (cell << cell_bits) + 9))
        assert ((y >= ends[..., cell]) & (y < ends[..., cell + 1])).all()
        assert net_bits(end, start) == pytest.approx(-np.log2(slope) * y.size, abs=0.5)


def test_maps_grow_and_stay_within_a_step_of_the_line() -> None:
    cells_log2, cell_bits = 4, 6
    ends = random_ends(np.random.default_rng(1), (), cells_log2, cell_bits, skew=1.0)
    x = np.arange(1 << cells_log2 + cell_bits)
    table = np.broadcast_to(ends, (len(x), len(ends)))
    _, y = piecewise_linear(TableMap(table), x.shape, cell_bits).forward(random_message(tail=4000), x)
    line = np.interp(x, np.arange(17) << cell_bits, ends)
    slope = np.repeat(np.diff(ends), 1 << cell_bits) / (1 << cell_bits)
    assert (y > line - 1).all()
    assert (y < line + slope).all()
    assert (np.diff(y) >= 0).all()


@pytest.mark.parametrize(("cells_log2", "cell_bits"), [(4, 3), (6, 6), (8, 12), (11, 9)])
def test_the_cost_is_minus_the_log_of_the_slope(cells_log2: int, cell_bits: int) -> None:
    ends = random_ends(np.random.default_rng(2), SHAPE, cells_log2, cell_bits)
    bijection = piecewise_linear(TableMap(ends), SHAPE, cell_bits)
    start, x = random_message(), values(cells_log2 + cell_bits)
    size = np.take_along_axis(np.diff(ends), (x >> cell_bits)[..., None], -1)
    wanted = np.log2((1 << cell_bits) / size).sum()
    end, y = bijection.forward(start, x)
    # Frequencies are whole numbers of at least 2^7: each is off by less than 0.012 bits.
    assert net_bits(end, start) == pytest.approx(wanted, abs=0.012 * x.size)
    back, _ = bijection.backward(start, y)
    assert net_bits(back, start) == pytest.approx(-wanted, abs=0.012 * x.size)


def test_an_empty_message_has_nothing_to_pop() -> None:
    bijection, x = random_map(6, 6), values(12)
    empty = ans.base_message(4)
    for direction in (bijection.forward, bijection.backward):
        with pytest.raises(MessageUnderflow):
            direction(empty, x)


def test_the_identity_leaves_the_message_as_long_as_it_was() -> None:
    bijection = piecewise_linear(TableMap(np.broadcast_to(np.arange(65) << 6, (*SHAPE, 65))), SHAPE, 6)
    start, x = random_message(), values(12)
    end, y = bijection.forward(start, x)
    assert np.array_equal(y, x)
    assert net_bits(end, start) == pytest.approx(0, abs=1e-6)


def test_a_chain_runs_forward_in_order_and_backward_in_reverse() -> None:
    maps = [random_map(6, 6, seed) for seed in range(3)]
    bijection, start, x = chain(iter(maps)), random_message(), values(12)
    check(bijection, 12)
    check(bijection, 12, seed=1)  # an iterator is not used up
    message, y = start, x
    for part in maps:
        message, y = part.forward(message, y)
    end, found = bijection.forward(start, x)
    assert np.array_equal(found, y)
    assert ans.message_equal(end, message)


def test_an_empty_chain_does_nothing() -> None:
    start, x = random_message(), values(4)
    for direction in chain([]):
        end, found = direction(start, x)
        assert end is start
        assert found is x


@pytest.mark.parametrize("backend", backends.available())
def test_backends_push_the_same_words(backend: str) -> None:
    start, x = random_message(), values(20)
    for one, other in zip(random_map(11, 9, 3, backend), random_map(11, 9, 3, "numpy"), strict=True):
        (message, found), (wanted, expected) = one(start, x), other(start, x)
        assert np.array_equal(found, expected)
        assert ans.message_equal(message, wanted)


@pytest.mark.parametrize("cell_bits", [6, 9, 12])
def test_maps_of_hostile_mixtures_come_back(cell_bits: int) -> None:
    rng = np.random.default_rng(cell_bits)
    shape = (3, *SHAPE, 4)
    ends = np.array([-32768, 0, 32767])
    parameters = np.where(
        rng.random(shape) < 0.5, rng.choice(ends, shape), rng.integers(-32768, 32768, shape)
    )
    maps = CutMixture(*parameters, 20, 20 - cell_bits)
    check(piecewise_linear(maps, SHAPE, cell_bits), 20)
