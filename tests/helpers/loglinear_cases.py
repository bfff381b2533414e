# SPDX-License-Identifier: Apache-2.0
"""Models of the family loglinear for tests, and pictures whose colours repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
from bbcodec.models.loglinear.build import build
from local_cases import model_file

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.modelfile import Model


def changed(model: Model, **changes: Any) -> Model:
    """Return a model with other numbers and tensors."""
    config = dict(model.config) | {k: v for k, v in changes.items() if not isinstance(v, np.ndarray)}
    tensors = dict(model.tensors) | {k: v for k, v in changes.items() if isinstance(v, np.ndarray)}
    return modelfile.load(modelfile.dump("loglinear", config, Graph({}, {}), tensors))


def small_model(base: str | None = None, **changes: Any) -> Model:
    """Return a model with the contexts of `bbcodec.models.loglinear.build`, which codes no block plainly.

    base : name of a released model of `local`; a small network of random numbers if None.
    """
    local = model_file({"layers": 1, "components": 2}) if base is None else modelfile.load_named(base)
    return changed(modelfile.load(build(local)), **{"plain": 256} | changes)


def random_model(contexts: int, seed: int = 0, base: str | None = None, **numbers: int) -> Model:
    """Return a model whose contexts are of any terms, and whose layer starts anywhere; see `small_model`."""
    rng = np.random.default_rng(seed)
    terms = rng.integers(0, 33, (4, contexts, 4), np.int32)
    direct = rng.integers(0, 2, (4, contexts), np.int8)
    mix = rng.integers(-(1 << 19), 1 << 20, (4, 8, contexts), np.int32)
    pixel_mix = rng.integers(-(1 << 18), 1 << 19, (8, 8), np.int32)
    pixel_start = rng.integers(-127, 128, (256, 7), np.int8)
    pixel_start[rng.random((256, 7)) < 0.2] = 0
    start = {"pixel_mix": pixel_mix, "pixel_start": pixel_start}
    return small_model(base, contexts=contexts, terms=terms, direct=direct, mix=mix, **start, **numbers)


def drawing(shape: tuple[int, ...], seed: int = 0, colours: int = 4, specks: float = 0.0) -> Any:
    """Return uint8 [H, W, C]: rectangles of a few colours, and a share of pixels of any colour."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    palette = rng.integers(0, 256, (colours, channels), np.uint8)
    areas = palette[rng.integers(0, colours, (-(-height // 4), -(-width // 5)))]
    out = areas.repeat(4, axis=0).repeat(5, axis=1)[:height, :width].copy()
    noisy = rng.random((height, width)) < specks
    out[noisy] = rng.integers(0, 256, (int(noisy.sum()), channels), np.uint8)
    return out
