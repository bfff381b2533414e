# SPDX-License-Identifier: Apache-2.0
"""What a command says: messages and progress on stderr, tables and JSON on stdout, exit codes.

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

from bbcodec.cli.style import bold, red, yellow
from bbcodec.errors import BBCodecError
from bbcodec.storage.display import redacted

if TYPE_CHECKING:
    from bbcodec.cli.bars import Bars

__all__ = [
    "STREAM",
    "OutputError",
    "Progress",
    "Reporter",
    "counted",
    "refuse",
    "shown",
    "verified",
    "write_json",
    "write_text",
]

STREAM = "-"
"""The name that stands for standard input or standard output."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

Item = TypeVar("Item")

_bars: Bars | None = None
"""The progress bars that are on the terminal now. Lines are printed above them."""


class OutputError(OSError):
    """Standard output takes no more text. That is no fault of the file that was worked on."""


def shown(name: str) -> str:
    """Return a name for messages: control characters escaped, `-` spelled out, secrets of URLs hidden."""
    if name == STREAM:
        return "standard input"
    name = redacted(name)
    return name if name.isprintable() else name.encode("unicode_escape", "surrogateescape").decode("ascii")


def write_text(text: str) -> None:
    """Write a line to stdout and flush it, so that a closed pipe is noticed here.

    Raises
    ------
    BrokenPipeError
        Nobody reads it any more.
    OutputError
        It cannot be written.
    """
    if _bars is not None and sys.stdout.isatty():
        _bars.say(text)
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error)) from None


def write_json(value: object) -> None:
    """Write one JSON document to stdout."""
    write_text(json.dumps(value, indent=2, ensure_ascii=True))


def _say(text: str) -> None:
    """Print a message on stderr. Without a stderr it is left out, and never goes to stdout instead."""
    if sys.stderr is not None:
        print(redacted(text), file=sys.stderr)


def refuse(message: str) -> NoReturn:
    """Print what is wrong with the command line and leave with exit code 2."""
    _say(red("bbcodec: ", sys.stderr) + red(message, sys.stderr))
    raise typer.Exit(2)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 file`, `2 files`.

    >>> counted(1, "file"), counted(1200, "image")
    ('1 file', '1,200 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def verified(seconds: float | None) -> str:
    """Return how much of a time went into the comparison of the output, for the end of a message."""
    return "" if seconds is None else f", verified in {seconds:.2f} s of it"


def _explain(name: str, error: Exception) -> str:
    """Return in one line what went wrong with the file `name`."""
    if isinstance(error, OSError) and error.strerror:
        own = error.filename in (None, name, redacted(name))
        return error.strerror if own else f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    return text or type(error).__name__


@dataclass
class Reporter:
    """The messages of one command, and the count of its failures.

    Parameters
    ----------
    quiet
        Number of `-q`: 1 leaves errors only, 2 leaves nothing but the exit code.
    verbose
        Number of `-v`: 1 adds detail, 2 adds tracebacks.
    as_json
        Whether records go to stdout as JSON (`--json`).
    """

    quiet: int = 0
    verbose: int = 0
    as_json: bool = False
    failures: int = field(default=0, init=False)

    def note(self, message: str, about: str = "") -> None:
        """Print a line on stderr unless quiet. `about` is the name in front of the message."""
        if not self.quiet:
            _say(_about(about) + message)

    def warn(self, message: str, about: str = "") -> None:
        """Print a warning on stderr unless quiet."""
        if not self.quiet:
            _say(_about(about) + yellow(message, sys.stderr))

    def detail(self, message: str, about: str = "") -> None:
        """Print a line on stderr when verbose."""
        if self.verbose and not self.quiet:
            _say(_about(about) + message)

    def error(self, message: str, about: str = "") -> None:
        """Print an error on stderr, unless `-qq` silences errors too."""
        if self.quiet < 2:
            _say(red("bbcodec: ", sys.stderr) + _about(about) + red(message, sys.stderr))

    def fail(self, name: str, error: Exception) -> dict[str, Any]:
        """Print why a file failed, count it, and return its record for `--json`."""
        self.failures += 1
        message = redacted(_explain(name, error))
        expected = isinstance(error, BBCodecError | OSError | MemoryError)
        if not expected:
            message = f"internal error, please report it: {type(error).__name__}: {message}"
        if self.verbose > 1:
            import traceback

            _say("".join(traceback.format_exception(error)).rstrip("\n"))
        where = shown(name)
        # A library may have put the name in front already.
        self.error(message.removeprefix(f"{where}: "), where)
        return {"input": name, "error": {"kind": type(error).__name__, "message": message}}

    def each(
        self, items: Iterable[Item], name_of: Callable[[Item], str], work: Callable[[Item], Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Do `work` for every item. One that fails is reported, and the others go on.

        Several items get a progress bar, which counts their bytes where all names are those of files.
        """
        records: list[Mapping[str, Any]] = []
        names = list(map(name_of, items)) if isinstance(items, Sequence) else []
        with self._overall(names) as bars:
            for item in items:
                try:
                    records.append(work(item))
                except (BrokenPipeError, OutputError, typer.Exit):
                    raise  # nobody reads our output any more, or the command line was wrong
                except Exception as error:  # no traceback reaches a user of the command line
                    records.append(self.fail(name_of(item), error))
                if bars is not None:
                    bars.next()
        return records

    def finish(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the records if `--json` asks for them, and leave with exit code 1 if any file failed."""
        if self.as_json:
            write_json(records)
        if self.failures:
            raise typer.Exit(1)

    @contextlib.contextmanager
    def progress(self, name: str, pixels: int | None = None) -> Iterator[Progress | None]:
        """Show a progress bar while the block runs, if stderr is a terminal. Yield what moves it, or None.

        Parameters
        ----------
        name
            Name of the present file.
        pixels
            Pixels of the file, for the throughput.
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
        """Show the progress bar of all files, where there are several."""
        if len(names) < 2 or _bars is not None or not self._watched():
            yield None
            return
        with _shown([_size(name) for name in names]) as bars:
            yield bars

    def _watched(self) -> bool:
        return not self.quiet and sys.stderr.isatty()


def _about(name: str) -> str:
    """Return the beginning of a message: the name of the thing, bold on a terminal."""
    return bold(f"{name}: ", sys.stderr) if name else ""


@contextlib.contextmanager
def _shown(sizes: Sequence[int]) -> Iterator[Bars]:
    """Show progress bars while the block runs. Only this function sets `_bars`."""
    global _bars
    from bbcodec.cli.bars import Bars

    with Bars(sizes) as bars:
        _bars = bars
        try:
            yield bars
        finally:
            _bars = None


def _size(name: str) -> int:
    """Return the size of a file in bytes, or 0 if it is not known."""
    try:
        return os.stat(name).st_size
    except (OSError, ValueError):
        return 0
