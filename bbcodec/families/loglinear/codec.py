# SPDX-License-Identifier: Apache-2.0
"""Groups of blocks with a model of the family, and the only place that chooses its implementation."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.backends import backend_name
from bbcodec.coding.ans import Words
from bbcodec.families.local import float_mode
from bbcodec.families.loglinear.model import LogLinearModel
from bbcodec.families.loglinear.reference import ALL_PREDICTED
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution

_MODULES: Final = {"native": "native", "numba": "jit"}  # every other backend uses `reference`

Shapes = Sequence[tuple[int, int]]


class Implementation(Protocol):
    """Functions of every implementation; see `bbcodec.families.loglinear.reference`."""

    def encode(
        self, blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ...
    ) -> list[Words]: ...

    def decode(
        self,
        words: Sequence[Words],
        shapes: Shapes,
        channels: int,
        model: LogLinearModel,
        threads: int = 1,
        neighbours: int = ...,
    ) -> list[Pixels]: ...

    def cost(
        self, blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ...
    ) -> list[NDArray[np.float32]]: ...


def encode(
    blocks: Sequence[Pixels], model: LogLinearModel, execution: Execution, neighbours: int = ALL_PREDICTED
) -> list[Words]:
    """Return the words of every stream of a group; see `bbcodec.families.loglinear.reference.encode`."""
    with np.errstate(all="ignore"):
        code = _implementation(execution.backend).encode
        return code(blocks, model, execution.workers, neighbours)


def decode(
    words: Sequence[Words],
    shapes: Shapes,
    channels: int,
    model: LogLinearModel,
    execution: Execution,
    neighbours: int = ALL_PREDICTED,
) -> list[Pixels]:
    """Return the blocks of a group; see `bbcodec.families.loglinear.reference.decode`."""
    with np.errstate(all="ignore"):
        code = _implementation(execution.backend).decode
        return code(words, shapes, channels, model, execution.workers, neighbours)


def cost(
    blocks: Sequence[Pixels], model: LogLinearModel, execution: Execution, neighbours: int = ALL_PREDICTED
) -> list[NDArray[np.float32]]:
    """Return the cost of every pixel of a group in bits: float32 [height, width] of every block."""
    with np.errstate(all="ignore"):
        code = _implementation(execution.backend).cost
        return code(blocks, model, execution.workers, neighbours)


def _implementation(backend: str | None) -> Implementation:
    """Return the implementation for a backend; see `bbcodec.backends.backend_name`.

    Raises
    ------
    FloatModeError
        An implementation in Python is asked for, on a thread that computes with floats in another way than
        the format asks for. What the caller wants to hear of underflow and the like does not concern it.
    """
    name = backend_name(backend)
    module = importlib.import_module(f"bbcodec.families.loglinear.{_MODULES.get(name, 'reference')}")
    if name != "native":
        float_mode.check()
    return cast(Implementation, module)
