# SPDX-License-Identifier: Apache-2.0
"""`--dask`: a Dask cluster does the files of a command, and a summary is printed. See `integrations.dask`."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from bbcodec.cli.images import warn_incomplete, warn_larger
from bbcodec.cli.plan import Plan
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, write_json
from bbcodec.cli.settings import Destination
from bbcodec.storage import local_path

if TYPE_CHECKING:
    from distributed import Client

    from bbcodec.integrations.dask import Summary
    from bbcodec.integrations.files import FileResult

__all__ = ["work_on_dask"]

LOCAL = "local"
"""Address of a cluster on this machine that is made for the run, with a process for each core."""


def work_on_dask(
    plan: Plan,
    command: Literal["compress", "decompress"],
    address: str,
    options: dict[str, Any],
    where: Destination,
    reporter: Reporter,
) -> NoReturn:
    """Do all jobs on a cluster, print what came of them, and leave with the exit code."""
    _refuse_contradictions(plan, where)
    try:
        importlib.import_module("distributed")
        from bbcodec.integrations.dask import compress_files, decompress_files
    except ImportError:
        refuse("--dask needs Dask: pip install 'bbcodec[dask]'")
    records = [reporter.fail(job.source, job.problem) for job in plan.jobs if job.problem is not None]
    pairs = [(_absolute(job.source), _absolute(job.target)) for job in plan.jobs if job.problem is None]
    model = options.get("model")
    if model is not None and os.path.isfile(model):
        options = options | {"model": os.path.abspath(model)}  # workers have another current folder
    options = options | {
        "existing": "overwrite" if where.force else "skip",
        "storage_options": dict(where.storage.options),
    }
    run = compress_files if command == "compress" else decompress_files
    with (
        _cluster(address, len(pairs), reporter) as client,
        reporter.progress(f"{len(pairs)} files") as progress,
    ):

        def watch(result: FileResult, through: int, total: int) -> None:
            if progress:
                progress(through, total)
            _report(result, reporter)

        try:
            summary = run(pairs, client, watch=watch, **options)
        except Exception as error:  # the cluster is gone, or Dask cannot go on
            reporter.fail(address, error)
            raise typer.Exit(1) from None

    for line in _lines(summary, plan, problems=len(records)):
        reporter.note(line)
    if reporter.as_json:
        records += map(_record, summary.results)
        write_json({"files": records, "summary": summary.as_dict()})
    raise typer.Exit(1 if reporter.failures else 0)


def _refuse_contradictions(plan: Plan, where: Destination) -> None:
    """Refuse what a cluster cannot do."""
    if where.remove:
        refuse("--rm and --dask exclude each other")
    if any(STREAM in (job.source, job.target) for job in plan.jobs):
        refuse("--dask needs files, not standard input or output")


@contextlib.contextmanager
def _cluster(address: str, tasks: int, reporter: Reporter) -> Iterator[Client]:
    """Yield a client of the cluster at an address. If there is none, the program ends with exit code 1."""
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        try:
            place: Any = address
            if address == LOCAL:
                place = stack.enter_context(
                    LocalCluster(
                        threads_per_worker=1,
                        n_workers=min(_cores(), max(tasks, 1)),
                        dashboard_address=":0",
                        silence_logs=logging.ERROR,
                    )
                )
            client = stack.enter_context(Client(place, set_as_default=False))
        except (OSError, ValueError) as error:
            reporter.failures += 1
            reporter.error(f"no Dask cluster at {shown(address)}: {error}")
            raise typer.Exit(1) from None
        yield client


def _report(result: FileResult, reporter: Reporter) -> None:
    """Print what came of a file."""
    name = shown(result.source)
    if result.error is not None:
        reporter.failures += 1
        reporter.error(result.error.partition(": ")[2], name)
    elif result.status == "skipped":
        reporter.detail(f"{shown(result.target)} is there already", name)
    else:
        warn_incomplete(reporter, result.source, result.left_out)
        if result.lossy and result.output_bytes > result.input_bytes:
            warn_larger(reporter, result.source, result.input_bytes, result.output_bytes)
        sizes = f"{result.input_bytes} -> {result.output_bytes} bytes"
        reporter.detail(sizes, f"{name} -> {shown(result.target)}")


def _record(result: FileResult) -> dict[str, Any]:
    """Return the record of a file for `--json`, with the keys of the other commands."""
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


def _lines(summary: Summary, plan: Plan, problems: int) -> list[str]:
    """Return the summary: files and bytes, then each worker."""
    sums = summary.as_dict()
    counts = f"{sums['done']} done, {sums['skipped']} skipped, {sums['failed'] + problems} failed"
    if plan.ignored:
        counts += f", {plan.ignored} skipped (not {plan.inputs})"
    lines = [f"{counts}; {sums['input_bytes']} -> {sums['output_bytes']} bytes, {sums['seconds']:.2f} s"]
    for worker, of in sums["workers"].items():
        lines.append(f"  {worker}: {of['files']} files, {of['input_bytes']} bytes, {of['seconds']:.2f} s")
    return lines
