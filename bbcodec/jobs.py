# SPDX-License-Identifier: Apache-2.0
"""Run work on threads, and report its progress.

Nothing here changes a byte or a pixel of a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from bbcodec.errors import OptionError

__all__ = ["MAX_THREADS", "SERIAL", "Execution", "Pool", "Progress", "Report", "cpus", "parallel"]

Progress: TypeAlias = Callable[[int, int], None]
"""Callback with (parts done, total parts); worker threads may call it."""

MAX_THREADS: Final = 256
"""Largest number of threads of a call: each takes memory for its stack, and larger numbers are mistakes."""

_SIGNAL_POLL_SECONDS: Final = 0.2  # between two checks for signals


@dataclass(frozen=True, slots=True)
class Execution:
    """Settings of how a call runs; the result never depends on them.

    Attributes
    ----------
    threads : number of threads; 0 means one per core. A call uses at most `MAX_THREADS`, and no more than its
        work has parts.
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
        """Return the number of threads, 1 to `MAX_THREADS`."""
        return min(self.threads or cpus(), MAX_THREADS)

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


class Pool:
    """Worker threads; fewer than asked for where the system gives no more.

    A call that gets no thread runs on the thread that submits it, before `submit` returns.

    Parameters
    ----------
    threads : number of calls at a time, 1 to `MAX_THREADS`; numbers outside are moved into this range.

    Attributes
    ----------
    failed : whether a call has raised an error.
    """

    def __init__(self, threads: int):
        self._executor = ThreadPoolExecutor(max(1, min(threads, MAX_THREADS)))
        self._is_open = True
        self.failed = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function on a thread, and return the future with its result.

        Raises
        ------
        RuntimeError
            The pool is shut down.
        """
        call = _Call(self, function, arguments)
        try:
            self._executor.submit(call)
        except RuntimeError:
            if not self._is_open:
                raise
            call()  # does nothing if a thread of the pool found the call nevertheless
            error = call.future.exception() if call.future.done() else None
            if error is not None and not isinstance(error, Exception):
                raise error from None  # KeyboardInterrupt, on the thread that got it
        return call.future

    def shutdown(self, wait: bool = True, *, cancel: bool = False) -> None:
        """End the threads after the submitted calls, or with `cancel` after the running ones.

        Futures of calls that were cancelled never become done.
        """
        self._is_open = False
        self._executor.shutdown(wait=wait, cancel_futures=cancel)


class _Call:
    """A call that happens once, whichever thread comes first."""

    def __init__(self, pool: Pool, function: Callable[..., Any], arguments: tuple[Any, ...]):
        self.future: Future[Any] = Future()
        self._pool, self._function, self._arguments = pool, function, arguments
        self._turn = threading.Lock()  # never released

    def __call__(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            result = self._function(*self._arguments)
        except BaseException as error:
            self._pool.failed = True
            self.future.set_exception(error)
            del self  # the traceback of the error holds this frame: no cycle
        else:
            self.future.set_result(result)


def parallel(function: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """Call a function with every item on worker threads, and return the results in order.

    The calling thread only waits, even for a single item. It therefore answers signals while the workers run
    native code. After an error no further item starts, and the error of the function is raised when the
    running items have ended. KeyboardInterrupt and SystemExit do not wait for them.

    Parameters
    ----------
    function : called with one item.
    items : arguments of the calls.
    threads : number of items at a time; 0 means one per core. There may be fewer threads, see `Pool`.
    """
    pool = Pool(min(threads or cpus(), len(items)))
    futures: list[Future[Any]] = []
    results: list[Any] = []
    try:
        for item in items:
            if pool.failed:
                break
            futures.append(pool.submit(function, item))
        for future in futures:
            # The system may deliver a signal to a worker thread; only a timeout ends the wait then.
            while not future.done():
                wait([future], _SIGNAL_POLL_SECONDS)
            results.append(future.result())
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel=True)
        raise
    pool.shutdown()
    return results
