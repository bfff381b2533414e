# SPDX-License-Identifier: Apache-2.0
"""Wrong commands, wrong files, folders and collisions: the message names the command that was meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bbcodec.cli import app


def invoke(*arguments: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=input)


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside photo.png, its .bb file one.bb, an archive set.bb, and folders."""
    monkeypatch.chdir(folder)
    assert invoke("compress", "photo.png", "-o", "one.bb", "--method", "classic").exit_code == 0
    assert invoke("pack", "photo.png", "-o", "set.bb", "--method", "classic").exit_code == 0
    Path("photos/sub").mkdir(parents=True)
    Path("empty").mkdir()
    shutil.copy("photo.png", "photos/a.png")
    shutil.copy("photo.png", "photos/sub/b.png")
    Path("photos/notes.txt").write_text("no image")
    Path("photos/.hidden.png").write_text("not even this")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photo.png", "photo.bb"], "'photo.png'; to compress it: bbcodec compress photo.png -o photo.bb"),
        (["photo.png"], "'photo.png'; to compress it: bbcodec compress photo.png"),
        (["gone.JPG", "-q"], "'gone.JPG'; to compress it: bbcodec compress gone.JPG"),
        (["a.png", "b.png"], "'a.png'; to compress it: bbcodec compress a.png b.png"),
        (["one.bb"], "'one.bb'; to decompress it: bbcodec decompress one.bb"),
        (["one.bb", "a b.png"], "'one.bb'; to decompress it: bbcodec decompress one.bb -o 'a b.png'"),
        (["set.bb", "out"], "'set.bb'; to unpack it: bbcodec unpack set.bb -o out"),
        (["photos/"], "'photos/'; to pack its images: bbcodec pack photos/ -o photos.bb"),
        (["s3://a/b.png"], "'s3://a/b.png'; to compress it: bbcodec compress s3://a/b.png"),
        (["compres", "photo.png"], "'compres'; did you mean compress, compare or decompress?"),
        (["squeeze"], "'squeeze'; see bbcodec --help"),
        (["models", "inf"], "'inf'; did you mean info?"),
    ],
)
def test_a_file_or_a_typo_in_the_place_of_a_command(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, words, prog_name="bbcodec")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"bbcodec: no command {said}\n"


def test_options_are_suggested() -> None:
    done = invoke("compress", "photo.png", "--modle", "fast")
    assert done.exit_code == 2
    assert "--model" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decompress", "set.bb"], "set.bb: this is an archive; use bbcodec unpack set.bb, or"),
        (["decompress", "photo.png"], "photo.png: not a .bb file: this is a PNG image; to compress it:"),
        (["decompress", "one.doc"], "one.doc: unknown suffix (expected .bb); name the output with -o or -c"),
        (["test", "photo.png"], "photo.png: not a .bb file: this is a PNG image"),
        (["info", "photo.png"], "photo.png: not a .bb file: this is a PNG image"),
        (["unpack", "one.bb"], "one.bb: this is a single picture: use bbcodec decompress one.bb"),
        (["list", "one.bb"], "one.bb: this is a single picture: use bbcodec decompress one.bb"),
        (["get", "one.bb", "a"], "one.bb: this is a single picture: use bbcodec decompress one.bb"),
        (["list", "photo.png"], "photo.png: not an archive: this is a PNG image"),
        (["get", "set.bb", "phot.png"], "set.bb: no picture of this name: phot.png; did you mean photo.png?"),
        (["compress", "one.bb"], "one.bb: compressed already; to get the image back: bbcodec decompress"),
        (["compress", "one.bb", "-o", "x.bb"], "one.bb: compressed already"),
        (["compress", "set.bb"], "set.bb: compressed already, an archive; to get its images back:"),
        (["pack", "one.bb", "-o", "new.bb"], "one.bb: compressed already"),
        (["compress", "photos"], "photos: is a folder; use -r for the images in it, or: bbcodec pack photos"),
        (["decompress", "photos"], "photos: is a folder; use -r for the .bb files in it"),
        (["info", "--map", "m.png", "set.bb"], "set.bb: an archive has no cost map"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_wrong_tool_names_the_right_one(words: list[str], said: str) -> None:
    shutil.copy("one.bb", "one.doc")
    before = sorted(path.name for path in Path().iterdir())
    done = invoke(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"bbcodec: {said}")
    assert sorted(path.name for path in Path().iterdir() if path.name != "new.bb") == before


def test_standard_input_is_looked_at_too() -> None:
    data = Path("set.bb").read_bytes()
    assert "this is an archive" in invoke("decompress", "-", input=data).stderr
    assert "single picture" in invoke("list", "-", input=Path("one.bb").read_bytes()).stderr
    assert "compressed already" in invoke("compress", "-", input=data).stderr


@pytest.mark.parametrize(
    ("suffix", "what"),
    [("jpg", "JPEG"), ("webp", "WebP"), ("tif", "TIFF"), ("bmp", "BMP"), ("gif", "GIF"), ("ppm", "PNM")],
)
def test_types_of_images(suffix: str, what: str) -> None:
    with Image.open("photo.png") as image:
        image.save(f"other.{suffix}")
    assert f"this is a {what} image" in invoke("test", f"other.{suffix}").stderr


def test_folders_without_images_fail_alike() -> None:
    said = "bbcodec: empty: no images found in this folder or below it\n"
    for words in (
        ["compress", "empty", "-r"],
        ["pack", "empty", "-o", "new.bb"],
        ["append", "set.bb", "empty"],
    ):
        done = invoke(*words)
        assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)
        (record,) = json.loads(invoke(*words, "--json", "-q").stdout)
        assert (record["input"], record["error"]["kind"]) == ("empty", "FormatError")
    assert not Path("new.bb").exists()
    nothing = invoke("decompress", "empty", "-r").stderr
    assert nothing == "bbcodec: empty: no .bb files found in this folder or below it\n"


def test_an_empty_folder_does_not_stop_the_others() -> None:
    done = invoke("pack", "empty", "photos", "-o", "new.bb", "--method", "classic")
    assert done.exit_code == 1
    assert invoke("list", "new.bb").stdout.splitlines() == ["a.png", "sub/b.png"]


def test_a_collision_fails_its_files_alone() -> None:
    for suffix in ("ppm", "bmp"):
        with Image.open("photo.png") as image:
            image.save(f"photo.{suffix}")
    shutil.copy("photo.png", "other.png")
    done = invoke(
        "compress", "photo.png", "other.png", "photo.ppm", "photo.bmp", "--method", "classic", "--json"
    )
    assert done.exit_code == 1
    assert "photo.png: photo.bb would also be the output of photo.ppm, photo.bmp; use -o" in done.stderr
    assert "photo.bmp: photo.bb would also be the output of photo.png, photo.ppm; use -o" in done.stderr
    records = json.loads(done.stdout)
    assert ["error" in record for record in records] == [True, False, True, True]
    assert Path("other.bb").exists()
    assert not Path("photo.bb").exists()
    twice = invoke("compress", "other.png", "other.png", "-f")
    assert twice.exit_code == 1


def test_the_summary_counts_what_was_skipped() -> None:
    Path("photos/bad.png").write_text("text")
    words = ["compress", "photos", "-r", "--method", "classic", "--skip-existing"]
    first = invoke(*words)
    assert first.exit_code == 1
    assert first.stderr.splitlines()[-1] == "4 files, 1 skipped (not images), 1 failed"
    again = invoke(*words)
    summary = "6 files, 3 skipped (not images), 2 skipped (already there), 1 failed"
    assert again.stderr.splitlines()[-1] == summary
    back = invoke("decompress", "photos", "-r", "--output-dir", "back")
    assert back.stderr.splitlines()[-1] == "6 files, 4 skipped (not .bb files)"
    packed = invoke("pack", "photos", "-o", "new.bb", "--method", "classic")
    assert "new.bb: 2 images, 3 skipped (not images), 1 failed, " in packed.stderr
    more = invoke("append", "new.bb", "photos", "--skip-existing", "--method", "classic")
    assert "new.bb: 0 images, 3 skipped (not images), 2 skipped (already there), 1 failed" in more.stderr
    assert "skipped" not in invoke("compress", "photo.png", "--method", "classic").stderr


def test_get_tells_what_it_wrote() -> None:
    done = invoke("get", "set.bb", "photo.png", "-o", "back.png")
    size = Path("back.png").stat().st_size
    assert (done.stdout, done.stderr) == ("", f"photo.png -> back.png: 48 x 32 RGB, {size} bytes\n")
    assert invoke("get", "set.bb", "photo.png", "-f", "-o", "back.png", "-q").stderr == ""
    assert invoke("get", "set.bb", "photo.png", "-c").stderr == ""


def test_list_shows_bytes_and_marks_shares() -> None:
    for number in range(3):
        with Image.open("photo.png") as image:
            image.crop((0, 0, 12, 8 * (number + 1))).save(f"photos/small{number}.png")
    assert invoke("pack", "photos", "-o", "all.bb", "-1", "--batch", "3").exit_code == 0
    assert invoke("append", "all.bb", "photo.png", "--method", "classic").exit_code == 0
    records = json.loads(invoke("list", "-l", "--json", "all.bb").stdout)
    assert {record["name"]: record["shared"] for record in records}["photo.png"] is False
    assert any(record["shared"] for record in records)
    lines = invoke("list", "-l", "all.bb").stdout.splitlines()
    assert lines[-1] == "~ share of a batch"
    for record, line in zip(records, lines, strict=False):
        assert line.split()[-2] == f"{'~' if record['shared'] else ''}{record['bytes']}"
        assert line.split()[-1] == record["name"]
    total = sum(record["bytes"] for record in records)
    assert 0.5 * Path("all.bb").stat().st_size < total < Path("all.bb").stat().st_size
    assert "bytes" not in json.loads(invoke("list", "--json", "all.bb").stdout)[0]
    assert "~" not in invoke("list", "-l", "set.bb").stdout
