# SPDX-License-Identifier: Apache-2.0
"""What goes out: images are read back, inputs are deleted with care, modes and times go along, links stay."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app
from bbcodec.picture import files, formats
from bbcodec.picture.formats import Reading
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture

OLD = 1_000_000_000_123_456_789  # nanoseconds: a time of modification in 2001
RGB = np.random.default_rng(3).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def invoke(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def mode_of(name: str) -> int:
    return stat.S_IMODE(os.stat(name).st_mode)


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with photo.png, photo.bb and the archive set.bb of photo.png."""
    monkeypatch.chdir(folder)
    assert invoke("compress", "photo.png", "--method", "classic", "-q").exit_code == 0
    assert invoke("pack", "photo.png", "-o", "set.bb", "--method", "classic", "-q").exit_code == 0


@pytest.fixture
def wrong_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer of images that changes one pixel."""
    write = files.write_image

    def wrong(target: Any, image: Picture, **options: Any) -> int:
        pixels = image.pixels.copy()
        pixels[0, 0] ^= 1
        return write(target, Picture(pixels, image.mode, image.palette, image.metadata), **options)

    monkeypatch.setattr(files, "write_image", wrong)


# --- images are read back ---------------------------------------------------------------------------------

COMMANDS = {
    "decompress": ["decompress", "photo.bb", "-o", "x.png"],
    "unpack": ["unpack", "set.bb", "-o", "out"],
    "get": ["get", "set.bb", "photo.png", "-o", "x.png"],
    "salvage": ["decompress", "--salvage", "photo.bb", "-o", "x.png"],
    "region": ["decompress", "photo.bb", "--region", "0,0,9,9", "-o", "x.png"],
}


@pytest.mark.usefixtures("wrong_writer")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_wrong_image_does_not_appear(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 1
    assert "the png file reads back with other pixels; it is not written" in result.stderr
    assert not [
        path for path in Path().rglob("*") if path.suffix in (".png", ".tmp") and path.stem != "photo"
    ]
    assert not Path("out/photo.png").exists()
    assert invoke(*words, "--no-verify").exit_code == 0
    assert Path(words[-1] if words[0] != "unpack" else "out/photo.png").exists()


@pytest.mark.usefixtures("wrong_writer")
def test_an_existing_image_stays_and_standard_output_stays_empty() -> None:
    before = Path("photo.png").read_bytes()
    assert invoke("decompress", "-f", "photo.bb").exit_code == 1
    assert Path("photo.png").read_bytes() == before
    for words in (["decompress", "-c", "photo.bb"], ["get", "-c", "set.bb", "photo.png"]):
        result = invoke(*words)
        assert (result.exit_code, result.stdout_bytes) == (1, b"")
        assert "reads back with other pixels" in result.stderr


def test_an_image_that_cannot_be_read_back_does_not_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(target: Any, image: Picture, **options: Any) -> int:
        return int(target.write(b"\x89PNG\r\n\x1a\n"))

    monkeypatch.setattr(files, "write_image", cut)
    result = invoke("decompress", "photo.bb", "-o", "x.png")
    assert result.exit_code == 1
    assert "the png file cannot be read back" in result.stderr
    assert not Path("x.png").exists()


def test_metadata_that_differ_are_named_and_those_without_a_place_are_a_warning() -> None:
    Path("m.bb").write_bytes(bbcodec.compress(Picture(RGB, "RGB", metadata=Metadata(xmp=b"\xff"))))
    result = invoke("decompress", "m.bb", "-o", "x.png")
    assert result.exit_code == 1
    assert "m.bb: the png file reads back with other XMP; it is not written" in result.stderr
    assert not Path("x.png").exists()
    assert invoke("decompress", "--rm", "m.bb", "-o", "x.png").stderr == result.stderr
    assert Path("m.bb").exists()
    assert invoke("decompress", "m.bb", "-o", "x.bmp").stderr.startswith("m.bb: bmp has no place for XMP")
    assert Path("x.bmp").exists()


def test_the_cost_is_told() -> None:
    told = invoke("decompress", "-v", "photo.bb", "-o", "x.png").stderr
    assert "verified in " in told
    (record,) = json.loads(invoke("decompress", "--json", "photo.bb", "-o", "y.png").stdout)
    assert 0 < record["verify_seconds"] < record["seconds"]
    (record,) = json.loads(invoke("decompress", "--json", "--no-verify", "photo.bb", "-o", "z.png").stdout)
    assert "verify_seconds" not in record
    assert "verified in " in invoke("get", "-v", "set.bb", "photo.png", "-o", "v.png").stderr
    assert invoke("decompress", "--rm", "--no-verify", "photo.bb").exit_code == 2


# --- what an image file has and a picture has not ---------------------------------------------------------


def reads(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Let every image file have something that its picture does not hold."""
    read = formats.read
    monkeypatch.setattr(
        formats, "read", lambda source, **how: Reading(read(source, **how).picture, "TIFF", **facts)
    )


def test_what_is_left_out_is_one_warning_and_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    reads(monkeypatch, left_out=("SubIFDs", "private tag 50000"))
    line = "photo.png: left out: SubIFDs, private tag 50000"
    for words in (["compress", "-f", "photo.png"], ["pack", "-f", "photo.png", "-o", "new.bb"]):
        result = invoke(*words, "--method", "classic", "--json")
        assert result.exit_code == 0
        assert result.stderr.splitlines().count(line) == 1
        (record,) = json.loads(result.stdout)
        expected: Any = ["SubIFDs", "private tag 50000"]
        if words[0] == "pack":
            expected = [{"input": "photo.png", "left_out": expected}]
        assert record["left_out"] == expected
        assert line not in invoke(*words, "-f", "-q", "--method", "classic").stderr
    assert line not in invoke("compare", "photo.png", "--model", "fast").stderr


def test_rm_keeps_what_was_not_read_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    reads(monkeypatch, left_out=("SubIFDs", "private tag 50000"))
    result = invoke("compress", "-f", "--rm", "photo.png")
    assert result.exit_code == 1
    assert "photo.bb is written, but lacks SubIFDs, private tag 50000; the input is kept" in result.stderr
    assert Path("photo.png").exists()


def test_lossy_images_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    reads(monkeypatch, lossy=True)
    Image.fromarray(RGB).save("noise.jpg", quality=30)
    before = os.stat("noise.jpg").st_size
    result = invoke("compress", "--rm", "noise.jpg", "-o", "noise.bb", "--method", "classic")
    after = os.stat("noise.bb").st_size
    assert after > before
    told = "noise.jpg: compressed with loss: the pixels take more bytes than the file:"
    assert f"{told} {before} -> {after} bytes" in result.stderr
    assert result.exit_code == 1
    assert "the input is kept" in result.stderr
    assert Path("noise.jpg").exists()
    packed = invoke("pack", "noise.jpg", "-o", "n.bb", "--method", "classic")
    assert packed.exit_code == 0
    assert f"compressed with loss: the pixels take more bytes than the files: {before} ->" in packed.stderr


def test_a_cluster_tells_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    from bbcodec.cli.dask import _report
    from bbcodec.cli.report import Reporter
    from bbcodec.integrations.files import FileResult

    _report(FileResult("a.jpg", "a.bb", "done", 10, 20, left_out=("SubIFDs",), lossy=True), Reporter())
    told = "the pixels take more bytes than the file: 10 -> 20 bytes"
    assert capsys.readouterr().err.splitlines() == [
        "a.jpg: left out: SubIFDs",
        f"a.jpg: compressed with loss: {told}",
    ]


# --- --rm -------------------------------------------------------------------------------------------------


def test_rm_reads_the_source_again_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reader sees another pixel: one of the two is wrong, and nothing is deleted."""

    def second(source: Any, **how: Any) -> Picture:
        picture = files.read_image(source, **how)
        pixels = picture.pixels.copy()
        pixels[-1, -1] ^= 1
        return Picture(pixels, picture.mode)

    monkeypatch.setattr(formats, "read_again", second)
    result = invoke("compress", "-f", "--rm", "photo.png")
    assert result.exit_code == 1
    assert "decodes with other pixels than a second reading of the input gives" in result.stderr
    assert Path("photo.png").exists()
    result = invoke("decompress", "-f", "--rm", "photo.bb", "-o", "x.png")
    assert result.exit_code == 1
    assert "x.png is written, but reads back with other pixels; the input is kept" in result.stderr
    assert Path("photo.bb").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder link"])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_rm_deletes_regular_files_only(kind: str, command: str) -> None:
    name = "a.png" if command == "compress" else "a.bb"
    target = "photo" + name[1:]
    if kind == "link":
        Path(name).symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(name)
    else:
        Path("real").mkdir()
        Path(name).symlink_to("real")
    result = invoke(command, "--rm", name, "-o", "out" + (".bb" if command == "compress" else ".png"))
    assert result.exit_code == 1
    assert os.path.lexists(name)
    assert Path(target).exists()
    if kind != "folder link":
        what = "a symbolic link" if kind == "link" else "not a regular file"
        assert f"bbcodec: {name}: is {what}, which is not deleted; leave out --rm" in result.stderr
    assert not list(Path().glob("out.*"))


@pytest.mark.parametrize("how", ["replaced", "written", "touched", "gone"])
def test_rm_keeps_a_source_that_changed_since_it_was_read(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.stat("photo.png")
    honest = bbcodec.api.compress

    def meanwhile(*arguments: Any, **options: Any) -> bytes:
        data = honest(*arguments, **options)
        if how == "replaced":  # by a copy with the same size and time
            Path("new").write_bytes(Path("photo.png").read_bytes())
            os.utime("new", ns=(before.st_atime_ns, before.st_mtime_ns))
            os.replace("new", "photo.png")
        elif how == "written":
            with Path("photo.png").open("ab") as file:
                file.write(b"more")
        elif how == "touched":
            os.utime("photo.png", ns=(OLD, OLD))
        else:
            os.rename("photo.png", "moved.png")
            os.link("moved.png", "elsewhere.png")
        return data

    monkeypatch.setattr("bbcodec.api.compress", meanwhile)
    result = invoke("compress", "-f", "--rm", "--method", "classic", "photo.png")
    assert result.exit_code == 1
    if how == "gone":
        assert Path("moved.png").exists()
    else:
        assert "photo.png: has changed since it was read; the input is kept" in result.stderr
        assert Path("photo.png").exists()


def test_rm_comes_after_file_and_folder_are_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, unlink = os.fsync, os.unlink

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def deleted(path: Any, **options: Any) -> None:
        if str(path) in ("photo.png", "photo.bb"):
            steps.append("delete")
        unlink(path, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "unlink", deleted)
    assert invoke("compress", "-f", "--rm", "photo.png").exit_code == 0
    assert steps == ["file", "folder", "delete"]
    steps.clear()
    assert invoke("decompress", "--rm", "photo.bb").exit_code == 0
    assert steps == ["file", "folder", "delete"]


# --- modes and times --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_modes_and_times_go_along(mode: int) -> None:
    os.chmod("photo.png", mode)
    os.utime("photo.png", ns=(OLD, OLD))
    assert invoke("compress", "-f", "photo.png", "-o", "a.bb").exit_code == 0
    assert invoke("decompress", "a.bb").exit_code == 0
    assert invoke("pack", "photo.png", "-o", "p.bb", "--method", "classic").exit_code == 0
    assert invoke("unpack", "p.bb", "-o", "out").exit_code == 0
    assert invoke("get", "p.bb", "photo.png", "-o", "g.png").exit_code == 0
    for name in ("a.bb", "a.png"):
        assert mode_of(name) == mode
        assert os.stat(name).st_mtime_ns == OLD
    for name in ("p.bb", "out/photo.png", "g.png"):
        assert mode_of(name) == mode | 0o600
        assert os.stat(name).st_mtime_ns == OLD


def test_an_archive_has_the_strictest_mode_of_its_images() -> None:
    for name, mode in (("a.png", 0o644), ("b.png", 0o660)):
        Image.fromarray(RGB).save(name)
        os.chmod(name, mode)
    assert invoke("pack", "a.png", "b.png", "-o", "p.bb", "--method", "classic").exit_code == 0
    assert mode_of("p.bb") == 0o640
    before = os.stat("p.bb").st_mtime_ns
    os.chmod("photo.png", 0o600)
    os.utime("photo.png", ns=(OLD, OLD))
    assert invoke("append", "p.bb", "photo.png", "--method", "classic").exit_code == 0
    assert mode_of("p.bb") == 0o600
    assert os.stat("p.bb").st_mtime_ns >= before  # an append is a change of now


@pytest.mark.parametrize(("old", "new"), [(0o600, 0o644), (0o644, 0o600), (0o640, 0o604)])
def test_overwriting_keeps_the_stricter_mode(old: int, new: int) -> None:
    for name in ("x.bb", "x.png", "p.bb"):
        Path(name).write_bytes(b"old")
        os.chmod(name, old)
    for name in ("photo.png", "photo.bb"):
        os.chmod(name, new)
    assert invoke("compress", "-f", "photo.png", "-o", "x.bb").exit_code == 0
    assert invoke("decompress", "-f", "photo.bb", "-o", "x.png").exit_code == 0
    assert invoke("pack", "-f", "photo.png", "-o", "p.bb", "--method", "classic").exit_code == 0
    assert [mode_of(name) for name in ("x.bb", "x.png", "p.bb")] == [old & new] * 3


# --- links and devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["compress", "decompress", "pack", "get", "unpack", "info", "compare"])
def test_a_pipe_stays_a_pipe(command: str, folder: Path) -> None:
    """It stands for every device. Without a reader the commands would wait: this test is one."""
    pipe = folder / "out" / "photo.png"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    assert invoke("compress", "photo.png", "--method", "learned", "--fast", "-o", "l.bb").exit_code == 0
    words = {
        "compress": ["compress", "photo.png", "-f", "-o", pipe],
        "decompress": ["decompress", "photo.bb", "-f", "-o", pipe],
        "pack": ["pack", "photo.png", "-f", "--method", "classic", "-o", pipe],
        "get": ["get", "set.bb", "photo.png", "-f", "-o", pipe],
        "unpack": ["unpack", "set.bb", "-f", "-o", "out"],
        "info": ["info", "l.bb", "-f", "--map", pipe],
        "compare": ["compare", "photo.png", "--model", "fast", "-f", "--html", pipe],
    }[command]
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        result = invoke(*words)
        assert result.exit_code == 0, result.stderr
        assert stat.S_ISFIFO(os.stat(pipe).st_mode)
        start = os.read(descriptor, 9)
    finally:
        os.close(descriptor)
    assert start[:4] in (b"\x89BBC", b"\x89BBA", b"\x89PNG", b"<!do"), start
    assert sorted(os.listdir("out")) == ["photo.png"]


@pytest.mark.parametrize("command", ["compress", "decompress", "pack", "get", "info", "compare"])
def test_a_link_to_nothing_exists(command: str) -> None:
    suffix = ".bb" if command in ("compress", "pack") else ".png"
    Path(f"link{suffix}").symlink_to(f"elsewhere{suffix}")
    assert invoke("compress", "photo.png", "--method", "learned", "--fast", "-o", "l.bb").exit_code == 0
    result = invoke(
        *{
            "compress": ["compress", "photo.png", "-o", "link.bb"],
            "decompress": ["decompress", "photo.bb", "-o", "link.png"],
            "pack": ["pack", "photo.png", "--method", "classic", "-o", "link.bb"],
            "get": ["get", "set.bb", "photo.png", "-o", "link.png"],
            "info": ["info", "l.bb", "--map", "link.png"],
            "compare": ["compare", "photo.png", "--model", "fast", "--html", "link.png"],
        }[command]
    )
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert not list(Path().glob("elsewhere*"))


@pytest.mark.parametrize("existing", [True, False])
def test_get_does_not_follow_a_link_out_of_the_folder(existing: bool, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    if existing:
        outside.write_text("precious")
    Path("photo.png").unlink()
    Path("photo.png").symlink_to(outside)
    result = invoke("get", "-f", "set.bb", "photo.png")
    assert result.exit_code == 1
    assert "a symbolic link is in the way" in result.stderr
    assert outside.exists() is existing
    assert not existing or outside.read_text() == "precious"
    assert invoke("get", "-f", "set.bb", "photo.png", "-o", "photo.png").exit_code == 0  # the user named it
    assert np.array_equal(np.asarray(Image.open(outside)).shape, (32, 48, 3))


def test_a_link_in_the_place_of_an_unfinished_archive_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    Path("new.bb.part").symlink_to(outside)
    result = invoke("pack", "photo.png", "-o", "new.bb", "--method", "classic")
    assert result.exit_code == 1
    assert "new.bb.part is in the way and is a symbolic link; remove it first" in result.stderr
    assert outside.read_bytes() == b""
