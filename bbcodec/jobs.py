# SPDX-License-Identifier: Apache-2.0
"""How work is carried out: threads, pools and progress. Nothing here changes a byte or a pixel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from bbcodec.errors import OptionError

__all__ = ["SERIAL", "Execution", "Progress", "Report", "cpus", "parallel"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (parts done, parts in all), perhaps from worker threads."""

_PATIENCE: Final = 0.2  # seconds between two looks at signals


@dataclass(frozen=True, slots=True)
class Execution:
    """How a call is carried out; the result never depends on it.

    Attributes
    ----------
    threads : number of threads; 0 is one for each core.
    backend : ``numpy``, ``numba``, ``native``, or None for the fastest that is installed
        (`bbcodec.backends`).
    progress : told how far the work is, or None.

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
            raise OptionError(f"threads is {self.threads}, expected 0 (all cores) or more")

    @property
    def workers(self) -> int:
        """Number of threads, at least 1."""
        return self.threads or cpus()

    def with_threads(self, threads: int) -> Execution:
        """Return the same with another number of threads."""
        return replace(self, threads=threads)


SERIAL: Final = Execution(threads=1)
"""One thread, the fastest backend, no progress."""


class Report:
    """Counts finished parts for a progress callback.

    Parameters
    ----------
    progress : callback or None.
    total : number of parts.
    """

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def part(self) -> None:
        """Count one more part."""
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def cpus() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """Return what a function returns for every item, in order.

    The calling thread only waits, even for a single item, so that it answers signals at once while others
    are deep in native code. Once something is raised, no further item begins; an interruption
    (KeyboardInterrupt, SystemExit) does not wait for those at work either.

    Parameters
    ----------
    function : called with one item.
    items : the work.
    threads : at a time; 0 is one for each core.
    """
    pool = ThreadPoolExecutor(max(1, min(threads or cpus(), len(items))))
    futures = [pool.submit(function, item) for item in items]
    results: list[Any] = []
    try:
        for future in futures:
            # The system may give a signal to a worker, and then nothing but the time ends a wait.
            while not future.done():
                wait([future], _PATIENCE)
            results.append(future.result())
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return results
