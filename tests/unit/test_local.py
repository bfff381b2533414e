# SPDX-License-Identifier: Apache-2.0
"""The family local: exact round trips, causality, order, network, learning, and all implementations alike."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest
from local_cases import (
    GROUPS,
    group,
    local_model,
    neighbour,
    photo,
    random_side,
    same,
    some_message,
    steps,
)

from bbcodec.coding.ans import message_equal
from bbcodec.coding.distributions import LogisticMixture
from bbcodec.errors import MessageUnderflow
from bbcodec.families.local import order as order_module
from bbcodec.families.local import reference, tables
from bbcodec.families.local.codec import group_codec, implementation
from bbcodec.families.local.learning import LastLayer, gradients
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.network import mixture
from bbcodec.families.local.order import EARLIER, MAX_LANES, OWN, Order
from bbcodec.jobs import Execution

CONFIGURATIONS: list[dict[str, Any]] = [
    {"layers": 0},
    {"layers": 0, "hidden": 32, "every": 4},
    {"layers": 0, "hidden": 96, "components": 2, "every": 3},
    {"own": [4, 4], "earlier": [3, 3], "along": [2, 2], "down": [3, 3]},
    {"rate_q": 0},
    {"rate_q": 1 << 16},
    {"components": 1},
    {"components": 8, "hidden": 128},
    {"hidden": 192, "layers": 3},
    {"own": [16, 2], "earlier": [9, 0]},
    {"own": [14, 6], "earlier": [9, 5], "ridge": 1},
    {"along": [1, 3], "down": [1, 4], "ridge": 1 << 40},
]


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return local_model()


# ------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("with_side", [False, True], ids=["plain", "side"])
@pytest.mark.parametrize("rate", [0, 2097])
@pytest.mark.parametrize(("shapes", "channels"), GROUPS, ids=str)
def test_pop_undoes_push(shapes: list[tuple[int, int]], channels: int, rate: int, with_side: bool) -> None:
    model = local_model(rate_q=rate)
    blocks = group(shapes, channels)
    side = random_side(shapes) if with_side else None
    codec = group_codec(shapes, channels, model, execution=Execution(threads=1, backend="numpy"), side=side)
    before = some_message()
    (message,) = codec.push(before, blocks)
    after, found = codec.pop(message)
    assert same(found, blocks)
    assert message_equal(after, before)


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=str)
def test_all_configurations_round_trip(config: dict[str, Any]) -> None:
    model, blocks = local_model(**config), group([(9, 11)], 3)
    codec = group_codec([(9, 11)], 3, model, execution=Execution(threads=1, backend="numpy"))
    (message,) = codec.push(some_message(), blocks)
    after, found = codec.pop(message)
    assert same(found, blocks)
    assert message_equal(after, some_message())


def test_popping_any_message_and_pushing_it_back_restores_it(model: LocalModel) -> None:
    codec = group_codec([(4, 7)], 3, model, execution=Execution(threads=1, backend="numpy"))
    before = some_message(300)
    after, blocks = codec.pop(before)
    (message,) = codec.push(after, blocks)
    assert message_equal(message, before)


def test_words_are_those_of_the_logistic_mixture(model: LocalModel) -> None:
    shapes = [(12, 31), (5, 4)]  # up to 11 lanes: a full group of 8 and a partial one
    blocks = group(shapes, 3)
    planes = reference.to_planes(blocks)
    expected = some_message()
    for step in reversed(steps(blocks, model)):
        codec = LogisticMixture(*step.mixture, 256, "numpy")
        (expected,) = codec.push(expected, planes[step.channel, step.lanes.pixel])
    for backend in ("numpy", "numba"):
        if backend == "numba" and importlib.util.find_spec("numba") is None:
            continue
        (message,) = group_codec(shapes, 3, model, execution=Execution(threads=1, backend=backend)).push(
            some_message(), blocks
        )
        assert message_equal(message, expected)


def test_a_message_that_is_too_short_underflows(model: LocalModel) -> None:
    with pytest.raises(MessageUnderflow):
        group_codec([(9, 9)], 3, model, execution=Execution(threads=1, backend="numpy")).pop(some_message(5))
    with pytest.raises(MessageUnderflow):
        reference.decode(some_message()[0], np.empty(0, np.uint32), [(9, 9)], 3, model)


def test_side_information_saturates_the_stream(model: LocalModel) -> None:
    plans = [
        np.array(reference.plan(group([(3, 4)], 3), model, [np.full(64, value)]))
        for value in (0, 163840, 1 << 18, (1 << 31) - 1)
    ]
    assert np.array_equal(plans[1], plans[2])
    assert np.array_equal(plans[1], plans[3])
    assert not np.array_equal(plans[0], plans[1])


def test_learning_shortens_the_message() -> None:
    blocks = group([(24, 24)], 3)
    bits = [20 - np.log2(reference.plan(blocks, local_model(rate_q=r))[1]).mean() for r in (0, 2097)]
    assert bits[1] < bits[0]


# ---------------------------------------------------------------------------------- order and neighbours


@pytest.mark.parametrize("shapes", [shapes for shapes, _ in GROUPS], ids=str)
def test_every_pixel_is_coded_once_in_order(shapes: list[tuple[int, int]]) -> None:
    keys = []
    offsets = np.cumsum([0, *(h * w for h, w in shapes)])
    for b, (h, w) in enumerate(shapes):
        keys += [(x + 3 * y, b, y, offsets[b] + y * w + x) for y in range(h) for x in range(w)]
    order = Order(shapes)
    found = [(lanes.time, pixel) for lanes in order.times() for pixel in lanes.pixel]
    assert found == [(key[0], key[3]) for key in sorted(keys)]
    assert order.counts().tolist() == [len(lanes.x) for lanes in order.times()]
    for lanes in order.times():
        assert len(set(lanes.slot)) == len(lanes.slot)
        assert lanes.slot.max() < order.slots


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (5, 2), (4, 3), (6, 7)])
def test_neighbours_are_known_and_where_the_rules_put_them(shape: tuple[int, int]) -> None:
    height, width = shape
    when = np.array([x + 3 * y for y in range(height) for x in range(width)])
    for lanes in Order([shape]).times():
        for name, positions in (("own", OWN), ("earlier", EARLIER)):
            found = getattr(lanes, name)
            for lane, (y, x) in enumerate(zip(lanes.y.tolist(), lanes.x.tolist(), strict=True)):
                for i, (dx, dy) in enumerate(positions.tolist()):
                    yy, xx = neighbour(y, x, dx, dy, width)
                    missing = (y, x) == (0, 0) and (dx, dy) != (0, 0)
                    assert (yy < 0) == missing
                    place = height * width if missing else yy * width + xx
                    assert found[i, lane] == place
                    assert missing or (dx, dy) == (0, 0) or when[place] < lanes.time


def test_groups_beyond_the_limits_are_refused(model: LocalModel) -> None:
    assert Order([(MAX_LANES, 3 * MAX_LANES)]).slots == MAX_LANES
    for shapes in ([], [(0, 4)], [(4, 0)], [(MAX_LANES + 1, 3 * MAX_LANES + 1)], [(1, 1)] * (MAX_LANES + 1)):
        with pytest.raises(ValueError, match="group"):
            Order(shapes)
    with pytest.raises(ValueError, match="channels"):
        next(reference.walk([(2, 2)], 2, model))
    with pytest.raises(ValueError, match="blocks"):
        reference.plan([photo(2, 2, 3), photo(2, 2, 1)], model)
    codec = group_codec([(2, 2)], 3, model, execution=Execution(threads=1, backend="numpy"))
    with pytest.raises(ValueError, match="shapes"):
        codec.push(some_message(), group([(2, 3)], 3))
    with pytest.raises(ValueError, match="lanes"):
        codec.pop((np.full(4, 1 << 31, np.uint64), ()))
    for side in ([], [np.zeros(63, np.int64)], [np.zeros((2, 2, 64), np.int64)]):
        with pytest.raises(ValueError, match="side"):
            reference.plan(group([(2, 2)], 3), model, side)


@pytest.mark.parametrize(
    ("where", "c"), [((0, 0), 0), ((0, 8), 1), ((3, 4), 0), ((3, 4), 2), ((6, 0), 2), ((6, 8), 1)]
)
def test_what_was_decoded_before_never_depends_on_a_sample(
    model: LocalModel, where: tuple[int, int], c: int
) -> None:
    shapes = [(7, 9), (4, 5)]
    blocks = group(shapes, 3)
    changed = [block.copy() for block in blocks]
    changed[0][(*where, order_module.CHANNELS[3][c])] ^= 0x55
    pixel = where[0] * 9 + where[1]
    before = 0
    for step in steps(blocks, model):
        if step.channel == c and pixel in step.lanes.pixel:
            own = before + step.lanes.pixel.tolist().index(pixel)
            section = slice(before, before + len(step.lanes.pixel))
            break
        before += len(step.lanes.pixel)
    first, second = (np.array(reference.plan(b, model)) for b in (blocks, changed))
    assert np.array_equal(first[:, :before], second[:, :before])
    same_time = (first == second).all(axis=0)[section]
    assert same_time.sum() == len(same_time) - 1
    assert not (first[:, own] == second[:, own]).all()


# --------------------------------------------------------------------------------- tables, network, learning


def test_tables_are_their_formulas() -> None:
    for k in range(24, 80):
        v = 2.0 ** (k >> 2) * (1 + ((k & 3) + 0.5) / 4)
        assert tables.r1_table()[k] == math.floor(192 * 2**14 / v + 0.5)
        assert tables.r2_table()[k] == math.floor(240 * 2**14 / v + 0.5)
        assert tables.sigma_table()[k] == math.floor(v + 0.5)
        assert tables.log_table()[k] == math.floor(128 * math.log2(v) + 0.5) - 768
    exp = tables.exp_table()
    assert [int(exp[u]) for u in (0, 1, 256, 2815, 2816)] == [65536, 65280, 24109, 1, 0]
    assert not exp.flags.writeable
    v = np.concatenate([np.arange(64, 5000), 2 ** np.arange(6, 31), 2 ** np.arange(7, 31) - 1])
    expected = [4 * (b := n.bit_length() - 1) + (n >> (b - 2)) % 4 for n in v.tolist()]
    assert tables.qlog(v).tolist() == expected


def test_features_stay_within_their_range_and_gray_sees_no_other_channel(model: LocalModel) -> None:
    noise = np.random.default_rng(2).integers(0, 2, (20, 20, 3)).astype(np.uint8) * 255
    for step in steps([noise], model):
        assert np.abs(step.features).max() <= 127
        assert not step.features[:, 27 + 10 * step.channel :].any()
        assert (step.mixture.weights.sum(1) == 1 << 16).all()
        assert (step.mixture.weights >= 0).all()


def test_gradients_are_those_of_the_likelihood() -> None:
    """Against differences of the log likelihood in doubles, by every output of the last layer."""
    rng = np.random.default_rng(7)
    n, j, unit = 64, 3, 1 / 256
    ks = rng.integers(40, 56, n)
    p = rng.integers(3000, 13000, n)
    outputs = rng.integers(-200, 200, (n, 3 * j))

    mixed = mixture(outputs, p, ks)
    sigma = tables.sigma_table()[ks] / 512.0  # what a mean of 1 stands for, in levels
    symbols = np.clip((mixed.mu[:, 0] // 64) + rng.integers(-4, 5, n), 1, 254)
    centre, scale = mixed.mu / 64.0, 2.0 ** (mixed.e / 8.0 - 3)
    weight = np.log(mixed.weights / 65536.0)

    def likelihood(shift: np.ndarray) -> np.ndarray:
        mu = centre + shift[:, :j] * sigma[:, None]
        s = scale * np.exp(shift[:, j : 2 * j])
        w = np.exp(weight + shift[:, 2 * j :])
        w = w / w.sum(1, keepdims=True)
        upper, lower = (1 / (1 + np.exp(-(symbols[:, None] + b - mu) / s)) for b in (0.5, -0.5))
        return np.log((w * (upper - lower)).sum(1) + 2.0**-20)

    found = gradients(mixed, ks, symbols) / 1024.0
    for k in range(3 * j):
        shift = np.zeros((n, 3 * j))
        shift[:, k] = unit / 16
        slope = (likelihood(shift) - likelihood(-shift)) / (unit / 8)
        # A step raises the likelihood by falling along y: y has the sign of the loss.
        expected = np.clip(-slope, -4095 / 1024, 4095 / 1024)
        assert np.allclose(found[:, k], expected, atol=0.02), k


def test_a_rate_of_zero_learns_nothing() -> None:
    rng = np.random.default_rng(0)
    w, b = rng.integers(-1000, 1000, (112, 9)), rng.integers(-1000, 1000, 9)
    inputs, ks = rng.integers(0, 255, (5, 112)), np.full(5, 40)
    for rate, moves in ((0, False), (1 << 14, True)):
        layer = LastLayer(w.astype(np.int32), b.astype(np.int32), rate)
        before = layer.outputs(inputs)
        for _ in range(20):
            layer.learn(inputs, mixture(before, np.full(5, 8000), ks), ks, np.arange(5) * 50)
        assert (layer.outputs(inputs) != before).any() == moves


# ---------------------------------------------------------------------------------------------- backends


@pytest.fixture(params=["native", "numba"])
def backend(request: pytest.FixtureRequest) -> str:
    """Backends with an implementation of their own."""
    pytest.importorskip({"native": "bbcodec._native", "numba": "numba"}[request.param], exc_type=ImportError)
    return str(request.param)


@pytest.mark.parametrize("with_side", [False, True], ids=["plain", "side"])
@pytest.mark.parametrize(
    ("shapes", "channels"),
    [*GROUPS, ([(24, 40)], 3), ([(15, 32), (14, 20)], 1), ([(3, 1)] * 20 + [(30, 52)], 3)],
    ids=lambda value: str(value)[:40],
)
def test_every_backend_gives_the_same_numbers(
    backend: str, shapes: list[tuple[int, int]], channels: int, with_side: bool
) -> None:
    compiled = implementation(backend)
    blocks = group(shapes, channels)
    side = random_side(shapes) if with_side else None
    for config in ({}, {"own": [14, 6], "earlier": [9, 5], "hidden": 128, "layers": 3}):
        model = local_model(**config)
        parts = random_side(shapes, model.hidden) if side is not None else None
        expected, found = reference.plan(blocks, model, parts), compiled.plan(blocks, model, parts)
        for a, b in zip(expected, found, strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        codec = group_codec(
            shapes, channels, model, execution=Execution(threads=1, backend=backend), side=parts
        )
        (message,) = codec.push(some_message(), blocks)
        after, decoded = codec.pop(message)
        assert same(decoded, blocks)
        assert message_equal(after, some_message())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("config", [{"every": 4}, {"rate_q": 0}], ids=str)
def test_gray_without_a_step_at_every_time_round_trips(
    backend: str, config: dict[str, Any], threads: int
) -> None:
    """Only samples of the channel itself to wait for, in a block of many chunks whose rows begin anew."""
    shapes = [(130, 110)]
    blocks = group(shapes, 1)
    codec = group_codec(
        shapes, 1, local_model(**config), execution=Execution(threads=threads, backend=backend)
    )
    (message,) = codec.push(some_message(), blocks)
    after, decoded = codec.pop(message)
    assert same(decoded, blocks)
    assert message_equal(after, some_message())


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=str)
def test_every_backend_takes_all_configurations(backend: str, config: dict[str, Any]) -> None:
    model, blocks = local_model(**config), group([(9, 14), (12, 30)], 3)
    rng = np.random.default_rng(1)
    blocks[0][:] = rng.integers(0, 2, blocks[0].shape) * 255  # as far from smooth as can be
    blocks[1][:, 15:] = 255  # nothing but the ridge keeps these fits from dividing by zero
    compiled = implementation(backend)
    for expected, found in zip(reference.plan(blocks, model), compiled.plan(blocks, model), strict=True):
        assert np.array_equal(expected, found)
    shapes = [(9, 14), (12, 30)]
    codec = group_codec(shapes, 3, model, execution=Execution(threads=1, backend=backend))
    (message,) = codec.push(some_message(), blocks)
    after, decoded = codec.pop(message)
    assert same(decoded, blocks)
    assert message_equal(after, some_message())


def test_every_backend_refuses_the_same(backend: str, model: LocalModel) -> None:
    compiled = implementation(backend)
    head, blocks = some_message()[0], group([(9, 9)], 3)
    for words in (np.empty(0, np.uint32), np.arange(5, dtype=np.uint32)):
        with pytest.raises(MessageUnderflow):
            compiled.decode(head, words, [(9, 9)], 3, model)
    with pytest.raises(ValueError, match="side"):
        compiled.plan(blocks, model, [np.zeros(63, np.int64)])
    with pytest.raises(ValueError, match="head"):
        compiled.decode(head[:4], np.empty(0, np.uint32), [(9, 9)], 3, model)
