# SPDX-License-Identifier: Apache-2.0
"""What the command line says: messages and progress on stderr, tables and JSON on stdout, exit codes.

Nothing here reads or writes an image file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from bbcodec.errors import BBCodecError

if TYPE_CHECKING:
    from bbcodec.cli.bars import Bars

__all__ = ["STREAM", "Progress", "Reporter", "read_region", "refuse", "shown", "write_json", "write_text"]

STREAM = "-"
"""The name that stands for standard input or standard output."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

Item = TypeVar("Item")

_bars: Bars | None = None
"""The bars that are on the terminal now; lines are printed above them."""


def shown(name: str) -> str:
    """Return a file name as it is put into messages: control characters escaped, `-` spelled out."""
    if name == STREAM:
        return "standard input"
    return name if name.isprintable() else name.encode("unicode_escape", "surrogateescape").decode("ascii")


def write_text(text: str) -> None:
    """Write a line to stdout now, so that a closed pipe is noticed here."""
    if _bars is not None and sys.stdout.isatty():
        _bars.say(text)
    else:
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

    def error(self, message: str) -> None:
        """Say what went wrong on stderr, unless not even that is wanted."""
        if self.quiet < 2:
            print(f"bbcodec: {message}", file=sys.stderr)

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
        where = shown(name)
        # A library may have put the name in front already.
        self.error(message if message.startswith(f"{where}: ") else f"{where}: {message}")
        return {"input": name, "error": {"kind": type(error).__name__, "message": message}}

    def each(
        self, items: Iterable[Item], name_of: Callable[[Item], str], work: Callable[[Item], Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Do `work` for every item; one that fails is reported, and the others go on.

        Over several items a bar of all is shown, by their bytes where all names are those of files.
        """
        records: list[Mapping[str, Any]] = []
        names = list(map(name_of, items)) if isinstance(items, Sequence) else []
        with self._overall(names) as bars:
            for item in items:
                try:
                    records.append(work(item))
                except (BrokenPipeError, typer.Exit):
                    raise  # nobody reads our output any more; or the command line was wrong
                except Exception as error:  # no traceback reaches a user of the command line
                    records.append(self.fail(name_of(item), error))
                if bars is not None:
                    bars.next()
        return records

    def finish(self, records: list[Mapping[str, Any]], as_json: bool) -> None:
        """Write the records if asked to, and leave with exit code 1 if any file failed."""
        if as_json:
            write_json(records)
        if self.failures:
            raise typer.Exit(1)

    @contextlib.contextmanager
    def progress(self, name: str, pixels: int | None = None) -> Iterator[Progress | None]:
        """Show a bar on stderr while the block runs, if a person may be watching; yield what moves it.

        Parameters
        ----------
        name
            Of the file that is worked on.
        pixels
            How many it has, for the throughput.
        """
        with contextlib.ExitStack() as stack:
            bars = _bars
            if bars is None:
                if not self._watched():
                    yield None
                    return
                bars = stack.enter_context(_shown([]))
            yield stack.enter_context(bars.file(shown(name), pixels))

    @contextlib.contextmanager
    def _overall(self, names: Sequence[str]) -> Iterator[Bars | None]:
        """Show the bar of all files, where there are several."""
        if len(names) < 2 or _bars is not None or not self._watched():
            yield None
            return
        with _shown([_size(name) for name in names]) as bars:
            yield bars

    def _watched(self) -> bool:
        return not self.quiet and sys.stderr.isatty()


@contextlib.contextmanager
def _shown(sizes: Sequence[int]) -> Iterator[Bars]:
    """Show bars while the block runs; the one place that sets `_bars`."""
    global _bars
    from bbcodec.cli.bars import Bars

    with Bars(sizes) as bars:
        _bars = bars
        try:
            yield bars
        finally:
            _bars = None


def _size(name: str) -> int:
    """Bytes of a file, or 0 if that is not known."""
    try:
        return os.stat(name).st_size
    except (OSError, ValueError):
        return 0
