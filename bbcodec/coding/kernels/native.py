# SPDX-License-Identifier: Apache-2.0
"""The rANS kernels in C++ (``native/core/coding/rans.cpp``): a thin layer over ``bbcodec._native``.

The tables are computed once in Python (:mod:`bbcodec.coding.logistic_tables`) and handed over, so that the
constants of the format exist in one place. The C++ side checks its arguments again and releases the GIL.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import bbcodec._native as _native
from bbcodec.coding import logistic_tables
from bbcodec.coding.ans import Head, Words
from bbcodec.errors import MessageUnderflow


@lru_cache(maxsize=1)
def _tables() -> _native.LogisticTables:
    return _native.LogisticTables(
        logistic_tables.sigmoid_table(), logistic_tables.inverse_scale_table(), logistic_tables.guess_table()
    )


def push_logistic(
    head: Head, symbols: NDArray[np.int32], mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    result: tuple[Head, Words] = _native.push_logistic(_tables(), head, symbols, mu, e, nsym, floor)
    return result


def pop_logistic(
    head: Head, mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int, words: Words
) -> tuple[Head, NDArray[np.int32], int]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    new_head, symbols, consumed = _native.pop_logistic(_tables(), head, mu, e, nsym, floor, words)
    if consumed < 0:
        raise MessageUnderflow(f"the {len(words)} words left do not hold {len(mu)} symbols")
    return new_head, symbols, consumed


def push_freqs(
    head: Head, starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    result: tuple[Head, Words] = _native.push_freqs(head, starts, freqs, precision)
    return result


def push_sections(
    head: Head,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    sections: NDArray[np.int64],
    precision: int,
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    result: tuple[Head, Words] = _native.push_sections(head, starts, freqs, sections, precision)
    return result
