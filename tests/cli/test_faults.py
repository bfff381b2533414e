# SPDX-License-Identifier: Apache-2.0
"""Disks that fill, inputs that vanish or change, signals, links in the way: a clear error.

Nothing is left half done."""

from __future__ import annotations

import os
import resource
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

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `set` of three images, and an archive of them."""
    monkeypatch.chdir(tmp_path)
    Path("set/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        Image.fromarray(NOISE).save(f"set/{name}.png")
    assert invoke("pack", "set", "-o", "a.bb", "--method", "classic", "-q").exit_code == 0
    return tmp_path


def everything() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file() or path.is_symlink()}


def names() -> list[str]:
    with bbcodec.Archive("a.bb") as archive:
        return list(archive)


# --- disks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["pack", "set", "-o", "new.bb", "--method", "classic"],
        ["append", "a.bb", "more", "--method", "classic"],
        ["unpack", "a.bb", "-o", "out"],
        ["get", "a.bb", "a.png", "-o", "x.png"],
        ["decompress", "one.bb", "-o", "x.png"],
        ["decompress", "--salvage", "one.bb", "-o", "x.png"],
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_a_full_disk(words: list[str], environment: dict[str, Any]) -> None:
    """Files may not grow beyond 4 KB (20 KB for `append`): every write behind that fails."""
    Path("one.bb").write_bytes(bbcodec.compress(NOISE))
    Path("more").mkdir()
    Image.fromarray(NOISE[::-1]).save("more/z.png")
    before, old = everything(), Path("a.bb").read_bytes()
    limit = len(old) + 500 if words[0] == "append" else 4000

    def small() -> None:
        default_signals()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "bbcodec", *words],
        env=environment,
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything() - before <= {"new.bb.part"}
    if words[0] == "append":  # what it left behind the end is ignored
        assert Path("a.bb").read_bytes().startswith(old)
        assert names() == ["a.png", "b.png", "sub/c.png"]
        assert invoke(*words).exit_code == 0
        assert names() == ["a.png", "b.png", "sub/c.png", "z.png"]
    else:
        assert Path("a.bb").read_bytes() == old
    if words[0] == "pack":  # and the next one goes on
        assert invoke(*words).exit_code == 0
        assert not Path("new.bb.part").exists()


@pytest.mark.parametrize("command", ["unpack", "decompress", "compress", "pack"])
def test_a_target_that_cannot_be_written(command: str) -> None:
    """A file where a folder is needed, which stops the super-user too."""
    Path("file").write_text("in the way")
    Path("one.bb").write_bytes(bbcodec.compress(NOISE))
    words = {
        "unpack": ["unpack", "a.bb", "-o", "file"],
        "decompress": ["decompress", "one.bb", "-o", "file/x.png"],
        "compress": ["compress", "set/a.png", "-o", "file/x.bb"],
        "pack": ["pack", "set", "-o", "file/x.bb"],
    }[command]
    before = everything()
    done = invoke(*words)
    assert done.exit_code == 1
    assert "internal error" not in done.stderr
    assert everything() == before
    assert Path("file").read_text() == "in the way"


# --- inputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["decompress", "test", "info", "unpack", "list"])
@pytest.mark.parametrize("name", ["set", "gone.bb", "set/a.png/x.bb", "empty.bb"])
def test_an_input_that_cannot_be_read(command: str, name: str) -> None:
    Path("empty.bb").write_bytes(b"")
    more = ["-o", "x"] if command in ("decompress", "unpack") else []
    before = everything()
    done = invoke(command, name, *more)
    assert done.exit_code == 1
    assert name in done.stderr
    assert "internal error" not in done.stderr
    assert everything() == before


def test_an_archive_that_becomes_shorter_while_it_is_read() -> None:
    with bbcodec.Archive("a.bb") as archive:
        assert np.array_equal(archive["a.png"], NOISE)
        os.truncate("a.bb", 1000)
        with pytest.raises(bbcodec.FormatError, match="shorter"):
            archive["sub/c.png"]


def test_an_archive_that_changes_while_it_is_read() -> None:
    with bbcodec.Archive("a.bb") as archive:
        data = Path("a.bb").read_bytes()
        with Path("a.bb").open("r+b") as file:
            file.seek(len(data) // 2)
            file.write(bytes(200))
        lost = 0
        for name in archive:
            try:
                assert np.array_equal(archive[name], NOISE)
            except bbcodec.FormatError:
                lost += 1
    assert lost


def test_an_image_that_vanishes_or_shrinks_while_others_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    from bbcodec.picture import formats

    read = formats.read

    def vanish(source: Any, **options: Any) -> Any:
        Path("set/b.png").unlink(missing_ok=True)
        os.truncate("set/sub/c.png", 2000)
        return read(source, **options)

    monkeypatch.setattr(formats, "read", vanish)
    done = invoke("pack", "set", "-o", "new.bb", "--method", "classic")
    assert done.exit_code == 1
    assert "b.png" in done.stderr
    assert "c.png" in done.stderr
    assert "internal error" not in done.stderr


# --- signals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "number"), [("pack", signal.SIGINT), ("unpack", signal.SIGTERM), ("append", signal.SIGHUP)]
)
def test_signals_leave_nothing_half_done(
    command: str, number: signal.Signals, environment: dict[str, Any]
) -> None:
    """The signal comes after the first section was put down, or the first image written."""
    script = f"""
import os, signal
from bbcodec.storage import atomic
from bbcodec.__main__ import main
from bbcodec.archive.output import Unfinished

def after(function):
    def wrapped(*arguments):
        found = function(*arguments)
        os.kill(os.getpid(), {int(number)})
        return found
    return wrapped

Unfinished.put = after(Unfinished.put)
atomic.put_in_place = after(atomic.put_in_place)
main()
"""
    Path("more").mkdir()
    Image.fromarray(NOISE[::-1]).save("more/z.png")
    words = {
        "pack": ["pack", "set", "-o", "new.bb", "--method", "classic"],
        "append": ["append", "a.bb", "more", "--method", "classic"],
        "unpack": ["unpack", "a.bb", "-o", "out"],
    }[command]
    before, old = everything(), Path("a.bb").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env=environment,
        preexec_fn=default_signals,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    new = everything() - before
    assert new == {"pack": {"new.bb.part"}, "append": set(), "unpack": {"out/a.png"}}[command]
    for name in new - {"new.bb.part"}:
        assert np.array_equal(np.asarray(Image.open(name)), NOISE)
    assert Path("a.bb").read_bytes().startswith(old)
    assert invoke("test", "a.bb").exit_code == 0


# --- links and names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "file", "dangling", "above"])
def test_unpack_does_not_follow_links_out_of_its_folder(kind: str, place: Path) -> None:
    Path("outside").mkdir()
    Path("outside/c.png").write_text("precious")
    Path("out/sub").mkdir(parents=True)
    if kind in ("folder", "above"):
        Path("out/sub").rmdir()
        Path("out/sub").symlink_to("../outside" if kind == "above" else place / "outside")
    else:
        Path("out/sub/c.png").symlink_to(place / "outside" / ("c.png" if kind == "file" else "new.png"))
    done = invoke("unpack", "a.bb", "-o", "out", "-f")
    assert done.exit_code == 1
    assert "a symbolic link is in the way" in done.stderr
    assert os.listdir("outside") == ["c.png"]
    assert Path("outside/c.png").read_text() == "precious"
    assert Path("out/a.png").exists()


def test_links_within_the_folder_and_the_folder_itself_may_be_links(place: Path) -> None:
    Path("real/other").mkdir(parents=True)
    Path("out").symlink_to(place / "real")
    Path("real/sub").symlink_to("other")
    assert invoke("unpack", "a.bb", "-o", "out").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("real/other/c.png")), NOISE)


@pytest.mark.parametrize("name", ["/tmp/x", "../x", "a/../../x", "a//b", "./a", "a\0b", ""])
def test_names_that_lead_out_cannot_be_packed_or_read(name: str) -> None:
    from bbcodec.archive import tables
    from bbcodec.container import varint

    with pytest.raises(bbcodec.OptionError), bbcodec.Archive("x.bb", "w") as archive:
        archive[name] = NOISE
    payload = varint(len(name)) + name.encode() + b"file"
    with pytest.raises(bbcodec.FormatError):
        tables.unpack_file(payload, 0)
