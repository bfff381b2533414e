# SPDX-License-Identifier: Apache-2.0
"""What the command line says: messages and progress on stderr, tables and JSON on stdout, exit codes.

Nothing here reads or writes an image file.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import typer

from bbcodec.errors import BBCodecError

__all__ = ["STREAM", "Progress", "Reporter", "read_region", "refuse", "shown", "write_json", "write_text"]

STREAM = "-"
"""The name that stands for standard input or standard output."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

Item = TypeVar("Item")


def shown(name: str) -> str:
    """Return a file name as it is put into messages: control characters escaped, `-` spelled out."""
    if name == STREAM:
        return "standard input"
    return name if name.isprintable() else name.encode("unicode_escape", "surrogateescape").decode("ascii")


def write_text(text: str) -> None:
    """Write a line to stdout now, so that a closed pipe is noticed here."""
    print(text, flush=True)


def write_json(value: object) -> None:
    """Write one JSON document to stdout."""
    write_text(json.dumps(value, indent=2, ensure_ascii=True))


def refuse(message: str) -> NoReturn:
    """Say what is wrong with the command line, and leave with exit code 2."""
    print(f"bbcodec: {message}", file=sys.stderr)
    raise typer.Exit(2)


def read_region(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the numbers of `--region X,Y,W,H`; exit code 2 where there are not four."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        refuse(f"--region is {text!r}, expected X,Y,W,H in pixels")
    x, y, width, height = map(int, parts)
    return x, y, width, height


def _explain(name: str, error: Exception) -> str:
    """Return the one line that says what went wrong with the file `name`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename in (None, name) else f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    return text or type(error).__name__


@dataclass
class Reporter:
    """The voice of one command.

    Parameters
    ----------
    quiet
        Number of `-q`: 1 leaves errors only, 2 leaves nothing but the exit code.
    verbose
        Number of `-v`: 1 adds detail, 2 adds tracebacks.
    """

    quiet: int = 0
    verbose: int = 0
    failures: int = field(default=0, init=False)

    def note(self, message: str) -> None:
        """Say a line on stderr unless quiet."""
        if not self.quiet:
            print(message, file=sys.stderr)

    def detail(self, message: str) -> None:
        """Say a line on stderr when verbose."""
        if self.verbose and not self.quiet:
            print(message, file=sys.stderr)

    def fail(self, name: str, error: Exception) -> dict[str, Any]:
        """Say why a file failed, count it, and return the record of it for `--json`."""
        self.failures += 1
        message = _explain(name, error)
        expected = isinstance(error, BBCodecError | OSError | MemoryError)
        if not expected:
            message = f"internal error, please report it: {type(error).__name__}: {message}"
        if self.verbose > 1:
            import traceback

            traceback.print_exception(error, file=sys.stderr)
        if self.quiet < 2:
            where = shown(name)
            # A library may have put the name in front already.
            print(
                f"bbcodec: {message}" if message.startswith(f"{where}: ") else f"bbcodec: {where}: {message}",
                file=sys.stderr,
            )
        return {"input": name, "error": {"kind": type(error).__name__, "message": message}}

    def each(
        self, items: Iterable[Item], name_of: Callable[[Item], str], work: Callable[[Item], Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Do `work` for every item; one that fails is reported, and the others go on."""
        records: list[Mapping[str, Any]] = []
        for item in items:
            try:
                records.append(work(item))
            except (BrokenPipeError, typer.Exit):
                raise  # nobody reads our output any more; or the command line was wrong
            except Exception as error:  # no traceback reaches a user of the command line
                records.append(self.fail(name_of(item), error))
        return records

    def finish(self, records: list[Mapping[str, Any]], as_json: bool) -> None:
        """Write the records if asked to, and leave with exit code 1 if any file failed."""
        if as_json:
            write_json(records)
        if self.failures:
            raise typer.Exit(1)

    @contextlib.contextmanager
    def progress(self, name: str) -> Iterator[Progress | None]:
        """Show a bar on stderr while the block runs, if a person may be watching; yield what moves it."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress as Bars

        with Bars(console=Console(stderr=True), transient=True) as bars:
            bar = bars.add_task(escape(shown(name)), total=None)

            def move(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)

            yield move
