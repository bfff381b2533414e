# SPDX-License-Identifier: Apache-2.0
"""Archives behind URLs: packed to, listed, read in part, and what does not go there."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bbcodec import Archive
from bbcodec.archive.sections import Source
from bbcodec.cli import app
from bbcodec.errors import BBCodecError, OptionError

fsspec = pytest.importorskip("fsspec", reason="the extra `remote` (fsspec) is not installed")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (11, 12, 3), np.uint8)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty memory://, and a folder of images here and there."""
    system = fsspec.filesystem("memory")
    monkeypatch.chdir(tmp_path)
    Path("set/sub").mkdir(parents=True)
    for name, seed in (("a.png", 0), ("sub/b.png", 1), ("sub/.c.png", 2)):
        Image.fromarray(pixels(seed)).save(Path("set", name))
        system.pipe_file(f"/bucket/set/{name}", Path("set", name).read_bytes())
    yield
    system.rm("/", recursive=True)


@pytest.mark.parametrize("source", ["set", "memory://bucket/set"])
def test_there_and_back(source: str) -> None:
    done = invoke("pack", source, "-o", "memory://bucket/set.bb", "--model", "fast")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "2 images" in done.stderr
    assert invoke("pack", source, "-o", "memory://bucket/set.bb", "--model", "fast").exit_code == 1
    assert invoke("pack", source, "-o", "here.bb", "--model", "fast").exit_code == 0
    assert fsspec.filesystem("memory").cat("/bucket/set.bb") == Path("here.bb").read_bytes()
    assert invoke("list", "memory://bucket/set.bb").stdout == "a.png\nsub/b.png\n"
    assert "2 pictures" in invoke("list", "-l", "memory://bucket/set.bb").stdout
    assert invoke("test", "memory://bucket/set.bb").exit_code == 0
    (facts,) = json.loads(invoke("info", "--json", "memory://bucket/set.bb").stdout)
    assert facts["pictures"] == 2
    assert invoke("get", "memory://bucket/set.bb", "sub/b.png", "-o", "b.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("b.png")), pixels(1))
    assert invoke("unpack", "memory://bucket/set.bb", "-o", "memory://bucket/out").exit_code == 0
    with fsspec.open("memory://bucket/out/sub/b.png") as file:
        assert np.array_equal(np.asarray(Image.open(file)), pixels(1))


def test_no_more_is_read_than_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive("memory://bucket/a.bb", "x", model="fast", batch=2) as archive:
        for i in range(20):
            archive[str(i)] = pixels(i)
    read, asked = Source.read, []
    monkeypatch.setattr(Source, "read", lambda self, at, n: asked.append(n) or read(self, at, n))
    with Archive("memory://bucket/a.bb") as archive:
        assert np.array_equal(archive["13"], pixels(13))
        assert sum(asked) < archive.reader.source.size / 4
        again = pickle.loads(pickle.dumps(archive))
        assert np.array_equal(again["7"], pixels(7))
        again.close()


def test_what_is_not_finished_does_not_appear() -> None:
    with pytest.raises(ZeroDivisionError), Archive("memory://bucket/a.bb", "x") as archive:
        archive["a"] = pixels(0)[1 // 0 :]
    assert not fsspec.filesystem("memory").exists("/bucket/a.bb")


def test_appending_is_for_files_of_this_machine() -> None:
    with Archive("memory://bucket/a.bb", "x", model="fast") as archive:
        archive["a"] = pixels(0)
    with pytest.raises(OptionError, match="this machine"):
        Archive("memory://bucket/a.bb", "a")
    done = invoke("append", "memory://bucket/a.bb", "set")
    assert done.exit_code == 1
    assert "this machine" in done.stderr


def test_file_urls_are_files(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/a.bb"
    assert invoke("pack", "set", "-o", url, "--model", "fast").exit_code == 0
    Image.fromarray(pixels(5)).save("new.png")
    assert invoke("append", url, "new.png").exit_code == 0
    assert invoke("list", tmp_path / "a.bb").stdout.splitlines() == ["a.png", "sub/b.png", "new.png"]


def test_missing_archives_are_errors() -> None:
    for words in (("list",), ("test",), ("info",), ("append", "set")):
        done = invoke(words[0], "memory://bucket/none.bb", *words[1:])
        assert done.exit_code == 1
        assert "memory://bucket/none.bb" in done.stderr
    with pytest.raises((OSError, BBCodecError)):
        Archive("memory://bucket/none.bb")
