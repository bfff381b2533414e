# SPDX-License-Identifier: Apache-2.0
"""Local bits back for flows (Ho et al. 2019), in its exact integer form (modular scale transform of iFlow,
Zhang et al. 2021).

A flow's layer maps integers by an increasing function, piecewise linear over cells of ``S`` input steps. In a
cell that becomes ``R`` output steps, x (from the cell's start) and a number r popped from the R are one
number v = R x + r, which is S y + e as well: y is the output, and e goes back onto the stack. The pair is
invertible, and costs log2 S - log2 R bits: minus the log of the slope.
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
    """Strictly increasing functions of cell numbers, one an element.

    `bbcodec.coding.distributions.cut_mixture` has them.
    """

    def ends(self, m: Integers) -> Integers:
        """Where cells begin after the map."""
        ...

    def find(self, y: Integers) -> Integers:
        """The cells that hold mapped numbers: the largest m with ``ends(m) <= y``."""
        ...


def piecewise_linear(
    maps: Map, shape: tuple[int, ...], cell_bits: int, backend: str | None = None
) -> Bijection:
    """Increasing maps of integers onto themselves, linear within cells.

    Parameters
    ----------
    maps : of cells 0 .. 2^b, from 0 to ``2**(b + cell_bits)``, at most 2**20.
    shape : of the arrays.
    cell_bits : log2 of the steps of a cell.
    backend : which kernels push; the words do not depend on it.

    Raises
    ------
    MessageUnderflow
        In either direction, when the message holds too few bits.
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
    """Bijections one after the other, in the order of `forward`."""
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
