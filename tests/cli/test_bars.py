# SPDX-License-Identifier: Apache-2.0
"""Bars: throughput, files done, time left; seen by a person at a terminal alone."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bbcodec.cli.bars import Bars, rate


class Clock:
    """A clock that stands until told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(bars: Bars) -> str:
    """What is on the terminal now."""
    screen = io.StringIO()
    Console(file=screen, width=110, color_system=None).print(bars._bars.get_renderable())
    return screen.getvalue()


def bars_on(clock: Clock, sizes: list[int]) -> Bars:
    console = Console(file=io.StringIO(), force_terminal=True, width=110, color_system=None)
    return Bars(sizes, console, clock)


def test_one_file() -> None:
    clock = Clock()
    bars = bars_on(clock, [])
    with bars, bars.file("a[b]" + "c" * 60 + ".png", 8_000_000) as move:
        for step in range(3):
            move(step, 8)
            clock.now += 2
        seen = shown(bars)
    assert "25%" in seen
    assert "0.5 MP/s" in seen or "500 kP/s" in seen
    assert "0:12 left" in seen or "0:11 left" in seen
    assert "cccc.png" in seen
    assert " files" not in seen


def test_several_files() -> None:
    clock = Clock()
    bars = bars_on(clock, [1_000_000, 1_000_000, 8_000_000])
    with bars:
        for name in ("a[b].png", "b.png"):
            with bars.file(name) as move:
                clock.now += 0.5
                move(1, 2)
                assert name in shown(bars)
                clock.now += 0.5
            bars.next()
            assert name not in shown(bars)
        first, *others = shown(bars).splitlines()
    assert "2 of 3 files" in first
    assert "20%" in first
    assert "1 MB/s" in first
    assert "0:08 left" in first
    assert not others


def test_files_of_unknown_size_are_counted() -> None:
    clock = Clock()
    bars = bars_on(clock, [10, 0, 10, 10])
    with bars:
        for _ in range(3):
            bars.next()
            clock.now += 4
        seen = shown(bars)
    assert "3 of 4 files" in seen
    assert "75%" in seen
    assert "files/s" in seen


@pytest.mark.parametrize(
    ("speed", "unit", "said"),
    [
        (0.2, "bytes", "0.2 B/s"),
        (999, "bytes", "999 B/s"),
        (2e12, "bytes", "2e+03 GB/s"),
        (1e6, "pixels", "1 MP/s"),
    ],
)
def test_rates(speed: float, unit: str, said: str) -> None:
    assert rate(speed, unit) == said


def terminal(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command at a terminal of 120 columns; return its exit code and what is seen."""
    ours, theirs = pty.openpty()
    more = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment | more,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    return process.wait(), written.decode()


FILES = "for n in a b c; do cp photo.png $n.png; done; "


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")
def test_a_person_sees_bars_and_every_line(folder: Path, environment: dict[str, str]) -> None:
    code, seen = terminal(FILES + "bbcodec compress --model fast [a-c].png", folder, environment)
    assert code == 0
    assert "of 3 files" in seen
    for name in "abc":
        assert seen.count(f"{name}.png -> {name}.bb: ") == 1
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is back
    code, seen = terminal(
        "bbcodec info a.bb b.bb && echo -- && bbcodec test -q a.bb b.bb", folder, environment
    )
    assert code == 0
    assert seen.count("48 x 32 RGB") == 2
    assert seen.endswith("--\r\n")  # nothing when quiet
    code, seen = terminal("bbcodec test a.bb b.bb 2>said; cat said", folder, environment)
    assert code == 0
    assert "\x1b" not in seen


def test_under_bars_a_pipe_stays_a_pipe_and_a_terminal_a_terminal(
    folder: Path, environment: dict[str, str]
) -> None:
    code, seen = terminal("bbcodec compress photo.png - <photo.png", folder, environment)
    assert code == 1
    assert "not written to a terminal" in seen
    code, _ = terminal("bbcodec info photo.bb photo.bb | cat >said", folder, environment)
    assert code == 0
    assert (folder / "said").read_text().count("48 x 32 RGB") == 2
    code, _ = terminal("bbcodec compress -f photo.png - <photo.png | cat >data.bb", folder, environment)
    assert code == 0
    assert (folder / "data.bb").read_bytes() == (folder / "photo.bb").read_bytes()
