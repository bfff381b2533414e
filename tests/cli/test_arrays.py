# SPDX-License-Identifier: Apache-2.0
"""Files of arrays on the command line: they come back byte for byte, whole, in parts, or salvaged."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import bbcodec
from bbcodec.cli import app

VOLUME = np.random.default_rng(4).integers(0, 40, (5, 12, 14)).astype(np.int16)


def invoke(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", VOLUME)
    return tmp_path


def test_there_and_back() -> None:
    data = Path("a.npy").read_bytes()
    done = invoke("compress", "a.npy")
    assert done.exit_code == 0
    assert "a.npy -> a.bb: 1808 -> " in done.stderr
    assert "a .npy file of 5 x 12 x 14 int16" in done.stderr
    Path("a.npy").unlink()
    done = invoke("decompress", "a.bb")
    assert (done.exit_code, Path("a.npy").read_bytes()) == (0, data)
    assert invoke("test", "a.bb").exit_code == 0
    info = invoke("info", "a.bb").stdout
    assert "5 x 12 x 14 int16, axes zyx" in info
    assert "groups of 5 x 12 x 14" in info
    assert "a .npy file of 1808 bytes" in info
    (record,) = json.loads(invoke("info", "--json", "a.bb").stdout)
    assert record["arrays"][0]["shape"] == [5, 12, 14]


def test_streams() -> None:
    data = Path("a.npy").read_bytes()
    packed = invoke("compress", "-", input=data)
    assert packed.exit_code == 0
    again = invoke("decompress", "-", input=packed.stdout_bytes)
    assert (again.exit_code, again.stdout_bytes) == (0, data)
    part = invoke("decompress", "-", "--index", "2", input=packed.stdout_bytes)
    assert part.exit_code == 0
    Path("part.npy").write_bytes(part.stdout_bytes)
    assert np.array_equal(np.load("part.npy"), VOLUME[2])


def test_gzip_names() -> None:
    Path("b.npy.gz").write_bytes(gzip.compress(Path("a.npy").read_bytes()))
    assert invoke("compress", "b.npy.gz").exit_code == 0
    Path("b.npy.gz").unlink()
    assert invoke("decompress", "b.bb").exit_code == 0
    assert gzip.decompress(Path("b.npy.gz").read_bytes()) == Path("a.npy").read_bytes()


def test_axes_and_groups() -> None:
    assert invoke("compress", "a.npy", "--axes", "tyx", "--group", "2").exit_code == 0
    (array,) = bbcodec.info(Path("a.bb")).arrays
    assert (array["axes"], array["group"]) == ("tyx", [2, 12, 14])
    bbcodec.write_image("p.png", np.zeros((4, 5), np.uint8))
    refused = invoke("compress", "p.png", "--axes", "yx")
    assert refused.exit_code == 1
    assert "this is a picture" in refused.stderr


@pytest.mark.parametrize("option", ["--embed-model", "--strip", "--recovery=5"])
def test_options_of_pictures(option: str) -> None:
    refused = invoke("compress", "a.npy", option)
    assert refused.exit_code == 1
    assert "this holds arrays" in refused.stderr
    assert not Path("a.bb").exists()


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        ("3", VOLUME[3]),
        ("-1,0", VOLUME[-1, 0]),
        ("1:3,:,::2", VOLUME[1:3, :, ::2]),
        ("...,4", VOLUME[..., 4]),
    ],
)
def test_parts(index: str, wanted: np.ndarray) -> None:
    invoke("compress", "a.npy", "--group", "1")
    assert invoke("decompress", "a.bb", "--index", index, "-o", "p.npy").exit_code == 0
    assert np.array_equal(np.load("p.npy"), wanted)


def test_wrong_parts() -> None:
    invoke("compress", "a.npy")
    for index in ("x", "", "1:2:0", "9", "1,2,3,4", "1.5"):
        refused = invoke("decompress", "a.bb", "--index", index, "-o", "p.npy")
        assert refused.exit_code == 1, index
        assert not Path("p.npy").exists()
    assert invoke("decompress", "a.bb", "--region", "2,3,4,5", "-o", "p.npy").exit_code == 0
    assert np.array_equal(np.load("p.npy"), VOLUME[:, 3:8, 2:6])
    bbcodec.write("q.bb", np.zeros((4, 5), np.uint8))
    assert "are for arrays" in invoke("decompress", "q.bb", "--index", "0").stderr


def test_outputs_are_named_as_what_they_hold() -> None:
    invoke("compress", "a.npy")
    for options in (["-o", "x.png"], ["-o", "x.dcm"], ["--format", "tif"]):
        refused = invoke("decompress", "a.bb", *options)
        assert refused.exit_code == 1
        assert ".npy" in refused.stderr
    bbcodec.write("array.bb", VOLUME)  # of no file
    assert invoke("decompress", "array.bb").exit_code == 0
    assert np.array_equal(np.load("array.npy"), VOLUME)


def test_existing_files_and_removal() -> None:
    data = Path("a.npy").read_bytes()
    assert invoke("compress", "--rm", "a.npy").exit_code == 0
    assert not Path("a.npy").exists()
    assert invoke("decompress", "--rm", "a.bb").exit_code == 0
    assert not Path("a.bb").exists()
    assert Path("a.npy").read_bytes() == data
    invoke("compress", "a.npy")
    assert "there already" in invoke("compress", "-v", "--skip-existing", "a.npy").stderr
    assert invoke("decompress", "a.bb").exit_code == 1
    assert invoke("decompress", "-v", "--skip-existing", "a.bb").exit_code == 0
    Path("a.bb").write_bytes(Path("a.bb").read_bytes()[:-5])
    assert invoke("compress", "--skip-existing", "a.npy").exit_code == 0
    assert invoke("test", "a.bb").exit_code == 0


def test_folders() -> None:
    Path("in/sub").mkdir(parents=True)
    for name in ("in/a.npy", "in/sub/b.npy", "in/.npy", "in/notes.txt"):
        shutil.copy("a.npy", name)
    done = invoke("compress", "-r", "in", "--output-dir", "out")
    assert done.exit_code == 0
    assert sorted(map(str, Path("out").rglob("*.bb"))) == ["out/a.bb", "out/sub/b.bb"]


def test_salvage() -> None:
    invoke("compress", "a.npy", "--group", "1")
    with bbcodec.ArrayFile("a.bb") as file:
        at, size = list(file[0].extents())[3]
    data = bytearray(Path("a.bb").read_bytes())
    data[at + size // 2] ^= 1
    Path("a.bb").write_bytes(data)
    assert invoke("test", "a.bb").exit_code == 1
    assert invoke("decompress", "a.bb", "-o", "b.npy").exit_code == 1
    assert not Path("b.npy").exists()
    done = invoke("decompress", "--salvage", "a.bb", "-o", "b.npy")
    assert done.exit_code == 1
    assert "lost: array 0 at [3:4, 0:12, 0:14]: " in done.stderr
    wanted = VOLUME.copy()
    wanted[3] = 0
    assert np.array_equal(np.load("b.npy"), wanted)


def test_formats_of_science() -> None:
    pydicom = pytest.importorskip("pydicom")
    source = Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm"
    shutil.copy(source, "ct.dcm")
    assert invoke("compress", "ct.dcm", "--rm").exit_code == 0
    assert invoke("decompress", "ct.bb", "--format", "npy").exit_code == 0
    assert np.array_equal(np.load("ct.npy"), pydicom.dcmread(source).pixel_array)
    assert invoke("decompress", "ct.bb").exit_code == 0
    assert Path("ct.dcm").read_bytes() == source.read_bytes()


def test_a_compressed_tiff_file_is_said_to_come_back_uncompressed() -> None:
    tifffile = pytest.importorskip("tifffile")
    for compression, said in (("zlib", True), (None, False)):
        tifffile.imwrite("a.tif", VOLUME, photometric="minisblack", compression=compression)
        done = invoke("compress", "-f", "a.tif")
        assert done.exit_code == 0
        assert ("comes back uncompressed" in done.stderr) == said


def test_a_damaged_file_is_kept_as_bytes_and_that_is_said() -> None:
    pytest.importorskip("astropy")
    Path("a.fits").write_bytes(b"SIMPLE  =                    T".ljust(1000))
    done = invoke("compress", "a.fits", "-o", "f.bb")
    assert done.exit_code == 0
    assert "kept as bytes, no array was found" in done.stderr
    assert invoke("decompress", "f.bb", "-o", "b.fits").exit_code == 0
    assert Path("b.fits").read_bytes() == Path("a.fits").read_bytes()


def test_other_commands_say_what_takes_arrays() -> None:
    invoke("compress", "a.npy")
    assert "bbcodec decompress a.bb" in invoke("compress", "a.bb", "-o", "c.bb").stderr
    assert "a file of arrays: use bbcodec decompress a.bb" in invoke("list", "a.bb").stderr
    assert "no cost map" in invoke("info", "a.bb", "--map", "m.png").stderr
    assert "a NumPy array file" in invoke("decompress", "a.npy", "-o", "x.png").stderr
    assert "bbcodec compress" in invoke("pack", "a.npy", "-o", "p.bb").stderr
