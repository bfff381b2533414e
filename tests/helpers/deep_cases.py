# SPDX-License-Identifier: Apache-2.0
"""Models of the family deep for tests, and chains of planes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from local_cases import model_file

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.modelfile import Model

_NOT_DEEP = {"latents", "encoder", "prior", "positions"}


def small_model(base: str | None = None, **config: Any) -> Model:
    """Return a model with the network of a released one of `local`, or a small one of random numbers."""
    local = model_file({"layers": 1, "components": 2}) if base is None else modelfile.load_named(base)
    numbers = {key: value for key, value in local.config.items() if key not in _NOT_DEEP}
    numbers |= {"own": [12, 6], "earlier": [9, 5], "phased": [10, 6]} | config
    tensors = {name: tensor for name, tensor in local.tensors.items() if name not in _NOT_DEEP}
    return modelfile.load(modelfile.dump("deep", numbers, Graph({}, {}), tensors))


class Case(NamedTuple):
    """Planes of a chain.

    Attributes
    ----------
    samples : int64 [P, H, W]
    planes : see `bbcodec.families.deep.planes`.
    """

    samples: np.ndarray[Any, Any]
    planes: np.ndarray[Any, Any]


def waves(
    shape: tuple[int, int, int], top: int, noise: float, seed: int = 0, *, flat: bool = False
) -> np.ndarray[Any, Any]:
    """Return waves with noise, int64 [P, H, W] of 0 to `top`; with `flat`, a corner of zeros."""
    count, height, width = shape
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    size = top / 4
    found = [
        top / 2 + size * np.sin(x / 5 + p / 4) + size * np.cos(y / 7) + rng.normal(0, noise, (height, width))
        for p in range(count)
    ]
    samples = np.clip(np.stack(found), 0, top).astype(np.int64)
    if flat:
        samples[:, height // 2 :, width // 3 :] = 0
    return samples


# References, role and phases of planes.
ALONE = (-1, -1, 0, 0)
PHASED = (-1, -1, 0, 1)
AFTER_ONE = (0, -1, 1, 0)
AFTER_ONE_PHASED = (0, -1, 1, 1)
AFTER_TWO = (0, 1, 2, 0)


def case(samples: np.ndarray[Any, Any], top: int, *rows: tuple[int, ...]) -> Case:
    """Return planes with their rows, all with the same largest sample."""
    return Case(samples, np.array([(*row, top) for row in rows], np.int64))


def cases(height: int, width: int) -> dict[str, Case]:
    """Return chains where every part of the coding occurs."""
    size = height, width
    wide = waves((1, *size), 65535, 2500, flat=True)
    return {
        "bits": case(waves((1, *size), 1, 1), 1, ALONE),
        "eight": case(waves((1, *size), 255, 4), 255, ALONE),
        "ten": case(waves((1, *size), 1023, 3, flat=True), 1023, PHASED),
        "wide": case(wide, 65535, ALONE),
        "edge": case(np.where(wide > 30000, 40000, wide // 4000), 40000, ALONE),
        "two": case(waves((2, *size), 4095, 40), 4095, ALONE, AFTER_ONE),
        "three": case(waves((3, *size), 60000, 700), 60000, PHASED, AFTER_ONE_PHASED, AFTER_TWO),
        "frames": case(waves((3, *size), 700, 9), 700, ALONE, AFTER_ONE, (1, -1, 1, 0)),
    }
