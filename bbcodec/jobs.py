# SPDX-License-Identifier: Apache-2.0
"""How work is carried out: threads, pools and progress. Nothing here changes a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from bbcodec.errors import OptionError

Progress = Callable[[int, int], None]


_PATIENCE = 0.2  # seconds until a signal is answered


class Report:
    """Counts tiles for a progress callback."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def tile(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> list[Any]:
    """What a function returns for every job, in order; 0 threads are one per CPU.

    The calling thread does nothing but wait, even for a single job, so that it answers signals at once while
    others are deep in native code. Once something is raised, no further job begins; an interruption
    (KeyboardInterrupt, SystemExit) does not wait for those at work either.
    """
    pool = ThreadPoolExecutor(max(1, min(threads or cpus(), len(jobs))))
    futures = [pool.submit(function, job) for job in jobs]
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


def thread_count(wanted: int) -> int:
    """Return a number of threads from what was asked for: 0 is one for each core."""
    if wanted < 0:
        raise OptionError(f"threads is {wanted}, expected 0 (all cores) or more")
    if wanted:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
