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


def archive_of(**content: np.ndarray) -> bytearray:
    with bbcodec.Archive("a.bb", "w", method="classic") as archive:
        for name, image in content.items():
            archive[name] = image
    return bytearray(Path("a.bb").read_bytes())


def test_an_archive_without_its_end() -> None:
    data = archive_of(one=IMAGE, two=IMAGE[:, :50], three=IMAGE[:1])
    data = data[:-40]
    data[len(data) // 3] ^= 1
    Path("a.bb").write_bytes(data)
    assert invoke("unpack", "a.bb", "-o", "out").exit_code == 1
    assert not Path("out").exists()
    done = invoke("unpack", "--salvage", "a.bb", "-o", "out", "--json")
    assert done.exit_code == 1
    assert "the index is intact; other damage: archive: section FILE at byte 16" in done.stderr
    assert np.array_equal(np.asarray(Image.open("out/two.png")), IMAGE[:, :50])


def test_a_damaged_picture_of_an_archive() -> None:
    from bbcodec.archive import sections

    data = archive_of(one=IMAGE, two=IMAGE[:, :50])
    with Path("a.bb").open("rb") as file:
        first = next(mark for mark in sections.walk(sections.Source(file)) if mark.size > 1000)
    data[first.end - 400] ^= 1
    Path("a.bb").write_bytes(data)
    done = invoke("unpack", "--salvage", "a.bb", "-o", "out")
    assert done.exit_code == 1
    assert "one: lost: colour at 8250,0,8250,2" in done.stderr
    assert np.array_equal(np.asarray(Image.open("out/one.png"))[:, :8250], IMAGE[:, :8250])
    assert np.array_equal(np.asarray(Image.open("out/two.png")), IMAGE[:, :50])


def test_a_sound_archive_is_a_success() -> None:
    archive_of(one=IMAGE)
    assert invoke("unpack", "--salvage", "a.bb", "-o", "out").exit_code == 0
