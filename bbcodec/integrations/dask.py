# SPDX-License-Identifier: Apache-2.0
"""Compress and decompress files on a Dask cluster, one task for each file. Needs the extra `dask`.

Dask distributes the tasks, moves those of a lost worker, and retries failed ones. Here is the work of a task,
and the summary of all results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeAlias

from distributed import Client, as_completed, get_worker

from bbcodec.errors import BBCodecError
from bbcodec.integrations.files import FileResult, compress_file, decompress_file, failure

__all__ = ["Summary", "compress_files", "decompress_files"]

Pairs: TypeAlias = "Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]]"
Watch: TypeAlias = Callable[[FileResult, int, int], None]

# Errors that a retry cannot fix.
_PERMANENT_ERRORS = (
    BBCodecError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


@dataclass(frozen=True)
class Summary:
    """The results of all files.

    Parameters
    ----------
    results : tuple of FileResult
        In the order of the files.
    seconds : float
        Wall time of the whole run.
    """

    results: tuple[FileResult, ...]
    seconds: float

    def of(self, status: str) -> list[FileResult]:
        """Return the results with a status: done, skipped or failed."""
        return [result for result in self.results if result.status == status]

    def as_dict(self) -> dict[str, Any]:
        """Return sums as JSON values: files by status; bytes of files done, in all and by worker."""
        done = self.of("done")
        workers: dict[str, dict[str, Any]] = {}
        for result in done:
            worker = workers.setdefault(result.worker, {"files": 0, "input_bytes": 0, "seconds": 0.0})
            worker["files"] += 1
            worker["input_bytes"] += result.input_bytes
            worker["seconds"] += result.seconds
        return {
            "done": len(done),
            "skipped": len(self.of("skipped")),
            "failed": len(self.of("failed")),
            "input_bytes": sum(result.input_bytes for result in done),
            "output_bytes": sum(result.output_bytes for result in done),
            "seconds": self.seconds,
            "workers": dict(sorted(workers.items())),
        }


def compress_files(
    pairs: Pairs, client: Client, *, retries: int = 2, watch: Watch | None = None, **options: Any
) -> Summary:
    """Compress image files on a Dask cluster.

    Parameters
    ----------
    pairs : iterable of (source, target)
        Paths or URLs, as the workers see them.
    client : distributed.Client
    retries : int
        Number of retries of a file after a temporary error. Files of a lost worker go to another worker in
        any case.
    watch : callable, optional
        Called with (result, finished files, files in all) after each file, in the order of completion.
    **options
        Options of `bbcodec.integrations.files.compress_file`. Unlike there, `existing` is ``skip`` by
        default: a restarted run continues where the last one stopped.

    Returns
    -------
    Summary
        A failed file is a result in it, not an exception.
    """
    return _run(compress_file, pairs, client, retries, watch, options)


def decompress_files(
    pairs: Pairs, client: Client, *, retries: int = 2, watch: Watch | None = None, **options: Any
) -> Summary:
    """Decompress ``.bb`` files on a Dask cluster; see `compress_files`."""
    return _run(decompress_file, pairs, client, retries, watch, options)


def _task(
    source: str, target: str, *, work: Callable[..., FileResult], options: dict[str, Any]
) -> FileResult:
    """Process one file on a worker."""
    try:
        result = work(source, target, **options)
    except _PERMANENT_ERRORS as error:
        result = failure(source, target, error)
    return replace(result, worker=get_worker().address)


def _run(
    work: Callable[..., FileResult],
    pairs: Pairs,
    client: Client,
    retries: int,
    watch: Watch | None,
    options: dict[str, Any],
) -> Summary:
    """Run one task for each pair of names, and collect the results in their order."""
    started = perf_counter()
    names = [(os.fspath(source), os.fspath(target)) for source, target in pairs]
    if not names:
        return Summary((), 0.0)
    futures = client.map(
        _task,
        *zip(*names, strict=True),
        key=f"bbcodec-{work.__name__}",
        work=work,
        options={"existing": "skip"} | options,
        pure=False,
        retries=retries,
        batch_size=10_000,  # names a message to the scheduler
    )
    place = {future.key: index for index, future in enumerate(futures)}
    results: list[FileResult | None] = [None] * len(names)
    waiting = as_completed(futures, loop=client.loop)
    del futures  # so that the cluster releases each result after it is fetched
    for finished, future in enumerate(waiting, 1):
        index = place[future.key]
        try:
            result = future.result()
        except Exception as error:  # of the last try, or all workers that ran the task are lost
            result = failure(*names[index], error)
        results[index] = result
        if watch is not None:
            watch(result, finished, len(names))
    return Summary(tuple(result for result in results if result is not None), perf_counter() - started)
