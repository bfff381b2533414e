# SPDX-License-Identifier: Apache-2.0
"""Progress bars on a terminal: one of all files, one of the present file.

`rich` takes long to import, so `report` imports this module when it shows bars.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

__all__ = ["Bars", "rate"]

Move = Callable[[int, int], None]

MAX_NAME_LENGTH: Final = 40  # characters; of a longer name the end is shown
_UNITS: Final = {"bytes": "B/s", "pixels": "P/s", "files": "files/s"}


def rate(speed: float, unit: str) -> str:
    """Return a speed with its unit.

    >>> rate(2_345_678, "pixels"), rate(45_600, "bytes"), rate(3.21, "files")
    ('2.35 MP/s', '45.6 kB/s', '3.2 files/s')
    """
    if unit == "files":
        return f"{speed:.1f} {_UNITS[unit]}"
    power = min(3, max(0, math.floor(math.log10(max(speed, 1)) / 3)))
    return f"{speed / 1000**power:.3g} {('', 'k', 'M', 'G')[power]}{_UNITS[unit]}"


class _Speed(ProgressColumn):
    """Throughput of the last seconds."""

    def render(self, task: Task) -> Text:
        unit, speed = task.fields["unit"], task.speed
        return Text(rate(speed, unit) if unit and speed else "")


class _Left(ProgressColumn):
    """Time that the work still takes."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        if seconds is None or task.finished:
            return Text("")
        minutes, seconds = divmod(math.ceil(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return Text(f"{clock} left")


class Bars:
    """The bars of one command, shown between `with`.

    Parameters
    ----------
    sizes
        Bytes of all files. Where one is not known (0), files are counted instead. There is a bar of all
        files if there are two or more.
    console
        Console to draw on. Default: standard error.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (),
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            _Speed(),
            _Left(),
            console=console or Console(stderr=True),
            get_time=clock,
            transient=True,
            expand=True,
            redirect_stdout=False,  # it may be a pipe, and must go on saying whether it is a terminal
        )
        self._weights = list(sizes) if all(sizes) else [1] * len(sizes)
        self._done, self._before = 0, 0.0
        self._all: TaskID | None = None
        if len(sizes) > 1:
            unit = "bytes" if all(sizes) else "files"
            self._all = self._bars.add_task(self._counted(), total=sum(self._weights), unit=unit)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(Text(line), soft_wrap=True)

    def next(self) -> None:
        """Count one more file as done, well or not."""
        if self._all is None:
            return
        self._before += self._weights[self._done]
        self._done += 1
        self._bars.update(self._all, completed=self._before, description=self._counted())

    @contextlib.contextmanager
    def file(self, name: str, pixels: int | None = None) -> Iterator[Move]:
        """Show a bar of one file. Yield the function that moves it, of (parts done, parts in all)."""
        short = name if len(name) <= MAX_NAME_LENGTH else f"…{name[1 - MAX_NAME_LENGTH :]}"
        unit = "pixels" if pixels else ""
        bar = self._bars.add_task(escape(short), total=None, unit=unit)

        def move(done: int, total: int) -> None:
            whole = pixels or total
            part = min(done / max(total, 1), 1)
            self._bars.update(bar, completed=whole * part, total=whole)
            if self._all is not None and self._done < len(self._weights):
                self._bars.update(self._all, completed=self._before + self._weights[self._done] * part)

        try:
            yield move
        finally:
            self._bars.remove_task(bar)

    def _counted(self) -> str:
        return f"{self._done} of {len(self._weights)} files"
