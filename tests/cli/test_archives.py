# SPDX-License-Identifier: Apache-2.0
"""Archives on the command line: pack, append, list, get, unpack, and what info and test say of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import default_signals
from PIL import Image
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app


def invoke(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def pixels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:14, :18]
    light = 120 + 50 * np.sin(x / 5 + seed) * np.cos(y / 6)
    return np.clip(light[..., None] + rng.normal(0, 4, (14, 18, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tree of images."""
    monkeypatch.chdir(tmp_path)
    for i in range(6):
        path = Path("set", "sub" if i % 2 else "", f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(i)).save(path)
    Image.fromarray(pixels(9)).save("set/lossy.jpg")
    Path("set/.hidden").mkdir()
    Image.fromarray(pixels(9)).save("set/.hidden/a.png")
    Path("set/readme.txt").write_text("no image")
    return tmp_path


NAMES = ["0.png", "2.png", "4.png", "lossy.jpg", "sub/1.png", "sub/3.png", "sub/5.png"]


def pack(*more: str) -> Result:
    return invoke("pack", "set", "-o", "set.bb", "--model", "fast", *more)


def same(a: str | Path, b: str | Path) -> bool:
    with Image.open(a) as one, Image.open(b) as two:
        return one.mode == two.mode and np.array_equal(np.asarray(one), np.asarray(two))


def test_there_and_back() -> None:
    done = pack()
    assert (done.exit_code, done.stdout) == (0, "")
    assert "7 images" in done.stderr
    assert invoke("list", "set.bb").stdout.splitlines() == NAMES
    assert invoke("unpack", "set.bb", "-o", "out").exit_code == 0
    for name in NAMES:
        assert same(Path("set", name), Path("out", name if name.endswith("png") else f"{name}.png"))
    assert sorted(p.name for p in Path("out").rglob("*.png")) == sorted(
        ["0.png", "2.png", "4.png", "lossy.jpg.png", "1.png", "3.png", "5.png"]
    )


def test_one_by_name() -> None:
    pack()
    assert invoke("get", "set.bb", "sub/3.png").exit_code == 0
    assert same("3.png", "set/sub/3.png")
    again = invoke("get", "set.bb", "sub/3.png")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert invoke("get", "set.bb", "sub/1.png", "-o", "one.ppm").exit_code == 0
    assert same("one.ppm", "set/sub/1.png")
    piped = invoke("get", "set.bb", "lossy.jpg", "-c")
    Path("piped.png").write_bytes(piped.stdout_bytes)
    assert same("piped.png", "set/lossy.jpg")
    assert invoke("get", "set.bb", "0.png", "-o", "part.png", "--region", "2,3,4,5").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("part.png")), pixels(0)[3:8, 2:6])
    missing = invoke("get", "set.bb", "7.png")
    assert missing.exit_code == 1
    assert "no picture of this name" in missing.stderr


def test_some_by_pattern() -> None:
    pack()
    assert invoke("unpack", "set.bb", "sub/*", "0.png", "-o", "out").exit_code == 0
    assert len(list(Path("out").rglob("*.png"))) == 4
    assert invoke("list", "set.bb", "*5*").stdout == "sub/5.png\n"
    wrong = invoke("unpack", "set.bb", "nothing*", "-o", "other")
    assert wrong.exit_code == 1
    assert "nothing*" in wrong.stderr
    assert not Path("other").exists()


def test_lists_and_reports_for_programs() -> None:
    done = json.loads(pack("--json").stdout)
    assert done[0]["images"] == 7
    assert done[0]["output_bytes"] == os.path.getsize("set.bb")
    assert done[0]["model_bytes"] == 0
    with_model = pack("-f", "--embed-model")
    assert "of the bytes are the model" in with_model.stderr
    pack("-f")
    listed = json.loads(invoke("list", "set.bb", "--json").stdout)
    assert [record["name"] for record in listed] == NAMES
    assert listed[0] == {"name": "0.png", "width": 18, "height": 14, "mode": "RGB"}
    (facts,) = json.loads(invoke("info", "set.bb", "--json").stdout)
    assert (facts["pictures"], facts["in_batches"], facts["unfinished_bytes"]) == (7, 7, 0)
    (facts,) = json.loads(invoke("test", "set.bb", "--json").stdout)
    assert (facts["ok"], facts["pictures"]) == (True, 7)
    unpacked = json.loads(invoke("unpack", "set.bb", "-o", "out", "--json").stdout)
    assert [record["name"] for record in unpacked] == NAMES
    assert "18 x 14" in invoke("list", "-l", "set.bb").stdout
    assert "7, 7 of them in 1 batches" in invoke("info", "set.bb").stdout


def test_append_and_what_is_there_already() -> None:
    pack()
    Path("more").mkdir()
    Image.fromarray(pixels(20)).save("more/new.png")
    Image.fromarray(pixels(21)).save("more/0.png")
    done = invoke("append", "set.bb", "more", "--model", "fast")
    assert done.exit_code == 1
    assert "0.png is in the archive already" in done.stderr
    assert invoke("list", "set.bb").stdout.splitlines() == [*NAMES, "new.png"]
    assert invoke("append", "set.bb", "more", "--skip-existing").exit_code == 0
    assert invoke("test", "set.bb").exit_code == 0
    none = invoke("append", "none.bb", "more")
    assert none.exit_code == 1
    assert not Path("none.bb").exists()


def test_pack_again() -> None:
    pack()
    refused = pack()
    assert refused.exit_code == 1
    assert "use -f" in refused.stderr
    assert pack("-f", "--strip", "--batch", "2").exit_code == 0
    assert invoke("test", "set.bb").exit_code == 0


def test_images_that_cannot_be_kept_are_told_and_the_others_packed() -> None:
    Path("set/bad.png").write_bytes(b"nothing")
    Image.new("CMYK", (4, 4)).save("set/ink.tif")
    done = pack()
    assert done.exit_code == 1
    assert "set/bad.png" in done.stderr
    assert "CMYK" in done.stderr
    assert invoke("list", "set.bb").stdout.splitlines() == NAMES


def test_pipes() -> None:
    packed = invoke("pack", "set", "-o", "-", "--model", "fast")
    pack()
    assert packed.stdout_bytes == Path("set.bb").read_bytes()
    assert invoke("list", "-", input=packed.stdout_bytes).stdout.splitlines() == NAMES
    assert invoke("test", "-", input=packed.stdout_bytes).exit_code == 0


def test_single_images_are_named_as_they_are_given(place: Path) -> None:
    done = invoke("pack", "set/0.png", place / "set/sub/1.png", "set/../set/2.png", "-o", "few.bb")
    assert done.exit_code == 0
    assert invoke("list", "few.bb").stdout.splitlines() == ["set/0.png", "1.png", "set/2.png"]


@pytest.mark.parametrize(
    "words",
    [
        ("pack", "set"),
        ("pack", "set", "-o", "-", "--json"),
        ("pack", "set", "-o", "a.bb", "--method", "classic", "--fast"),
        ("pack", "set", "-o", "a.bb", "--fast", "--model", "photo"),
        ("pack", "set", "-o", "a.bb", "--batch", "-1"),
        ("get", "a.bb", "x", "-c", "-o", "y"),
        ("get", "a.bb", "x", "--region", "1,2,3"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant(words: tuple[str, ...]) -> None:
    assert invoke(*words).exit_code == 2
    assert not Path("a.bb").exists()


def test_damage_names_what_is_lost() -> None:
    pack("--batch", "3")
    data = bytearray(Path("set.bb").read_bytes())
    data[len(data) // 4] ^= 16
    Path("set.bb").write_bytes(data)
    done = invoke("test", "set.bb")
    assert done.exit_code == 1
    assert "lost: 0.png, 2.png, 4.png" in done.stderr
    assert "3 of 7 pictures are lost" in done.stderr
    some = invoke("unpack", "set.bb", "-o", "out")
    assert some.exit_code == 1
    assert len(list(Path("out").rglob("*.png"))) == 4
    decompressed = invoke("decompress", "set.bb", "-c")
    assert decompressed.exit_code == 1
    assert "unpack" in decompressed.stderr


@pytest.mark.parametrize("what", ["pack", "append"])
def test_killed_in_the_middle_it_goes_on(what: str, environment: dict[str, Any]) -> None:
    """`benchmarks/archive_kills.py` does this at random moments; here the third batch is the last."""
    script = """
import os, signal
from bbcodec.__main__ import main
from bbcodec.archive.output import Unfinished

put, left = Unfinished.put, [4]

def counted(self, data):
    left[0] -= 1
    if not left[0]:
        os.write(self._descriptor, data[:len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, data)

Unfinished.put = counted
main()
"""
    options = ["--batch", "2", "--model", "fast", "-q"]
    words = {"pack": ["pack", "set", "-o", "a.bb"], "append": ["append", "a.bb", "set"]}[what]
    Path("first").mkdir()
    Image.fromarray(pixels(99)).save("first/old.png")
    results = []
    for killed in (False, True):
        if what == "append":
            assert invoke("pack", "first", "-o", "a.bb").exit_code == 0
            old = Path("a.bb").read_bytes()
        if killed:
            command = [sys.executable, "-c", script, *words, *options]
            done = subprocess.run(command, env=environment, preexec_fn=default_signals, check=False)
            assert done.returncode == -signal.SIGKILL
            if what == "append":
                found = Path("a.bb").read_bytes()
                assert len(found) > len(old)
                assert found.startswith(old)
                assert invoke("test", "a.bb").exit_code == 0
                assert "interrupted" in invoke("test", "a.bb").stderr
            else:
                assert not Path("a.bb").exists()
                assert Path("a.bb.part").stat().st_size > 1000
        done_again = invoke(*words, *options[:-1])
        assert done_again.exit_code == 0
        assert ("were there from an interrupted run" in done_again.stderr) == killed
        assert not Path("a.bb.part").exists()
        results.append(Path("a.bb").read_bytes())
        Path("a.bb").unlink()
    assert results[0] == results[1]


def test_a_picture_is_no_archive() -> None:
    with pytest.raises(bbcodec.FormatError):
        bbcodec.Archive("set/0.png")


def test_options_of_storage_reach_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    from bbcodec.storage import Storage

    pack()
    seen, open_ = [], Storage.open
    monkeypatch.setattr(Storage, "open", lambda self, name: (seen.append(self.options), open_(self, name))[1])
    assert invoke("list", "set.bb", "--storage-options", '{"anon": true}').exit_code == 0
    assert {"anon": True} in seen
