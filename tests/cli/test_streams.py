# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, full or left: a clear error, the right exit code, and clean data."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bbcodec.cli import app
from bbcodec.cli.filetype import may_be_image

Shell = Callable[[str], "CompletedProcess[bytes]"]

CLASSIC = "--method classic"
TO_STDOUT = {  # data
    "compress": f"compress -c {CLASSIC} photo.png",
    "decompress": "decompress -c photo.bb",
    "pack": f"pack photo.png -o - {CLASSIC}",
    "get": "get -c set.bb photo.png",
}
TABLES = {  # text
    "info": "info photo.bb",
    "list": "list set.bb",
    "compare": "compare photo.png --model fast",
    "models": "models",
    "version": "--version",
    "help": "compress --help",
}
RECORDS = {  # JSON
    "compress": f"compress --json -f {CLASSIC} photo.png -o x.bb",
    "decompress": "decompress --json -f photo.bb -o x.png",
    "test": "test --json photo.bb set.bb",
    "pack": f"pack --json -f {CLASSIC} photo.png -o y.bb",
    "append": f"append --json --skip-existing {CLASSIC} set.bb photo.png",
    "unpack": "unpack --json -f set.bb -o out",
}
FROM_STDIN = {
    "compress": "compress -",
    "decompress": "decompress -",
    "test": "test -",
    "info": "info -",
    "list": "list -",
    "unpack": "unpack -",
    "get": "get - photo.png",
    "compare": "compare -",
}
QUIET_WORK = {
    "compress": f"compress -f {CLASSIC} photo.png -o x.bb",
    "decompress": "decompress -f photo.bb -o x.png",
    "test": "test photo.bb",
    "pack": f"pack -f {CLASSIC} photo.png -o y.bb",
    "unpack": "unpack -f set.bb -o out",
    "get": "get -f set.bb photo.png -o x.png",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a .bb file and an archive of one picture."""
    place = tmp_path_factory.mktemp("made")
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(place / "photo.png")
    for words in (
        ["compress", "--method", "classic", "-q", "photo.png"],
        ["pack", "--method", "classic", "-q", "photo.png", "-o", "set.bb"],
    ):
        subprocess.run([sys.executable, "-m", "bbcodec", *words], cwd=place, check=True)
    return place


@pytest.fixture(autouse=True)
def _copies(made: Path, folder: Path, environment: dict[str, str]) -> None:
    for name in ("photo.png", "photo.bb", "set.bb"):
        (folder / name).write_bytes((made / name).read_bytes())
    environment.pop("PYTHONUNBUFFERED", None)


def both(*groups: dict[str, str]) -> pytest.MarkDecorator:
    cases = [pytest.param(words, id=name) for group in groups for name, words in group.items()]
    return pytest.mark.parametrize("words", cases)


def no_traceback(done: CompletedProcess[bytes]) -> None:
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@both(TO_STDOUT, TABLES, RECORDS)
@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_standard_output_that_takes_nothing(words: str, where: str, shell: Shell) -> None:
    done = shell(f"bbcodec {words} >{where}")
    no_traceback(done)
    assert done.returncode == 1
    expected = b"No space left on device" if where == "/dev/full" else b"standard output is closed"
    assert done.stderr.count(expected) == 1
    assert done.stderr.splitlines()[-1].startswith(b"bbcodec: ")


@both({k: TO_STDOUT[k] for k in ("compress", "pack")}, {"list": TABLES["list"]}, {"test": RECORDS["test"]})
def test_a_reader_that_leaves(words: str, shell: Shell) -> None:
    done = shell(f"set +e; bbcodec {words} 2>errors | true; echo ${{PIPESTATUS[0]}}; cat errors >&2")
    no_traceback(done)
    assert done.stdout in (b"1\n", b"0\n")  # it may have ended before the reader did


@both(FROM_STDIN)
def test_standard_input_that_is_closed(words: str, shell: Shell) -> None:
    done = shell(f"bbcodec {words} <&-")
    no_traceback(done)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"bbcodec: standard input: it is closed\n"


@both(QUIET_WORK, {k: TO_STDOUT[k] for k in ("compress", "get")}, {"info": TABLES["info"]})
@pytest.mark.parametrize("where", ["<&- 2>&-", "2>/dev/full"])
def test_messages_that_nobody_takes(words: str, where: str, shell: Shell) -> None:
    """The work is done, and data are what they are with messages."""
    expected = shell(f"bbcodec {words}")
    done = shell(f"bbcodec {words} {where}")
    assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, b"")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_errors_that_nobody_takes(where: str, shell: Shell) -> None:
    for words, code in (("decompress -c missing.bb", 1), ("compress --nope", 2), ("nothing", 2)):
        done = shell(f"bbcodec {words} {where}")
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", b""), words


def test_all_are_closed(shell: Shell) -> None:
    done = shell(f"bbcodec compress -f {CLASSIC} photo.png -o x.bb <&- >&- 2>&-; cmp x.bb photo.bb")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_no_file_gets_the_descriptor_of_a_closed_stream(folder: Path, environment: dict[str, str]) -> None:
    """What a library prints from C goes to descriptor 2, which must never be an output file."""
    script = """
import os, sys
from bbcodec.storage import atomic
from bbcodec.__main__ import main

honest = os.open
def noisy(path, *rest, **more):
    found = honest(path, *rest, **more)
    if ".bbcodec-" in os.fspath(path):
        os.environ["FOUND"] = str(found)
        for number in (1, 2):
            try:
                os.write(number, b"printed by a library")
            except OSError:
                pass
    return found
os.open = noisy
try:
    main()
finally:
    honest(f"descriptor-{os.environ['FOUND']}", os.O_CREAT)
"""
    words = ["compress", "-f", "--method", "classic", "photo.png", "-o", "x.bb"]
    code = f'exec "$0" -c "$1" {" ".join(words)} <&- >&- 2>&-'
    done = subprocess.run(
        ["bash", "-c", code, sys.executable, script], cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0
    assert (folder / "x.bb").read_bytes() == (folder / "photo.bb").read_bytes()
    (found,) = folder.glob("descriptor-*")
    assert int(found.name.partition("-")[2]) > 2


# --- standard input that is no picture --------------------------------------------------------------------


@both(FROM_STDIN)
def test_other_input_is_refused_after_its_first_bytes(
    words: str, folder: Path, environment: dict[str, str]
) -> None:
    """The pipe stays open: a command that reads all of it would wait for ever."""
    reading, writing = os.pipe()
    os.write(writing, b"some text\n" * 20)
    process = subprocess.Popen(
        [sys.executable, "-m", "bbcodec", *words.split()],
        cwd=folder,
        env=environment,
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)
    assert (process.returncode, out) == (1, b"")
    assert error.startswith(b"bbcodec: standard input: ")
    assert b"internal error" not in error


def test_a_device_without_end_is_refused(shell: Shell) -> None:
    started = time.monotonic()
    for words in (
        "compress /dev/zero -o x.bb",
        "decompress /dev/zero -o x.png",
        f"pack /dev/zero -o y.bb {CLASSIC}",
    ):
        done = shell(f"ulimit -v 8000000; bbcodec {words}")
        assert done.returncode == 1
        assert b"internal error" not in done.stderr
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("head", [b"some text\n" * 20, bytes(200), b"\x1f\x8b" + b"x" * 200, b"x", b""])
def test_what_is_no_image_by_its_first_bytes(head: bytes) -> None:
    assert not may_be_image(head[:512])


FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "TGA", "PCX", "QOI"]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_image_is_known_by_its_first_bytes(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (1, 2, 3)).save(file, kind)
    assert may_be_image(file.getvalue()[:512])
    if kind not in ("GIF", "JPEG"):
        done = CliRunner().invoke(app, ["compress", "-", "--method", "classic"], input=file.getvalue())
        assert (done.exit_code, done.stdout_bytes[:4]) == (0, b"\x89BBC"), done.stderr


def test_slow_and_long_input_is_read_whole(folder: Path, environment: dict[str, str]) -> None:
    """The first bytes come one by one."""
    data = (folder / "photo.bb").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "bbcodec", "test", "-"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    for byte in data[:5]:
        process.stdin.write(bytes([byte]))
        time.sleep(0.02)
    process.stdin.write(data[5:])
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert error == b"standard input: ok, 80 x 60 RGB\n"


def test_a_damaged_head_can_be_salvaged_from_standard_input(folder: Path, shell: Shell) -> None:
    damaged = bytearray((folder / "photo.bb").read_bytes())
    damaged[0] ^= 1
    (folder / "damaged.bb").write_bytes(damaged)
    by_name = shell("bbcodec decompress --salvage damaged.bb -o a.png || true; ls a.png").stderr
    by_stream = shell("bbcodec decompress --salvage - -o b.png <damaged.bb || true; ls b.png").stderr
    assert by_stream.replace(b"standard input", b"damaged.bb").replace(b"b.png", b"a.png") == by_name


# --- libraries that print ---------------------------------------------------------------------------------


def test_libtiff_prints_nothing(folder: Path, shell: Shell) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, "TIFF", compression="tiff_lzw")
    damaged = bytearray(file.getvalue())
    damaged[300:600] = b"\xff" * 300
    (folder / "damaged.tif").write_bytes(damaged)
    done = shell("bbcodec compress damaged.tif")
    assert done.returncode == 1
    assert all(line.startswith(b"bbcodec: damaged.tif: ") for line in done.stderr.splitlines())
