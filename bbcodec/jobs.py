# SPDX-License-Identifier: Apache-2.0
"""Run work on threads, and report its progress.

Nothing here changes a byte or a pixel of a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from bbcodec.errors import OptionError

__all__ = ["SERIAL", "Execution", "Progress", "Report", "cpus", "parallel"]

Progress: TypeAlias = Callable[[int, int], None]
"""Callback with (parts done, total parts); worker threads may call it."""

_SIGNAL_POLL_SECONDS: Final = 0.2  # between two checks for signals


@dataclass(frozen=True, slots=True)
class Execution:
    """Settings of how a call runs; the result never depends on them.

    Attributes
    ----------
    threads : number of threads; 0 means one per core.
    backend : ``numpy``, ``numba``, ``native``, or None for the fastest that is installed
        (`bbcodec.backends`).
    progress : callback that gets the progress, or None.

    Raises
    ------
    OptionError
        The number of threads is negative.

    Examples
    --------
    >>> Execution(threads=3).workers
    3
    """

    threads: int = 0
    backend: str | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise OptionError(f"threads must be 0 (all cores) or more (got {self.threads})")

    @property
    def workers(self) -> int:
        """Return the number of threads, at least 1."""
        return self.threads or cpus()

    def with_threads(self, threads: int) -> Execution:
        """Return a copy with another number of threads."""
        return replace(self, threads=threads)


SERIAL: Final = Execution(threads=1)
"""One thread, the fastest backend, no progress."""


class Report:
    """Counter of finished parts that calls a progress callback.

    Parameters
    ----------
    progress : callback or None.
    total : number of parts.
    """

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def part(self) -> None:
        """Count one more finished part, and call the callback."""
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def cpus() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """Call a function with every item on worker threads, and return the results in order.

    The calling thread only waits, even for a single item. It therefore answers signals while the workers run
    native code. After an error no further item starts, and the error of the function is raised when the
    running items have ended. KeyboardInterrupt and SystemExit do not wait for them.

    Parameters
    ----------
    function : called with one item.
    items : arguments of the calls.
    threads : number of items at a time; 0 means one per core.
    """
    pool = ThreadPoolExecutor(max(1, min(threads or cpus(), len(items))))
    futures = [pool.submit(function, item) for item in items]
    results: list[Any] = []
    try:
        for future in futures:
            # The system may deliver a signal to a worker thread; only a timeout ends the wait then.
            while not future.done():
                wait([future], _SIGNAL_POLL_SECONDS)
            results.append(future.result())
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return results
