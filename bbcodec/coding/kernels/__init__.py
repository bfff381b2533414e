# SPDX-License-Identifier: Apache-2.0
"""Vectorised rANS in three backends with one interface and equal results.

``reference`` (NumPy, the definition), ``jit`` (numba) and ``native`` (C++) each have the functions of
:class:`RansKernels`. Backends are imported on demand; :mod:`bbcodec.backends` alone chooses the default. The
codecs are in :mod:`bbcodec.coding.distributions`.

**The vector rule** (part of the format): n symbols over L lanes are coded in groups of L. Group g has the
symbols ``g*L ..`` on the lanes 0, 1, ...; the last group may be partial. Groups are popped in forward order
and pushed in reverse order, so a push undoes a pop exactly. A push returns all its words as one array, front
of the tail first.
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
    """Interface of a backend. Arrays are 1-D, C-contiguous and of exactly these dtypes.

    No function changes its arguments.
    """

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
        """Push symbols ``0 <= symbol < nsym`` with integer logistics (:mod:`bbcodec.coding.logistic_tables`).

        Return the new head [L], and the words for the front of the tail. Raise ValueError for wrong lengths,
        ``nsym`` outside 1..4096, or a symbol outside its range. With a ``floor`` of 1 every symbol has a
        frequency of at least 1. With 0 a symbol may have frequency 0, and pushing it raises ValueError.
        """
        ...

    def pop_logistic(
        self, head: Head, mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int, words: Words, /
    ) -> tuple[Head, NDArray[np.int32], int]:
        """Pop ``len(mu)`` symbols. ``words`` is the front of the tail; a symbol takes at most one word.

        Return the new head [L], the symbols, and the number of consumed words. Raise MessageUnderflow when
        ``words`` run out.
        """
        ...

    def push_freqs(
        self, head: Head, starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int, /
    ) -> tuple[Head, Words]:
        """Push intervals ``[start, start + freq)`` of ``2**precision``.

        Raise ValueError if one is empty or not within.
        """
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
        """Push intervals in sections of the given sizes. Every section begins at lane 0.

        Raise ValueError like `push_freqs`, or if the sizes do not add up to the intervals.
        """
        ...


def kernels(name: str | RansKernels | None = None) -> RansKernels:
    """Return the kernels of a backend: "numpy", "numba" or "native"; None means the default.

    Any other object is returned as it is: benchmarks pass kernels that measure instead of coding.

    Raises
    ------
    OptionError
        The backend is unknown or not available (:mod:`bbcodec.backends`).
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
    """Return starts and freqs with every section padded to a multiple of the lanes.

    The padding is symbols of probability 1, which do not change a lane.

    Raises
    ------
    ValueError
        The sections do not add up to the intervals.
    """
    if (len(sections) and int(sections.min()) < 0) or int(sections.sum()) != len(starts):
        raise ValueError(f"the sections do not add up to {len(starts)} intervals")
    whole = -(-sections // lanes) * lanes
    shift = (np.cumsum(whole) - whole) - (np.cumsum(sections) - sections)
    place = np.arange(len(starts)) + np.repeat(shift, sections)
    all_starts = np.zeros(int(whole.sum()), np.uint64)
    all_freqs = np.full(len(all_starts), 1 << precision, np.uint64)
    all_starts[place], all_freqs[place] = starts, freqs
    return all_starts, all_freqs


def check_lengths(lanes: int, *lengths: int) -> None:
    """Raise ValueError unless there is a lane and all vectors have one length."""
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
