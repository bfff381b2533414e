# SPDX-License-Identifier: Apache-2.0
"""The message of a chain, and the only place that chooses its implementation.

An implementation plans (computes the symbols of all samples, given these) and decodes. Pushing is the same
for all: in sections that begin at lane 0, in reverse.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.backends import backend_name
from bbcodec.coding import ans, logistic_tables
from bbcodec.coding.ans import Head, Words, tail_gather
from bbcodec.coding.codecs import flatten, message_bits, unflatten
from bbcodec.coding.kernels import kernels
from bbcodec.container import Buffer
from bbcodec.errors import FormatError
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes, Symbols
from bbcodec.families.local import float_mode
from bbcodec.jobs import Execution

__all__ = ["Coded", "check_size", "cost", "decode", "encode", "implementation"]

LANES: Final = 8
_MODULES: Final = {"native": "native", "numba": "jit"}  # every other backend uses `reference`
_WORDS_OF_SAMPLE: Final = 3  # at most


class Coded(NamedTuple):
    """A coded chain: its payload, the bits of its samples, and the bits of what every payload has."""

    payload: bytes
    bits: float
    overhead: float


class Implementation(Protocol):
    """Functions of every implementation; see `bbcodec.families.deep.reference`."""

    def plan(
        self,
        samples: NDArray[Any],
        planes: Planes,
        model: DeepModel,
        threads: int = 1,
        *,
        traced: bool = False,
    ) -> Symbols:
        """Return the symbols of a chain; with their pixels, if `traced`."""
        ...

    def decode(
        self,
        head: Head,
        words: Words,
        shape: tuple[int, int],
        planes: Planes,
        model: DeepModel,
        threads: int = 1,
    ) -> tuple[NDArray[np.uint16], Head, int]:
        """Return the samples, the head, and the number of words used."""
        ...


def implementation(backend: str | None = None) -> Implementation:
    """Return the implementation for a backend; see `bbcodec.backends.backend_name`."""
    name = backend_name(backend)
    module = importlib.import_module(f"bbcodec.families.deep.{_MODULES.get(name, 'reference')}")
    if name != "native":  # which sets the mode itself
        float_mode.check()
    return cast(Implementation, module)


def encode(samples: NDArray[Any], planes: Planes, model: DeepModel, execution: Execution) -> Coded:
    """Encode a chain.

    Parameters
    ----------
    samples : integers [P, H, W], 0 to the largest sample of each plane.
    planes : see `bbcodec.families.deep.planes`.
    model : DeepModel
    execution : threads and backend; the payload does not depend on it.
    """
    planned = implementation(execution.backend).plan(samples, planes, model, execution.workers)
    head, tail = ans.base_message(LANES)
    before = message_bits((head, tail))
    lanes, words = kernels(execution.backend).push_sections(
        head, planned.start, planned.freq, planned.sections, logistic_tables.PRECISION
    )
    message = lanes, (words, tail) if len(words) else tail
    flat = flatten(message)
    bits = message_bits(message) - before
    return Coded(flat.astype("<u4").tobytes(), bits, 32.0 * len(flat) - bits)


def decode(
    payload: Buffer, shape: tuple[int, int], planes: Planes, model: DeepModel, execution: Execution
) -> NDArray[np.uint16]:
    """Decode a chain: uint16 [P, H, W].

    Raises
    ------
    FormatError
        The payload is damaged.
    """
    check_size(payload)
    head, tail = unflatten(np.frombuffer(payload, "<u4").astype(np.uint32), LANES)
    most = _WORDS_OF_SAMPLE * len(planes) * shape[0] * shape[1]
    gathered = tail_gather(tail, most)
    words, rest = gathered if gathered else (np.empty(0, np.uint32), ())
    samples, lanes, used = implementation(execution.backend).decode(
        head, words, shape, planes, model, execution.workers
    )
    left = (lanes, (words[used:], rest) if len(words) > used else rest)
    if not ans.message_equal(left, ans.base_message(LANES)):
        raise FormatError("learned payload: the message is damaged, it does not end in its initial state")
    return samples


def cost(
    samples: NDArray[Any], planes: Planes, model: DeepModel, execution: Execution
) -> NDArray[np.float64]:
    """Return the cost of every pixel of a chain, all planes together, in bits: float64 [H, W]."""
    planned = implementation(execution.backend).plan(samples, planes, model, execution.workers, traced=True)
    bits = logistic_tables.PRECISION - np.log2(planned.freq)
    height, width = samples.shape[1:]
    total = np.zeros(height * width)
    np.add.at(total, planned.pixels, bits)
    return total.reshape(height, width)


def check_size(payload: Buffer) -> None:
    """Raise FormatError unless a payload can have this length."""
    if len(payload) < 8 or len(payload) % 4:
        raise FormatError(f"learned payload: chain of {len(payload)} bytes, expected 4 n, n >= 2")
