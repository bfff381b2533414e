# SPDX-License-Identifier: Apache-2.0
"""The family local: its least-squares fits against independent ones, and the bounds of their sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from local_cases import (
    CONFIG,
    group,
    local_model,
    model_file,
    neighbour,
    photo,
    random_tensors,
    same,
    some_message,
    steps,
)

from bbcodec.families.local import order as order_module
from bbcodec.families.local.codec import group_codec
from bbcodec.families.local.least_squares import Predictor
from bbcodec.families.local.model import LocalModel, entries, largest_sum
from bbcodec.families.local.order import EARLIER, OWN, Order
from bbcodec.jobs import Execution


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return local_model()


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
        # Half of 1/64 level is rounded away; float32 costs some more where noise makes a fit nearly singular.
        difference = np.abs(found[q] - expected)
        assert difference.max() < (0.75 if kind == "photo" else 4)
        assert np.median(difference) < 0.5


def test_a_hopeless_fit_is_still_a_prediction() -> None:
    # A prior that is no covariance at all: pivots are lifted to the ridge, and nothing warns.
    tensors = random_tensors(CONFIG)
    tensors["prior"] = np.random.default_rng(0).integers(-(1 << 24), 1 << 24, tensors["prior"].shape)
    tensors["prior"] = tensors["prior"].astype(np.int32)
    model = LocalModel.from_model(model_file({"ridge": 1}, tensors))
    blocks = group([(6, 8)], 3)
    for step in steps(blocks, model):
        assert ((step.predictions >= 0) & (step.predictions <= 16320)).all()
    codec = group_codec([(6, 8)], 3, model, execution=Execution(threads=1, backend="numpy"))
    assert same(codec.pop(*codec.push(some_message(), blocks))[1], blocks)


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
