# SPDX-License-Identifier: Apache-2.0
"""Models of the family loglinear for tests."""

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
    """Return a model with the contexts of `bbcodec.models.loglinear.build`.

    base : name of a released model of `local`; a small network of random numbers if None.
    """
    local = model_file({"layers": 1, "components": 2}) if base is None else modelfile.load_named(base)
    return changed(modelfile.load(build(local)), **changes)


def random_model(contexts: int, seed: int = 0, base: str | None = None, **numbers: int) -> Model:
    """Return a model whose contexts are of any terms, and whose mixer starts anywhere; see `small_model`."""
    rng = np.random.default_rng(seed)
    terms = rng.integers(0, 32, (4, contexts, 4), np.int32)
    mix = rng.integers(-(1 << 19), 1 << 20, (4, 8, contexts), np.int32)
    return small_model(base, contexts=contexts, terms=terms, mix=mix, **numbers)
