# SPDX-License-Identifier: Apache-2.0
"""The command line where exact words do not matter: JSON, metadata, signals, terminals, comparison."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import default_signals
from PIL import Image
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Palette, Picture

METHODS = ["auto", "classic", "learned"]


def invoke(*arguments: str | Path, input: bytes | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("method", METHODS)
def test_there_and_back(method: str) -> None:
    assert invoke("compress", "photo.png", "--method", method).exit_code == 0
    assert invoke("test", "photo.bb").exit_code == 0
    assert invoke("decompress", "photo.bb", "-o", "back.png").exit_code == 0
    with Image.open("photo.png") as before, Image.open("back.png") as after:
        assert before.mode == after.mode
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
        assert before.info["dpi"] == pytest.approx(after.info["dpi"])


@pytest.mark.parametrize("method", METHODS)
def test_a_pipe_in_this_process(method: str) -> None:
    source = Path("photo.png").read_bytes()
    packed = invoke("compress", "-", "--method", method, input=source)
    assert (packed.exit_code, packed.stderr) == (0, "")
    restored = invoke("decompress", "-", input=packed.stdout_bytes)
    assert (restored.exit_code, restored.stderr) == (0, "")
    Path("back.png").write_bytes(restored.stdout_bytes)
    with Image.open("photo.png") as before, Image.open("back.png") as after:
        assert before.tobytes() == after.tobytes()


def test_the_bytes_are_those_of_the_api() -> None:
    assert invoke("compress", "photo.png").exit_code == 0
    assert Path("photo.bb").read_bytes() == bbcodec.compress(bbcodec.read_image("photo.png"))


@pytest.mark.parametrize("option", [["--strip"], ["--metadata", "none"], []])
def test_metadata(option: list[str]) -> None:
    assert invoke("compress", "photo.png", *option).exit_code == 0
    kept = bbcodec.info(Path("photo.bb").read_bytes()).metadata
    assert ("dpi" in kept) is (not option)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "1"), ("a.png", "P"), ("a.png", "LA"), ("a.png", "RGBA"), ("a.png", "I;16"), ("a.tif", "L")],
)
def test_modes_come_back(name: str, mode: str) -> None:
    with Image.open("photo.png") as image:
        if mode == "I;16":
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 250 + 3).save(name)
        else:
            image.convert(mode).save(name)
    assert invoke("compress", name).exit_code == 0
    assert invoke("decompress", "a.bb", "-f").exit_code == 0
    with Image.open(name) as before, Image.open("a.png") as after:
        assert (before.mode, before.tobytes()) == (after.mode, after.tobytes())


def test_json_of_every_command() -> None:
    Path("bad.png").write_text("text")

    def read(result: Result, code: int = 0) -> Any:
        assert result.exit_code == code
        return json.loads(result.stdout)

    good, bad = read(invoke("compress", "photo.png", "bad.png", "--json"), 1)
    size = Path("photo.bb").stat().st_size
    assert (good["input"], good["output"], good["output_bytes"]) == ("photo.png", "photo.bb", size)
    assert good["bits_per_dim"] == pytest.approx(8 * size / (48 * 32 * 3))
    assert 0 < good["verify_seconds"] < good["seconds"]
    (unproved,) = read(invoke("compress", "photo.png", "-o", "c.bb", "--no-verify", "--json"))
    assert "verify_seconds" not in unproved
    assert bad["input"] == "bad.png"
    assert bad["error"]["kind"] == "FormatError"
    (told,) = read(invoke("info", "photo.bb", "--json"))
    assert (told["width"], told["height"], told["mode"], told["file_size"]) == (48, 32, "RGB", size)
    (tested,) = read(invoke("test", "photo.bb", "--json"))
    assert tested["ok"] is True
    (back,) = read(invoke("decompress", "photo.bb", "-o", "b.png", "--json"))
    assert (back["output"], back["mode"]) == ("b.png", "RGB")
    assert read(invoke("test", "bad.png", "--json"), 1)[0]["error"]["kind"] == "FormatError"


def test_compare_as_table_and_json() -> None:
    with Image.open("photo.png") as image:
        image.convert("L").save("gray.png")
    document = json.loads(invoke("compare", "photo.png", "gray.png", "--json").stdout)
    assert [image["dims"] for image in document["images"]] == [48 * 32 * 3, 48 * 32]
    for image in document["images"]:
        sizes = {row["codec"]: row for row in image["codecs"]}
        assert {"bbcodec auto", "PNG optimised", "WebP", "WebP slowest"} <= sizes.keys()
        for row in sizes.values():
            assert row["bits_per_dim"] == pytest.approx(8 * row["bytes"] / image["dims"])
    mean = {row["codec"]: row["bits_per_dim"] for row in document["mean"]}
    table = invoke("compare", "photo.png", "gray.png").stdout
    for codec, bits in mean.items():
        assert (
            f"{bits:.3f}" in [line for line in table.splitlines() if line.startswith(f"  {codec:<16} ")][-1]
        )


def test_compare_leaves_out_what_a_codec_cannot_hold() -> None:
    values = np.arange(40 * 40 * 3, dtype=np.uint16).reshape(40, 40, 3) * 13
    bbcodec.write_image("deep.png", values)
    (image,) = json.loads(invoke("compare", "deep.png", "--json").stdout)["images"]
    rows = {row["codec"]: row for row in image["codecs"]}
    assert "error" in rows["WebP"]
    assert "bytes" in rows["bbcodec auto"]


def test_an_internal_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("bbcodec.api.compress", broken)
    result = invoke("compress", "photo.png")
    assert result.exit_code == 1
    assert result.stderr == (
        "bbcodec: photo.png: internal error, please report it: ZeroDivisionError: two lines\n"
    )
    assert os.listdir() == ["photo.png"]
    assert "Traceback" in invoke("compress", "photo.png", "-vv").stderr


def test_rm_keeps_the_source_when_the_output_reads_back_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = bbcodec.compress

    class Shrinking(bytes):
        """Bytes that lose their end on the way to the disk, as on a failing one."""

        def __eq__(self, other: object) -> bool:
            return False

        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = bytes.__hash__

    monkeypatch.setattr("bbcodec.api.compress", lambda *a, **k: Shrinking(honest(*a, **k)))
    result = invoke("compress", "--rm", "photo.png")
    assert result.exit_code == 1
    assert "photo.bb reads back differently; the input is kept" in result.stderr
    assert Path("photo.png").exists()


def test_the_output_is_no_more_open_than_its_source() -> None:
    os.chmod("photo.png", 0o600)
    assert invoke("compress", "photo.png").exit_code == 0
    assert stat.S_IMODE(os.stat("photo.bb").st_mode) == 0o600


def test_odd_file_names(environment: dict[str, str]) -> None:
    for name in (b"-dash.png", b"new\nline.png", b"bad\xff.png"):
        os.link(b"photo.png", name)
    names = ["./-dash.png", "new\nline.png", os.fsdecode(b"bad\xff.png")]
    command = ["bbcodec", "compress", "--json", *names]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert len(done.stderr.splitlines()) == 3
    assert [record["input"] for record in json.loads(done.stdout)] == names
    assert {b"-dash.bb", b"new\nline.bb", b"bad\xff.bb"} <= set(os.listdir(b"."))


def _terminal(command: str, environment: dict[str, str]) -> tuple[int, bytes]:
    """Run a command whose stdout and stderr are a terminal; return its exit code and what it wrote there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(["bash", "-c", command], env=environment, stdout=theirs, stderr=theirs)
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
    return process.wait(), written


def test_binary_data_does_not_reach_a_terminal(environment: dict[str, str]) -> None:
    code, written = _terminal("bbcodec compress -c photo.png", environment)
    assert code == 1
    assert b"not written to a terminal" in written
    assert b"BBC" not in written
    code, written = _terminal("bbcodec compress -c -f -q photo.png", environment)
    assert code == 0
    assert b"\x89BBC" in written


def test_progress_is_for_terminals_only(environment: dict[str, str]) -> None:
    shown = _terminal("bbcodec compress -f photo.png", environment)[1]
    hidden = _terminal("bbcodec compress -f -q photo.png", environment)[1]
    assert b"\x1b[" in shown
    assert hidden == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_no_file(number: signal.Signals, code: int, environment: dict[str, str]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2400, 2400, 3), dtype=np.uint8)
    Image.fromarray(noise).save("big.png", compress_level=1)
    before = sorted(os.listdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "bbcodec", "compress", "--method", "classic", "big.png", "photo.png"],
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    )
    # The temporary file is there: the command is at work, and seconds away from its end.
    deadline = time.monotonic() + 120
    while not list(Path().glob(".bbcodec-*.tmp")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert b"Traceback" not in error
    assert sorted(os.listdir()) == before


def test_interruption_while_starting(environment: dict[str, str]) -> None:
    """The handlers are there before anything slow is imported."""
    script = """
import os, signal, sys
from bbcodec.__main__ import main

class Finder:
    def find_spec(self, name, *rest):
        if name == "bbcodec.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=default_signals,
    )
    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_traceback(unbuffered: str, environment: dict[str, str]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save("noise.png")  # more than a pipe holds
    command = "bbcodec compress -c noise.png | head -c 10 >/dev/null; exit ${PIPESTATUS[0]}"
    environment["PYTHONUNBUFFERED"] = unbuffered
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b""


def test_help_and_version() -> None:
    for command in (
        (),
        ("compress",),
        ("decompress",),
        ("compare",),
        ("info",),
        ("test",),
        ("train",),
        ("models",),
    ):
        result = invoke(*command, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")
    assert invoke("-V").stdout == invoke("--version").stdout
    assert invoke("--version").stdout.startswith("bbcodec ")
    assert invoke().exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from typer.testing import CliRunner
from bbcodec.cli import app
assert CliRunner().invoke(app, ["compress", "--help"]).exit_code == 0
heavy = ("numpy", "PIL", "numba", "torch", "rich.progress", "fsspec", "distributed")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


GRAY = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("name", "picture", "why"),
    [
        ("a.png", Picture(GRAY, "L"), None),
        ("a.png", Picture(GRAY.astype(np.uint16), "I;16B"), "mode"),
        ("a.png", Picture(GRAY, "P", Palette(bytes(16), "RGBA")), "palette"),
        (
            "a.png",
            Picture(GRAY, "L", metadata=Metadata(dpi=(72.0, 72.0))),
            "resolution",
        ),
        (
            "a.ppm",
            Picture(GRAY, "L", metadata=Metadata(icc=b"x", xmp=b"y")),
            "ICC, XMP",
        ),
    ],
)
def test_rm_keeps_the_source_of_what_the_image_does_not_hold(
    name: str, picture: Picture, why: str | None
) -> None:
    Path("a.bb").write_bytes(bbcodec.compress(picture))
    result = invoke("decompress", "--rm", "a.bb", "-o", name)
    assert Path(name).exists()
    assert Path("a.bb").exists() is (why is not None)
    if why is None:
        assert result.exit_code == 0
    else:
        assert result.exit_code == 1
        assert f"reads back with other {why}; the input is kept" in result.stderr


def test_metadata_that_the_format_has_no_place_for_are_named() -> None:
    picture = Picture(
        np.stack([GRAY] * 3, axis=2),
        "RGB",
        metadata=Metadata(icc=b"x", text=(("k", "v"),), dpi=(72.0, 72.0)),
    )
    Path("a.bb").write_bytes(bbcodec.compress(picture))
    for name, lost in (("a.webp", "resolution, text"), ("a.ppm", "ICC, resolution, text"), ("a.png", "")):
        noted = f"a.bb: {name[2:]} has no place for {lost}: left out"
        assert (noted in invoke("decompress", "a.bb", "-o", name).stderr) is bool(lost)
        assert invoke("decompress", "a.bb", "-f", "-q", "-o", name).stderr == ""


def test_an_unknown_output_suffix_is_a_usage_error() -> None:
    result = invoke("decompress", "missing.bb", "-o", "a.xyz")
    assert result.exit_code == 2
    assert "cannot write .xyz files, expected .bmp" in result.stderr
    assert invoke("compress", "photo.png").exit_code == 0
    assert invoke("decompress", "photo.bb", "-o", "a.xyz", "--format", "png").exit_code == 0
