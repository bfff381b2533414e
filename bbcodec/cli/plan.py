# SPDX-License-Identifier: Apache-2.0
"""Which file is read and which is written by `compress` and `decompress`, decided before anything is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bbcodec.cli.filetype import expect_single, is_single
from bbcodec.cli.folders import none_found, search
from bbcodec.cli.names import Naming
from bbcodec.cli.report import STREAM, Reporter, counted, refuse, shown
from bbcodec.cli.settings import Destination
from bbcodec.cli.streams import Opened, anything, open_image, read_input
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.storage import Storage, base, folder_of, identity, is_url, join, local_path

__all__ = ["Job", "Plan", "make_plan", "skip"]


@dataclass(frozen=True)
class Job:
    """One input and where its output goes. Either may be `-`.

    Parameters
    ----------
    source, target
        Names of the input and of the output.
    problem
        Why the job cannot be done, if so. Reading its input raises it.
    unnamed
        Whether the problem is that the input's name gives none for the output. What the input is may explain
        that better, so it is looked at first.
    storage
        How files are reached.
    """

    source: str
    target: str
    problem: BBCodecError | OSError | None = None
    unnamed: bool = False
    storage: Storage = field(default_factory=Storage)

    def picture_file(self, *, damaged: bool = False) -> bytes:
        """Return all bytes of a `.bb` file of one picture.

        Parameters
        ----------
        damaged
            Whether the file may be anything, because what is intact of it is wanted.

        Raises
        ------
        OSError
            It cannot be read.
        FormatError
            It is empty, an archive, or an image.
        BBCodecError
            The output has no name, or also another input.
        """
        self.check_readable()
        data = read_input(self.source, self.storage, anything if damaged else is_single)
        expect_single(data, self.source)
        if self.problem is not None:
            raise self.problem
        return data

    def image(self) -> Opened:
        """Return what an image can be read from. Errors as of `picture_file`."""
        self.check_readable()
        opened = open_image(self.source, self.storage)
        if self.problem is not None:
            raise self.problem
        return opened

    def check_readable(self) -> None:
        """Raise the problem unless the file itself may explain it."""
        if self.problem is not None and not self.unnamed:
            raise self.problem


@dataclass(frozen=True)
class Plan:
    """The jobs of a command.

    Parameters
    ----------
    jobs
        In the order of the inputs.
    inputs
        What the inputs are called in messages.
    ignored
        Number of files in folders that are no inputs.
    files
        Number of inputs found, where folders were searched, else 0.
    """

    jobs: tuple[Job, ...]
    inputs: str
    ignored: int = 0
    files: int = 0

    def finish(self, reporter: Reporter, records: Sequence[Any]) -> None:
        """Print the summary of a search in folders, write the records, and leave with the exit code."""
        if self.files:
            there = sum("skipped" in record for record in records)
            parts = [
                counted(self.files + self.ignored, "file"),
                f"{self.ignored} skipped (not {self.inputs})" if self.ignored else "",
                f"{there} skipped (already there)" if there else "",
                f"{reporter.failures} failed" if reporter.failures else "",
            ]
            reporter.note(", ".join(filter(None, parts)))
        reporter.finish(records)


def make_plan(inputs: Sequence[str], naming: Naming, where: Destination, *, as_json: bool) -> Plan:
    """Decide what is written where, before anything is read.

    What the command line cannot mean (several inputs for one output, data and JSON both on stdout) ends the
    program with exit code 2.
    """
    _refuse_contradictions(inputs, where, as_json=as_json)
    jobs: list[Job] = []
    ignored = files = 0
    for source in inputs:
        names: list[tuple[str, str]] = [(source, STREAM if source == STREAM else base(source))]
        try:
            if source != STREAM and where.recursive and where.storage.is_folder(source):
                found, others = search(source, where.storage, naming.suffixes)
                ignored += others
                if not found:
                    raise none_found(naming.inputs)
                names = [(join(source, name), name) for name in found]
            elif _is_local_folder(source):
                raise IsADirectoryError(21, naming.folder_advice(source), source)
        except (OSError, BBCodecError) as error:
            jobs.append(Job(source, "", error, storage=where.storage))
            continue
        files += len(names)
        jobs += [_job(name, place, naming, where) for name, place in names]
    jobs = list(_without_collisions(jobs))
    if where.output_dir is not None:
        _make_folders(where.output_dir, jobs, where)
    return Plan(tuple(jobs), naming.inputs, ignored, files if where.recursive else 0)


def skip(job: Job, reporter: Reporter) -> dict[str, Any]:
    """Print that the output of a job is there already, and return its record for `--json`."""
    reporter.detail(f"{shown(job.target)} is there already", shown(job.source))
    return {"input": job.source, "output": job.target, "skipped": True}


def _refuse_contradictions(inputs: Sequence[str], where: Destination, *, as_json: bool) -> None:
    """Refuse options about the output that contradict each other or the inputs."""
    if sum((where.output is not None, where.output_dir is not None, where.stdout)) > 1:
        refuse("-o, --output-dir and -c exclude each other")
    if where.recursive and (where.output is not None or where.stdout):
        refuse("-r writes beside each input, or into --output-dir; leave out -o and -c")
    if len(inputs) > 1 and (where.output is not None or where.stdout):
        refuse("one output cannot hold several inputs; use --output-dir")
    if list(inputs).count(STREAM) > 1:
        refuse("standard input can be read only once")
    to_stream = where.stdout or where.output == STREAM or (where.output is None and STREAM in inputs)
    if to_stream and where.remove:
        refuse("--rm needs an output file")
    if to_stream and as_json:
        refuse("--json needs an output file: standard output cannot hold both")
    if STREAM in inputs and where.remove:
        refuse("--rm cannot remove standard input")


def _is_local_folder(name: str) -> bool:
    """Return whether a name is that of a folder of this machine; other places are not asked."""
    return name != STREAM and local_path(name) is not None and Storage().is_folder(name)


def _job(source: str, place: str, naming: Naming, where: Destination) -> Job:
    """Return the job of one input. `place` is its name below the output folder."""
    if where.output is not None:
        return Job(source, where.output, storage=where.storage)
    if where.stdout or source == STREAM:
        return Job(source, STREAM, storage=where.storage)
    try:
        return Job(source, _target(source, place, naming, where), storage=where.storage)
    except FormatError as error:
        return Job(source, "", error, unnamed=True, storage=where.storage)


def _target(source: str, place: str, naming: Naming, where: Destination) -> str:
    """Return the name of an output: beside its input, or at its place below the output folder."""
    if where.output_dir is not None:
        return join(where.output_dir, naming.name_for(place))
    if not is_url(source):
        return naming.name_for(source)
    return join(folder_of(source), naming.name_for(base(source)))


def _without_collisions(jobs: Sequence[Job]) -> Iterator[Job]:
    """Yield the jobs. Those that would write the same file get a problem that names each other."""
    writers: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if _writes_file(job):
            writers[identity(job.target)].append(job)
    for job in jobs:
        same = writers[identity(job.target)] if _writes_file(job) else []
        if others := [other.source for other in same if other is not job]:
            yield replace(job, problem=BBCodecError(_collision(job, others)))
        else:
            yield job


def _writes_file(job: Job) -> bool:
    return job.problem is None and job.target != STREAM


def _collision(job: Job, others: Sequence[str]) -> str:
    return (
        f"{shown(job.target)} would also be the output of {', '.join(map(shown, others))}; "
        f"use -o to name each output"
    )


def _make_folders(output_dir: str, jobs: Sequence[Job], where: Destination) -> None:
    """Make the output folder and those below it. If that fails, leave with exit code 1."""
    folders = {output_dir} if any(job.problem is None for job in jobs) else set()
    if where.recursive:
        folders |= {folder_of(job.target) for job in jobs if job.problem is None}
    reporter = Reporter()
    for folder in sorted(folders):
        try:
            where.storage.make_folder(folder)
        except (OSError, BBCodecError) as error:
            reporter.fail(folder, error)
            break
    if reporter.failures:
        raise SystemExit(1)
