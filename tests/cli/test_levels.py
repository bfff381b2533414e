# SPDX-License-Identifier: Apache-2.0
"""Levels -1 to -9, names of models, and their completion in a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bbcodec.cli import app
from bbcodec.cli.model_choice import choose_model, complete_level, complete_model
from bbcodec.modelfile.registry import DEFAULT_MODEL, released


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def model_of(file: str) -> str:
    (record,) = json.loads(invoke("info", "--json", file).stdout)
    return str(record["model_name"])


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_has_a_model(level: int) -> None:
    expected = "quick" if level <= 3 else DEFAULT_MODEL if level <= 7 else "best"
    assert choose_model("auto", None, level, fast=False) == expected
    assert expected in released()
    assert choose_model("auto", None, None, fast=True) == "quick"
    assert choose_model("auto", None, None, fast=False) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-1"], "quick"),
        (["-6"], "standard"),
        (["-9"], "best"),
        (["--level", "3"], "quick"),
        (["-9", "-3"], "quick"),  # the last one counts
        (["-2f"], "quick"),  # with other short options
        (["--fast"], "quick"),
        (["--fast", "-1"], "quick"),
    ],
    ids=" ".join,
)
def test_levels_of_compress(words: list[str], expected: str) -> None:
    assert invoke("compress", "photo.png", "--method", "learned", *words).exit_code == 0
    assert model_of("photo.bb") == expected


def test_levels_of_archives() -> None:
    assert invoke("pack", "photo.png", "-o", "set.bb", "-1", "--method", "learned", "--json").exit_code == 0
    (facts,) = json.loads(invoke("info", "--json", "set.bb").stdout)
    (other,) = json.loads(invoke("models", "info", "quick", "--json").stdout)
    assert [model["id"] for model in facts["models"]] == [other["id"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-1", "--model", "photo"], "--level and --model exclude each other"),
        (["-6", "--fast"], "--fast and --level 6 exclude each other"),
        (["-6", "--method", "classic"], "--method classic uses no model"),
        (["--level", "10"], "Invalid value for '--level'"),
        (["--level", "0"], "Invalid value for '--level'"),
        (["-0"], "-0"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", [["compress", "photo.png"], ["pack", "photo.png", "-o", "set.bb"]])
def test_levels_that_cannot_be_meant(command: list[str], words: list[str], said: str) -> None:
    done = invoke(*command, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert [path.name for path in Path().iterdir()] == ["photo.png"]


def test_the_help_tells_what_levels_mean() -> None:
    said = " ".join(invoke("compress", "--help").stdout.split())
    assert "1 to 3: model quick; 4 to 7: the default model; 8 and 9: model best" in said


@pytest.mark.parametrize(
    "words",
    [
        ["compress", "photo.png"],
        ["decompress", "photo.bb"],
        ["test", "photo.bb"],
        ["compare", "photo.png"],
        ["pack", "photo.png", "-o", "set.bb"],
    ],
    ids=lambda words: words[0],
)
def test_an_unknown_model_is_a_usage_error(words: list[str]) -> None:
    done = invoke(*words, "--model", "phto")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "bbcodec: no model 'phto'; did you mean photo?\n"
    assert "bbcodec models lists them" in invoke(*words, "--model", "xyz").stderr


def test_completion_of_models_and_levels() -> None:
    Path("mine.bbm").write_bytes(b"")
    Path("models").mkdir()
    Path("notes.txt").write_bytes(b"")
    assert complete_model("ph") == ["photo"]
    assert complete_model("m") == ["markov", "mine.bbm", "models/"]
    assert complete_model("nothing") == []
    assert [level for level, _ in complete_level("")] == list("123456789")
    assert complete_level("2") == [("2", "quick")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bbcodec compress --model ph", "photo"),
        ("bbcodec pack photos --level 7", "7"),
        ("bbcodec train photos --from fa", "fast"),
        ("bbcodec deco", "decompress"),
    ],
)
def test_a_shell_gets_them(words: str, expected: str, environment: dict[str, str]) -> None:
    script = """
import sys
from bbcodec.__main__ import main
try:
    main()
finally:
    print([name for name in ("numpy", "PIL", "torch") if name in sys.modules])
"""
    asked = {
        "_BBCODEC_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment | asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [expected, "[]"]
