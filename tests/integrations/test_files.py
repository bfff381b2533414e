# SPDX-License-Identifier: Apache-2.0
"""The functions that other systems call, file by file."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import stat
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.integrations.files import FileResult, compress_file, decompress_file, whole_bb
from bbcodec.picture import files
from bbcodec.picture.formats import Reading
from bbcodec.picture.picture import Picture
from bbcodec.storage import Storage

classic = partial(compress_file, method="classic")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of 24 x 16."""
    pixels = np.random.default_rng(1).integers(0, 90, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_there_and_back(photo: Path, tmp_path: Path) -> None:
    os.chmod(photo, 0o600)
    target, back = tmp_path / "new" / "folder" / "photo.bb", tmp_path / "back.webp"
    done = classic(photo, target)
    assert (done.source, done.target, done.status, done.error) == (str(photo), str(target), "done", None)
    assert (done.input_bytes, done.output_bytes) == (photo.stat().st_size, target.stat().st_size)
    assert (done.width, done.height, done.mode) == (24, 16, "RGB")
    assert done.worker.endswith(f":{os.getpid()}")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    restored = decompress_file(target, back)
    assert (restored.status, restored.output_bytes) == ("done", back.stat().st_size)
    with Image.open(back) as image:
        assert image.format == "WEBP"
        assert image.tobytes() == Image.open(photo).tobytes()


def test_what_is_there_already(photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "photo.bb"
    classic(photo, target)
    whole = target.read_bytes()
    with pytest.raises(FileExistsError):
        classic(photo, target)
    assert classic(photo, target, existing="skip").status == "skipped"
    assert classic(photo, target, existing="overwrite").status == "done"
    for damaged in (b"", whole[:-1], whole + b"\0", whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        target.write_bytes(damaged)
        assert whole_bb(Storage(), str(target)) == 0
        assert classic(photo, target, existing="skip").status == "done"
        assert target.read_bytes() == whole
    with pytest.raises(ValueError, match="existing is 'maybe'"):
        classic(photo, target, existing="maybe")  # type: ignore[arg-type]

    back = tmp_path / "back.png"
    assert decompress_file(target, back).status == "done"
    assert decompress_file(target, back, existing="skip").status == "skipped"
    Image.new("RGB", (24, 15)).save(back)  # an image, but of another size
    assert decompress_file(target, back, existing="skip").status == "done"
    with pytest.raises(FileExistsError):
        decompress_file(target, back)


def test_errors_are_raised_or_returned(photo: Path, tmp_path: Path) -> None:
    bad, target = tmp_path / "bad.png", tmp_path / "bad.bb"
    bad.write_bytes(b"no image")
    with pytest.raises(FormatError):
        classic(bad, target)
    failed = classic(bad, target, raise_errors=False)
    assert failed == FileResult(
        str(bad), str(target), "failed", error="FormatError: not an image of a known format, or damaged"
    )
    missing = decompress_file(tmp_path / "missing.bb", tmp_path / "x.png", raise_errors=False)
    assert missing.error == f"FileNotFoundError: {os.strerror(2)}"
    with pytest.raises(BBCodecError, match="same file"):
        classic(photo, photo, existing="overwrite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "photo.png"]


def test_a_pool_of_processes(photo: Path, tmp_path: Path) -> None:
    sources = [photo] * 3
    targets = [tmp_path / f"{number}.bb" for number in range(3)]
    work = partial(compress_file, model="fast", method="learned")
    assert pickle.loads(pickle.dumps(work))(photo, tmp_path / "here.bb").status == "done"
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(work, sources, targets))
    assert [result.target for result in results] == [str(target) for target in targets]
    assert {result.status for result in results} == {"done"}
    assert str(os.getpid()) not in {result.worker.rpartition(":")[2] for result in results}
    assert {target.read_bytes() for target in targets} == {(tmp_path / "here.bb").read_bytes()}
    assert bbcodec.decompress(targets[0].read_bytes()).shape == (16, 24, 3)


def test_a_wrong_image_does_not_appear(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, back = tmp_path / "photo.bb", tmp_path / "back.png"
    classic(photo, target)
    write = files.write_image

    def wrong(file: Any, picture: Picture, **options: Any) -> int:
        return write(file, Picture(255 - picture.pixels, picture.mode), **options)

    monkeypatch.setattr(files, "write_image", wrong)
    with pytest.raises(BBCodecError, match="the png file reads back with other pixels; it is not written"):
        decompress_file(target, back)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.bb", "photo.png"]
    assert decompress_file(target, back, verify=False).status == "done"


def test_modes_and_times_go_along(photo: Path, tmp_path: Path) -> None:
    os.chmod(photo, 0o640)
    os.utime(photo, ns=(1_000_000_001, 1_000_000_001))
    target, back = tmp_path / "photo.bb", tmp_path / "back.png"
    back.write_bytes(b"old")
    os.chmod(back, 0o600)
    classic(photo, target)
    decompress_file(target, back, existing="overwrite")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (target, back)] == [0o640, 0o600]
    assert [path.stat().st_mtime_ns for path in (target, back)] == [1_000_000_001] * 2


def test_what_is_left_out_is_told(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: Any, **options: Any) -> Reading:
        return Reading(files.read_image(source, **options), "TIFF", ("SubIFDs",), lossy=True)

    monkeypatch.setattr("bbcodec.integrations.files.read", read)
    done = classic(photo, tmp_path / "photo.bb")
    assert (done.left_out, done.lossy) == (("SubIFDs",), True)
    assert done.as_dict()["left_out"] == ("SubIFDs",)
