# SPDX-License-Identifier: Apache-2.0
"""Vectorised rANS in three backends with one interface and one answer.

``reference`` (NumPy, the meaning), ``jit`` (numba) and ``native`` (C++) each offer the functions of
:class:`RansKernels`. Backends are imported on demand; which one is the default is decided in
:mod:`bbcodec.backends` alone. Codec objects do not live here (:mod:`bbcodec.coding.distributions`).

**The vector rule** (part of the format): n symbols over L lanes are coded in groups of L. Group g holds the
symbols ``g*L ..`` on the lanes 0, 1, ...; the last group may be partial. Groups are popped in forward and
pushed in reverse order, so a push undoes a pop exactly. The words of a whole push are handed over as one
array, front of the tail first.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words

_MODULES = {"numpy": "reference", "numba": "jit", "native": "native"}


class RansKernels(Protocol):
    """What every backend offers. Arrays are 1-D and C-contiguous, of just these dtypes; none is changed."""

    def push_logistic(
        self,
        head: Head,
        symbols: NDArray[np.int32],
        mu: NDArray[np.int32],
        e: NDArray[np.int32],
        nsym: int,
        floor: int,
        /,
    ) -> tuple[Head, Words]:
        """Push symbols ``0 <= symbol < nsym`` under integer logistics (see ``distributions.tables``).

        Returns the new head [L] and the words to put at the front of the tail. ValueError for wrong lengths,
        ``nsym`` outside 1..4096 or a symbol outside its range. With a ``floor`` of 1 every symbol has a
        frequency of at least 1; with 0 a symbol may have none, and pushing it is a ValueError too.
        """
        ...

    def pop_logistic(
        self, head: Head, mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int, words: Words, /
    ) -> tuple[Head, NDArray[np.int32], int]:
        """Pop ``len(mu)`` symbols. ``words`` is the front of the tail; at most one word per symbol is needed.

        Returns the new head [L], the symbols, and how many words were consumed. MessageUnderflow when
        ``words`` run out.
        """
        ...

    def push_freqs(
        self, head: Head, starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int, /
    ) -> tuple[Head, Words]:
        """Push intervals ``[start, start + freq)`` of ``2**precision``; ValueError if one is not within."""
        ...

    def push_sections(
        self,
        head: Head,
        starts: NDArray[np.uint32],
        freqs: NDArray[np.uint32],
        sections: NDArray[np.int64],
        precision: int,
        /,
    ) -> tuple[Head, Words]:
        """Push intervals in sections of these sizes, each of which begins at lane 0; ValueError as above."""
        ...


def kernels(name: str | RansKernels | None = None) -> RansKernels:
    """Return the backend called ``name``: "numpy", "numba" or "native"; None takes the default one.

    Anything else is taken for kernels itself: a benchmark may bring some that measure instead of coding.

    OptionError (of ``engine.select``) for a name that is unknown or not available here.
    """
    from bbcodec.backends import backend_name  # late: the engine lies above, and chooses for all

    if name is not None and not isinstance(name, str):
        return name
    return _load(backend_name(name))


@cache
def _load(name: str) -> RansKernels:
    return cast(RansKernels, importlib.import_module(f"{__name__}.{_MODULES[name]}"))


def padded(
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    sections: NDArray[np.int64],
    lanes: int,
    precision: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Intervals, every section filled up to a multiple of the lanes by certain symbols, which change none.

    Raises
    ------
    ValueError
        The sections do not add up to the intervals.
    """
    if (len(sections) and int(sections.min()) < 0) or int(sections.sum()) != len(starts):
        raise ValueError("the sections do not match")
    whole = -(-sections // lanes) * lanes
    shift = (np.cumsum(whole) - whole) - (np.cumsum(sections) - sections)
    place = np.arange(len(starts)) + np.repeat(shift, sections)
    all_starts = np.zeros(int(whole.sum()), np.uint64)
    all_freqs = np.full(len(all_starts), 1 << precision, np.uint64)
    all_starts[place], all_freqs[place] = starts, freqs
    return all_starts, all_freqs


def check_lengths(lanes: int, *lengths: int) -> None:
    """Raise ValueError unless there is a lane and all vectors are equally long."""
    if lanes < 1:
        raise ValueError("a head needs at least one lane")
    if len(set(lengths)) > 1:
        raise ValueError(f"vectors of different lengths: {lengths}")


def check_symbols(symbols: NDArray[np.int32], nsym: int) -> None:
    """Raise ValueError unless every symbol is in ``0 .. nsym - 1``."""
    if len(symbols) and not (symbols.min() >= 0 and symbols.max() < nsym):
        raise ValueError(f"symbols must be in 0..{nsym - 1}, got {symbols.min()}..{symbols.max()}")


def check_intervals(starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int) -> None:
    """Raise ValueError unless ``0 < freq``, ``start + freq <= 2**precision`` and ``0 <= precision <= 31``."""
    if not 0 <= precision <= 31:
        raise ValueError(f"precision must be in 0..31, got {precision}")
    total = 1 << precision
    if ((freqs == 0) | (freqs > total) | (starts > total - np.minimum(freqs, total))).any():
        raise ValueError(f"an interval is empty or not within 0..2**{precision}")
