# SPDX-License-Identifier: Apache-2.0
"""`--salvage`: the file is written, what it lacks is said, and the exit code is 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


IMAGE = np.random.default_rng(0).integers(0, 9, (2, 16500, 3)).astype(np.uint8)


def test_a_damaged_tile() -> None:
    data = bytearray(bbcodec.compress(IMAGE))
    data[-400] ^= 8
    Path("a.bb").write_bytes(data)
    assert invoke("decompress", "a.bb").exit_code == 1
    assert not Path("a.png").exists()
    done = invoke("decompress", "--salvage", "a.bb")
    assert done.exit_code == 1
    assert "lost: colour at 8250,0,8250,2 (16500 pixels): " in done.stderr
    found = np.asarray(Image.open("a.png"))
    assert np.array_equal(found[:, :8250], IMAGE[:, :8250])
    assert (found[:, 8250:] == 128).all()
    again = invoke("decompress", "--salvage", "--json", "-f", "-qq", "a.bb")
    assert again.exit_code == 1
    assert again.stderr == ""
    (record,) = json.loads(again.stdout)
    assert [loss["regions"] for loss in record["lost"] if loss["regions"]] == [[[8250, 0, 8250, 2]]]


def test_a_sound_file_is_a_success() -> None:
    Path("a.bb").write_bytes(bbcodec.compress(IMAGE))
    done = invoke("decompress", "--salvage", "--json", "a.bb")
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["lost"] == []
    assert np.array_equal(np.asarray(Image.open("a.png")), IMAGE)


def test_what_cannot_be_saved_leaves_no_file() -> None:
    Path("a.bb").write_bytes(bbcodec.compress(IMAGE)[:60])
    done = invoke("decompress", "--salvage", "a.bb")
    assert done.exit_code == 1
    assert "nothing can be saved" in done.stderr
    assert not Path("a.png").exists()


@pytest.mark.parametrize("more", ["--rm", "--skip-existing", "--region=0,0,1,1", "--dask=local"])
def test_what_it_excludes(more: str) -> None:
    assert invoke("decompress", "--salvage", more, "a.bb").exit_code == 2
