# SPDX-License-Identifier: Apache-2.0
"""Help: every command has examples that work as typed; exit codes; colours."""

from __future__ import annotations

import importlib.util
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bbcodec.cli import app
from bbcodec.cli.examples import EXAMPLES

COMMANDS = {
    *("compress", "decompress", "compare", "info", "test"),
    *("pack", "append", "unpack", "list", "get", "train", "models"),
}
# What stands in the folder before the examples of a command are run.
NEEDED = {
    "decompress": "bbcodec compress -q -1 --rm photo.png",
    "info": "bbcodec compress -q -1 photo.png; bbcodec pack -q -1 photos -o photos.bb",
    "test": "bbcodec compress -q -1 photo.png",
    **dict.fromkeys(["append", "unpack", "list", "get"], "bbcodec pack -q -1 photos -o photos.bb"),
    "models info": "cp {released}/fast.bbm mine.bbm",
}
SLOW = {"train"}  # it trains for minutes; tests/models has it


def test_every_command_has_examples() -> None:
    found = {command.name for command in app.registered_commands} | {"models"}
    assert found == COMMANDS
    for command in EXAMPLES:
        shown = CliRunner().invoke(app, [*command.split(), "--help"]).stdout
        assert "\n  Examples:\n" in shown
        for line in EXAMPLES[command]:
            assert f"\n    {line}\n" in shown
    assert set(EXAMPLES) >= COMMANDS


@pytest.mark.parametrize("command", [command for command in EXAMPLES if command not in SLOW])
def test_examples_run(command: str, folder: Path, environment: dict[str, str]) -> None:
    for name in ("a.png", "b.png", "cats/7.png"):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "photo.png", folder / "photos" / name)
    spec = importlib.util.find_spec("bbcodec.models.released")
    assert spec is not None
    released = next(iter(spec.submodule_search_locations or []))
    for line in (NEEDED.get(command, "true").format(released=released), *EXAMPLES[command]):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_exit_codes_are_documented() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    for code in ("0  All went well", "1  A file could not be", "2  The command line is wrong"):
        assert code in text


def terminal(command: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command whose stderr is a terminal; return what it wrote there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ):
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
    return written.decode()


def test_colours_on_a_terminal_only(folder: Path, environment: dict[str, str]) -> None:
    plain = {name: value for name, value in environment.items() if name not in ("NO_COLOR", "TERM")}
    colours = plain | {"TERM": "xterm-256color"}
    error = "bbcodec test gone.bb"
    shown = terminal(error, folder, colours)
    assert "\x1b[31mbbcodec: \x1b[0m\x1b[1mgone.bb: \x1b[0m\x1b[31mNo such file" in shown
    assert "\x1b[31m" in terminal("bbcodec photo.png", folder, colours)
    for without in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b[31m" not in terminal(error, folder, colours | without)
    assert "\x1b" not in terminal(f"{error} 2>said; cat said", folder, colours)

    made = "bbcodec compress -q --method classic photo.png; bbcodec decompress photo.bb -o back.webp"
    assert "\x1b[33mwebp has no place for resolution" in terminal(made, folder, colours)
    assert "\x1b[1mphoto.bb: \x1b[0mok" in terminal("bbcodec test photo.bb", folder, colours)
    data = (
        "bbcodec info photo.bb; bbcodec info --json photo.bb; bbcodec test -q --json photo.bb; bbcodec models"
    )
    assert "\x1b[1m" not in terminal(data, folder, colours)
    assert "\x1b[3" not in terminal(data, folder, colours)
