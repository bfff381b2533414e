# SPDX-License-Identifier: Apache-2.0
"""`bbcodec info --map`: the picture of what each pixel cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["info", *arguments])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A picture, flat on the left and noise on the right."""
    picture = np.full((40, 80, 3), 90, np.uint8)
    picture[:, 40:] = np.random.default_rng(1).integers(0, 256, (40, 40, 3))
    monkeypatch.chdir(tmp_path)
    Path("half.bb").write_bytes(bbcodec.compress(picture, method="learned", model="fast"))
    return "half.bb"


def test_flat_is_dark_and_noise_is_light(file: str) -> None:
    done = run("--json", "--map", "bits.png", "--map-max", "24", file)
    assert done.exit_code == 0
    assert "bits per pixel, pixel by pixel" in done.stderr
    (record,) = json.loads(done.stdout)
    found = record["map"]
    assert (found["output"], found["per"], found["scale_max"]) == ("bits.png", "pixel", 24)
    assert found["min"] < 1 < 10 < found["mean"] < 15 < 24 < found["max"]
    assert 0 <= found["chain_bits"] - found["bits"] < 512
    painted = Image.open("bits.png")
    assert (painted.mode, painted.size) == ("RGB", (80, 40))
    left, right = np.split(np.asarray(painted).mean(2), 2, axis=1)
    assert left.mean() < 15 < 140 < right.mean()


def test_the_scale_follows_the_picture(file: str) -> None:
    done = run("--json", "--map", "bits.webp", file)
    found = json.loads(done.stdout)[0]["map"]
    assert 24 < found["scale_max"] <= found["max"]


def test_maps_are_not_overwritten_unasked(file: str) -> None:
    Path("bits.png").write_text("mine")
    done = run("--map", "bits.png", file)
    assert done.exit_code == 1
    assert "exists already" in done.stderr
    assert Path("bits.png").read_text() == "mine"
    assert run("-f", "--map", "bits.png", file).exit_code == 0


def test_no_map_of_the_classic_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flat.bb").write_bytes(bbcodec.compress(np.zeros((9, 9, 3), np.uint8), method="classic"))
    done = run("--map", "bits.png", "flat.bb")
    assert done.exit_code == 1
    assert "no map" in done.stderr
    assert not Path("bits.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "bits.png", "a.bb", "b.bb"], "several files"),
        (["--map", "-", "a.bb"], "needs a file"),
        (["--map", "bits", "a.bb"], "without a suffix"),
        (["--map", "bits.gif", "a.bb"], "cannot write .gif"),
        (["--map-max", "3", "a.bb"], "--map-max needs --map"),
        (["--map", "bits.png", "--map-max", "0", "a.bb"], "more than 0"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
