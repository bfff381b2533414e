# SPDX-License-Identifier: Apache-2.0
"""Local bits-back coding for flows (Ho et al. 2019), with exact integers.

The integer form is the modular scale transform of iFlow (Zhang et al. 2021). A layer of a flow maps integers
by an increasing function, which is linear within cells of ``S`` input steps. A cell becomes ``R`` output
steps. Let x be the input from the start of its cell. Pop a number r below R, and write v = R x + r = S y + e
with e below S. Then y is the output, and e is pushed. The step is invertible and costs log2 S - log2 R bits,
which is minus the log of the slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Message
from bbcodec.coding.distributions.uniform import Uniform

Integers = NDArray[np.int64]


class Bijection(NamedTuple):
    """Two functions ``(message, array) -> (message, array)`` that undo each other."""

    forward: Callable[[Message, Integers], tuple[Message, Integers]]
    backward: Callable[[Message, Integers], tuple[Message, Integers]]


class Map(Protocol):
    """Strictly increasing functions of cell numbers, one per element.

    `bbcodec.coding.distributions.cut_mixture` implements them.
    """

    def ends(self, m: Integers) -> Integers:
        """Return the starts of cells after the map."""
        ...

    def find(self, y: Integers) -> Integers:
        """Return the cells of mapped numbers: the largest m with ``ends(m) <= y``."""
        ...


def piecewise_linear(
    maps: Map, shape: tuple[int, ...], cell_bits: int, backend: str | None = None
) -> Bijection:
    """Return the bijection of increasing integer maps that are linear within cells.

    Parameters
    ----------
    maps : maps of cells 0 .. 2^b, from 0 to ``2**(b + cell_bits)``, at most 2**20.
    shape : shape of the arrays.
    cell_bits : log2 of the steps of a cell.
    backend : kernels that push; the words do not depend on them.

    Raises
    ------
    MessageUnderflow
        In both directions: the message has too few bits.
    """
    steps = Uniform(1 << cell_bits, shape, backend)
    mask = (1 << cell_bits) - 1

    def forward(message: Message, x: Integers) -> tuple[Message, Integers]:
        cell = x >> cell_bits
        start = maps.ends(cell)
        size = maps.ends(cell + 1) - start
        message, r = Uniform(size, shape, backend).pop(message)
        v = size * (x & mask) + r
        (message,) = steps.push(message, v & mask)
        return message, start + (v >> cell_bits)

    def backward(message: Message, y: Integers) -> tuple[Message, Integers]:
        cell = maps.find(y)
        start = maps.ends(cell)
        size = maps.ends(cell + 1) - start
        message, e = steps.pop(message)
        v = ((y - start) << cell_bits) + e
        x = v // size
        (message,) = Uniform(size, shape, backend).push(message, v - x * size)
        return message, (cell << cell_bits) + x

    return Bijection(forward, backward)


def chain(bijections: Any) -> Bijection:
    """Return the composition of bijections, in the order of `forward`."""
    parts = tuple(bijections)

    def forward(message: Message, x: Integers) -> tuple[Message, Integers]:
        for part in parts:
            message, x = part.forward(message, x)
        return message, x

    def backward(message: Message, y: Integers) -> tuple[Message, Integers]:
        for part in reversed(parts):
            message, y = part.backward(message, y)
        return message, y

    return Bijection(forward, backward)
