# SPDX-License-Identifier: Apache-2.0
"""The family local: exact round trips, causality, its fits against independent ones, and refused models."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest

from bbcodec import modelfile
from bbcodec.ans import Message, message_equal
from bbcodec.distributions import LogisticMixture
from bbcodec.engine.graph import Graph
from bbcodec.errors import MessageUnderflow, ModelError
from bbcodec.local import order as order_module
from bbcodec.local import reference, tables
from bbcodec.local.codec import group_codec
from bbcodec.local.learning import LastLayer, gradients
from bbcodec.local.least_squares import Predictor
from bbcodec.local.model import LocalModel, entries, largest_sum
from bbcodec.local.network import mixture
from bbcodec.local.order import EARLIER, MAX_LANES, OWN, Order

CONFIG: dict[str, Any] = {
    "hidden": 64,
    "layers": 2,
    "components": 3,
    "own": [8, 4],
    "earlier": [5, 2],
    "along": [3, 2],
    "down": [4, 2],
    "ridge": 64,
    "rate_q": 2097,
}
GROUPS = [
    ([(1, 1)], 3),
    ([(1, 7)], 3),
    ([(7, 1)], 3),
    ([(2, 2)], 3),
    ([(3, 2)], 1),
    ([(5, 9)], 3),
    ([(17, 13)], 1),
    ([(17, 13)], 3),
    ([(6, 20), (1, 3), (11, 5)], 3),
    ([(4, 4), (9, 2), (1, 1)], 1),
]


def random_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors that keep the stream alive and the mixtures sharp, but mean nothing."""
    rng = np.random.default_rng(seed)
    h, layers, j = config["hidden"], config["layers"], config["components"]

    def integers(limit: int, *shape: int, dtype: Any = np.int32) -> np.ndarray:
        return rng.integers(-limit, limit, shape, endpoint=True).astype(dtype)

    sizes = [entries(config["own"][q] + c * config["earlier"][q]) for c in range(3) for q in range(2)]
    tensors = {
        "first_w": integers(127, 3, 48, h, dtype=np.int8),
        "first_m": np.abs(integers(200, 3, h)),
        "first_b": integers(1 << 22, 3, h),
        "out_w": integers(1 << 14, 3, h + 48, 3 * j),
        "out_b": integers(1 << 20, 3, 3 * j),
        "prior": np.abs(integers(1 << 10, sum(sizes))),
    }
    if layers:
        tensors["hidden_w"] = rng.integers(0, 1 << 64, (layers, h, h // 64), dtype=np.uint64)
        tensors["hidden_m"] = integers(4000, layers, h)
        tensors["hidden_b"] = integers(1 << 20, layers, h)
    return tensors


def model_file(
    config: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray | None] | None = None,
    family: str = "local",
    seed: int = 0,
) -> modelfile.Model:
    """A model put through the file format; tensors that are None are left out."""
    whole = CONFIG | (config or {})
    given = random_tensors(CONFIG if config is None or tensors is not None else whole, seed)
    kept = {name: tensor for name, tensor in (given | (tensors or {})).items() if tensor is not None}
    return modelfile.load(modelfile.dump(family, whole, Graph({}, {}), kept))


def local_model(seed: int = 0, **config: Any) -> LocalModel:
    return LocalModel.from_model(model_file(config, seed=seed))


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return local_model()


def photo(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Shades, an edge, noise, and a few samples at the ends of the range."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 60 * np.sin(x / 5 + y / 9) + 50 * (x > y)
    image = (
        light[..., None]
        + np.array([8.0, 0.0, -12.0])[:channels]
        + rng.normal(0, 4, (height, width, channels))
    )
    image[rng.random(image.shape) < 0.02] = 300
    image[rng.random(image.shape) < 0.02] = -300
    return np.clip(image, 0, 255).astype(np.uint8)


def group(shapes: list[tuple[int, int]], channels: int, seed: int = 0) -> list[np.ndarray]:
    return [photo(*shape, channels, seed + i) for i, shape in enumerate(shapes)]


def random_side(shapes: list[tuple[int, int]], hidden: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(-2000, 2000, (*shape, hidden)).astype(np.int16) for shape in shapes]


def some_message(words: int = 40, seed: int = 3) -> Message:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(1 << 32, size=n, dtype=np.uint32) for n in (words // 2, words - words // 2)]
    return rng.integers(1 << 31, 1 << 63, 8, dtype=np.uint64), (parts[0], (parts[1], ()))


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


def steps(blocks: list[np.ndarray], model: LocalModel, side: Any = None) -> list[reference.Step]:
    """Everything that `walk` yields for these blocks."""
    planes = reference.to_planes(blocks)
    walk = reference.walk([b.shape[:2] for b in blocks], len(planes), model, side)
    found = [next(walk)]
    while True:
        try:
            found.append(walk.send(planes[found[-1].channel, found[-1].lanes.pixel]))
        except StopIteration:
            return found


# ------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("with_side", [False, True], ids=["plain", "side"])
@pytest.mark.parametrize("rate", [0, 2097])
@pytest.mark.parametrize(("shapes", "channels"), GROUPS, ids=str)
def test_pop_undoes_push(shapes: list[tuple[int, int]], channels: int, rate: int, with_side: bool) -> None:
    model = local_model(rate_q=rate)
    blocks = group(shapes, channels)
    side = random_side(shapes) if with_side else None
    codec = group_codec(shapes, channels, model, "numpy", side)
    before = some_message()
    (message,) = codec.push(before, blocks)
    after, found = codec.pop(message)
    assert same(found, blocks)
    assert message_equal(after, before)


@pytest.mark.parametrize(
    "config",
    [
        {"layers": 0},
        {"rate_q": 1 << 16},
        {"components": 1},
        {"components": 8, "hidden": 128},
        {"own": [16, 2], "earlier": [9, 0]},
        {"own": [14, 6], "earlier": [9, 5], "ridge": 1},
        {"along": [1, 3], "down": [1, 4], "ridge": 1 << 20},
    ],
    ids=str,
)
def test_all_configurations_round_trip(config: dict[str, Any]) -> None:
    model, blocks = local_model(**config), group([(9, 11)], 3)
    codec = group_codec([(9, 11)], 3, model, "numpy")
    (message,) = codec.push(some_message(), blocks)
    after, found = codec.pop(message)
    assert same(found, blocks)
    assert message_equal(after, some_message())


def test_popping_any_message_and_pushing_it_back_restores_it(model: LocalModel) -> None:
    codec = group_codec([(4, 7)], 3, model, "numpy")
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
        (message,) = group_codec(shapes, 3, model, backend).push(some_message(), blocks)
        assert message_equal(message, expected)


def test_a_message_that_is_too_short_underflows(model: LocalModel) -> None:
    with pytest.raises(MessageUnderflow):
        group_codec([(9, 9)], 3, model, "numpy").pop(some_message(5))
    with pytest.raises(MessageUnderflow):
        reference.decode(some_message()[0], np.empty(0, np.uint32), [(9, 9)], 3, model)


def test_side_information_saturates_the_stream(model: LocalModel) -> None:
    plans = [
        np.array(reference.plan(group([(3, 4)], 3), model, [np.full((3, 4, 64), value, np.int32)]))
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
    assert order.counts() == [len(lanes.x) for lanes in order.times()]
    for lanes in order.times():
        assert len(set(lanes.slot)) == len(lanes.slot)
        assert lanes.slot.max() < order.slots


def neighbour(y: int, x: int, dx: int, dy: int, width: int) -> tuple[int, int]:
    """The rules of docs/local.md, one after the other."""
    yy, xx = y + dy, x + dx
    if yy < 0:
        if y > 0:
            yy, xx = 0, min(xx, x + 2)
        else:
            yy, xx = 0, x - 1
    if xx < 0:
        if yy != y or x > 0:
            xx = 0
        else:
            yy, xx = y - 1, 0
    return yy, min(xx, width - 1)


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
    codec = group_codec([(2, 2)], 3, model, "numpy")
    with pytest.raises(ValueError, match="shapes"):
        codec.push(some_message(), group([(2, 3)], 3))
    with pytest.raises(ValueError, match="lanes"):
        codec.pop((np.full(4, 1 << 31, np.uint64), ()))
    for side in ([], [np.zeros((2, 2, 63), np.int16)], [np.zeros((2, 2, 64), np.float32)]):
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


# ------------------------------------------------------------------------------------------ least squares


def decay(v: np.ndarray, shift: int) -> np.ndarray:
    return v - ((v + 2 ** (shift - 1)) >> shift)


def plain_predictions(image: np.ndarray, model: LocalModel, q: int, errors: np.ndarray) -> np.ndarray:
    """Predictions [C, H, W] of predictor q as doubles, in levels: row by row, in raster order, LAPACK."""
    height, width, channels = image.shape
    planes = image[..., list(order_module.CHANNELS[channels])].astype(np.int64).transpose(2, 0, 1)
    result = np.zeros((channels, height, width))

    def read(plane: np.ndarray, y: int, x: int, position: Any, missing: int) -> int:
        yy, xx = neighbour(y, x, *position, width)
        return int(plane[yy, xx]) if yy >= 0 else missing

    for c in range(channels):
        n = model.regressors(c, q)
        lower = np.tril_indices(n)
        g = np.tile(model.priors[c][q].astype(np.int64), ((width + 2) // 3, 1))
        for y in range(height):
            f, cell = np.zeros(entries(n), np.int64), np.zeros(entries(n), np.int64)
            for x in range(width):
                own = [read(planes[c], y, x, s, 128) for s in OWN.tolist()]
                m = (own[0] + own[1]) >> 1
                d = [s - m for s in own[: model.own[q]]]
                for k in range(c):
                    other = [read(planes[k], y, x, s, 128) for s in EARLIER.tolist()]
                    d += [s - ((other[1] + other[2]) >> 1) for s in other[: model.earlier[q]]]
                if x % 3 == 0:
                    sums = g[x // 3] + f
                    matrix = np.zeros((n, n))
                    matrix[lower] = sums[: len(lower[0])]
                    matrix = matrix + np.tril(matrix, -1).T + model.ridge * np.eye(n)
                    weights = np.linalg.solve(matrix, sums[len(lower[0]) :].astype(float))
                result[c, y, x] = weights @ d + m
                u = sum(abs(read(errors[c], y, x, s, 1280)) for s in OWN[:4].tolist()) >> 2
                w = max(1, 1572864 // (24576 + u * u))
                v, t = np.array(d), int(planes[c, y, x]) - m
                cell = cell + np.concatenate([(w * np.outer(v, v))[lower], t * w * v])
                if x % 3 == 2 or x == width - 1:
                    f, cell = decay(f + cell, model.along[q]), 0 * cell
                    g[x // 3] = decay(g[x // 3] + f, model.down[q])
    return result


@pytest.mark.parametrize("kind", ["photo", "noise"])
@pytest.mark.parametrize("shape", [(9, 14, 3), (12, 1, 3), (8, 2, 3), (1, 12, 1)])
def test_predictions_are_those_of_an_independent_fit(shape: tuple[int, int, int], kind: str) -> None:
    # Without a prior the fits are positive definite, so that no pivot is below the ridge.
    tensors = random_tensors(CONFIG) | {"prior": None}
    model = LocalModel.from_model(model_file({}, tensors))
    image = (
        photo(*shape)
        if kind == "photo"
        else np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    )
    found = np.zeros((2, shape[2], *shape[:2]), np.int64)
    for step in steps([image], model):
        found[:, step.channel, step.lanes.y, step.lanes.x] = step.predictions
    planes = image[..., list(order_module.CHANNELS[shape[2]])].astype(np.int64).transpose(2, 0, 1)
    errors = 64 * planes - ((found[0] + found[1]) >> 1)
    for q in range(2):
        expected = np.clip(64 * plain_predictions(image, model, q, errors), 0, 16320)
        # Half a unit is rounded away; float32 may cost as much again.
        assert np.abs(found[q] - expected).max() < 1


def test_a_hopeless_fit_is_still_a_prediction() -> None:
    # A prior that is no covariance at all: pivots are lifted to the ridge, and nothing warns.
    tensors = random_tensors(CONFIG)
    tensors["prior"] = np.random.default_rng(0).integers(-(1 << 24), 1 << 24, tensors["prior"].shape)
    tensors["prior"] = tensors["prior"].astype(np.int32)
    model = LocalModel.from_model(model_file({"ridge": 1}, tensors))
    blocks = group([(6, 8)], 3)
    for step in steps(blocks, model):
        assert ((step.predictions >= 0) & (step.predictions <= 16320)).all()
    codec = group_codec([(6, 8)], 3, model, "numpy")
    assert same(codec.pop(*codec.push(some_message(), blocks))[1], blocks)


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


# --------------------------------------------------------------------------------------------- model files


def test_a_model_is_read_whole(model: LocalModel) -> None:
    tensors = random_tensors(CONFIG)
    bits = [(int(tensors["hidden_w"][1, 5, 0]) >> h) & 1 for h in range(64)]
    assert model.signs.shape == (2, 64, 64)
    assert model.signs[1, 5].tolist() == [1 - 2 * bit for bit in bits]
    sizes = [[len(p) for p in row] for row in model.priors]
    assert sizes == [[entries(8 + 5 * c), entries(4 + 2 * c)] for c in range(3)]
    flat = np.concatenate([p for row in model.priors for p in row])
    assert np.array_equal(flat, tensors["prior"])
    for array in (model.signs, model.first_w, model.priors[2][1]):
        assert not array.flags.writeable


def test_the_released_configuration_is_within_bounds() -> None:
    config = {"hidden": 128, "layers": 3, "own": [14, 6], "earlier": [9, 5]}
    assert local_model(**config).regressors(2, 0) == 32
    assert max(largest_sum(along, down) for along in (1, 2, 3) for down in (1, 2, 3, 4)) < 1 << 31


@pytest.mark.parametrize("extreme", [255, -255])
def test_sums_stay_within_the_bound(extreme: int) -> None:
    order = Order([(80, 80)])
    fit = Predictor(order, 2, (3, 4), 64, np.zeros(5, np.int32))
    for lanes in order.times():
        n = len(lanes.x)
        d, t = np.full((2, n), extreme), np.full(n, 255)
        fit.predict(lanes, d, np.zeros(n, np.int64))
        fit.update(lanes, d, t, np.full(n, 64))
    largest = np.abs(fit._g).max() + np.abs(fit._f).max()
    assert 0.8 * float(largest_sum(3, 4)) < largest < largest_sum(3, 4)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden": 96},
        {"hidden": 0},
        {"hidden": 320},
        {"hidden": 64.0},
        {"layers": 9},
        {"layers": -1},
        {"layers": True},
        {"layers": 3},
        {"layers": 0},
        {"components": 0},
        {"components": 9},
        {"components": 4},
        {"own": [1, 4]},
        {"own": [17, 4]},
        {"own": [8]},
        {"own": 8},
        {"own": [8, 4, 4]},
        {"own": [8, "4"]},
        {"own": [9, 4]},
        {"earlier": [10, 2]},
        {"earlier": [5, -1]},
        {"along": [0, 2]},
        {"along": [3, 4]},
        {"down": [4, 0]},
        {"down": [5, 2]},
        {"down": None},
        {"ridge": 0},
        {"ridge": (1 << 20) + 1},
        {"ridge": 64.5},
        {"rate_q": -1},
        {"rate_q": (1 << 16) + 1},
        {"rate_q": None},
        {"colour": 1},
    ],
    ids=str,
)
def test_configurations_that_do_not_fit_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="model: "):
        LocalModel.from_model(model_file(config, {}))


def test_a_missing_key_and_another_family_are_refused() -> None:
    data = modelfile.dump("local", {"hidden": 64}, Graph({}, {}), dict(random_tensors(CONFIG)))
    with pytest.raises(ModelError, match="config"):
        LocalModel.from_model(modelfile.load(data))
    with pytest.raises(ModelError, match="family"):
        LocalModel.from_model(model_file(family="rvae"))


LIMITS = {
    "first_m": (0, 2400),
    "first_b": (-(1 << 28), 1 << 28),
    "hidden_m": (-(1 << 14), 1 << 14),
    "hidden_b": (-(1 << 28), 1 << 28),
    "out_w": (-(1 << 22), 1 << 22),
    "out_b": (-(1 << 28), 1 << 28),
    "prior": (-(1 << 24), 1 << 24),
}


@pytest.mark.parametrize("name", [*LIMITS, "first_w", "hidden_w"])
def test_tensors_that_do_not_fit_are_refused(name: str) -> None:
    tensor = random_tensors(CONFIG)[name]
    broken: list[np.ndarray | None] = [tensor.astype(np.int64), tensor[..., None], tensor[:1]]
    if name != "prior":
        broken.append(None)
    for value in LIMITS.get(name, ()):
        kept, beyond = tensor.copy(), tensor.copy()
        kept.flat[-1] = value
        beyond.flat[-1] = value + (1 if value > 0 else -1)
        LocalModel.from_model(model_file({}, {name: kept}))
        broken.append(beyond)
    for other in broken:
        with pytest.raises(ModelError, match=name):
            LocalModel.from_model(model_file({}, {name: other}))


# ---------------------------------------------------------------------------------------------- backends


@pytest.mark.parametrize("with_side", [False, True], ids=["plain", "side"])
@pytest.mark.parametrize(
    ("shapes", "channels"), [*GROUPS, ([(24, 40)], 3), ([(15, 32), (14, 20)], 1)], ids=str
)
def test_native_gives_the_same_numbers(shapes: list[tuple[int, int]], channels: int, with_side: bool) -> None:
    native = pytest.importorskip("bbcodec.local.native", exc_type=ImportError)
    blocks = group(shapes, channels)
    side = random_side(shapes) if with_side else None
    for config in ({}, {"own": [14, 6], "earlier": [9, 5], "hidden": 128, "layers": 3}):
        model = local_model(**config)
        parts = random_side(shapes, model.hidden) if side is not None else None
        expected, found = reference.plan(blocks, model, parts), native.plan(blocks, model, parts)
        for a, b in zip(expected, found, strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        (message,) = group_codec(shapes, channels, model, "numpy", parts).push(some_message(), blocks)
        after, decoded = group_codec(shapes, channels, model, "native", parts).pop(message)
        assert same(decoded, blocks)
        assert message_equal(after, some_message())
