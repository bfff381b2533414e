# SPDX-License-Identifier: Apache-2.0
"""`--dask`: the files of a command, done by a Dask cluster, and a summary. See `integrations.dask`."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from bbcodec.cli.files import Job
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, write_json
from bbcodec.storage import local_path

if TYPE_CHECKING:
    from bbcodec.integrations.dask import Summary
    from bbcodec.integrations.files import FileResult

__all__ = ["work_on_dask"]

LOCAL = "local"
"""The address that stands for a cluster on this machine, made for the run: a process for each core."""


def work_on_dask(
    jobs: Sequence[Job],
    command: Literal["compress", "decompress"],
    address: str,
    options: dict[str, Any],
    reporter: Reporter,
    *,
    remove: bool,
    as_json: bool,
) -> NoReturn:
    """Do all jobs on a cluster, say what came of them, and leave with the exit code."""
    if remove:
        refuse("--rm and --dask exclude each other")
    if any(STREAM in (job.source, job.target) for job in jobs):
        refuse("--dask needs files, not standard input or output")
    try:
        from distributed import Client, LocalCluster

        from bbcodec.integrations.dask import compress_files, decompress_files
    except ImportError:
        refuse("--dask needs Dask: pip install 'bbcodec[dask]'")
    storage = jobs[0].storage if jobs else None
    options = options | {"storage_options": dict(storage.options) if storage else None}
    model = options.get("model")
    if model is not None and os.path.isfile(model):
        options["model"] = os.path.abspath(model)  # workers stand elsewhere
    pairs = []
    records: list[dict[str, Any]] = []
    for job in jobs:
        if job.problem is not None:
            records.append(reporter.fail(job.source, job.problem))
        else:
            pairs.append((_absolute(job.source), _absolute(job.target)))

    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(reporter.progress(f"{len(pairs)} files"))

        def watch(result: FileResult, through: int, total: int) -> None:
            if progress:
                progress(through, total)
            name = shown(result.source)
            if result.error is not None:
                reporter.failures += 1
                reporter.error(f"{name}: {result.error.partition(': ')[2]}")
            elif result.status == "skipped":
                reporter.detail(f"{name}: {shown(result.target)} is there already")
            else:
                sizes = f"{result.input_bytes} -> {result.output_bytes} bytes"
                reporter.detail(f"{name} -> {shown(result.target)}: {sizes}")

        try:
            if address == LOCAL:
                place: Any = stack.enter_context(
                    LocalCluster(
                        threads_per_worker=1,
                        n_workers=min(_cores(), max(len(pairs), 1)),
                        dashboard_address=":0",
                        silence_logs=logging.ERROR,
                    )
                )
            else:
                place = address
            client = stack.enter_context(Client(place, set_as_default=False))
        except (OSError, ValueError) as error:
            reporter.failures += 1
            reporter.error(f"no Dask cluster at {shown(address)}: {error}")
            raise typer.Exit(1) from None
        run = compress_files if command == "compress" else decompress_files
        try:
            summary = run(pairs, client, watch=watch, **options)
        except Exception as error:  # the cluster is gone, or Dask cannot go on
            reporter.fail(address, error)
            raise typer.Exit(1) from None

    for line in _lines(summary, problems=len(records)):
        reporter.note(line)
    if as_json:
        records += map(_record, summary.results)
        write_json({"files": records, "summary": summary.as_dict()})
    raise typer.Exit(1 if reporter.failures else 0)


def _record(result: FileResult) -> dict[str, Any]:
    """Return what `--json` says of a file, in the words of the other commands."""
    record = result.as_dict()
    names = {"input": record.pop("source"), "output": record.pop("target")}
    if result.error is None:
        return names | {key: value for key, value in record.items() if key != "error"}
    kind, _, message = result.error.partition(": ")
    return {"input": names["input"], "error": {"kind": kind, "message": message}}


def _absolute(name: str) -> str:
    path = local_path(name)
    return name if path is None else os.path.abspath(path)


def _cores() -> int:
    from bbcodec.jobs import cpus

    return cpus()


def _lines(summary: Summary, problems: int) -> list[str]:
    """Return the summary: files and bytes, then each worker."""
    sums = summary.as_dict()
    counts = f"{sums['done']} done, {sums['skipped']} skipped, {sums['failed'] + problems} failed"
    lines = [f"{counts}; {sums['input_bytes']} -> {sums['output_bytes']} bytes, {sums['seconds']:.2f} s"]
    for worker, of in sums["workers"].items():
        lines.append(f"  {worker}: {of['files']} files, {of['input_bytes']} bytes, {of['seconds']:.2f} s")
    return lines
