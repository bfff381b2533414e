# SPDX-License-Identifier: Apache-2.0
"""Functions of the API that take paths, and pictures as arrays."""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bbcodec


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (13, 17, 3)).astype(np.uint8)


@pytest.fixture
def png(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path, dpi=(300, 300))
    return path


@pytest.fixture
def bb(tmp_path: Path, png: Path) -> Path:
    path = tmp_path / "photo.bb"
    path.write_bytes(bbcodec.compress(png))
    return path


def test_compress_takes_the_path_of_an_image(png: Path) -> None:
    data = bbcodec.compress(png)
    assert data == bbcodec.compress(str(png)) == bbcodec.compress(bbcodec.read_image(png))
    assert bbcodec.decompress_picture(data).metadata.dpi is not None


@pytest.mark.parametrize("kind", [str, Path])
def test_readers_take_the_path_of_a_file(kind: type, bb: Path, pixels: np.ndarray) -> None:
    path, data = kind(bb), bb.read_bytes()
    assert np.array_equal(bbcodec.decompress(path), pixels)
    assert bbcodec.decompress_picture(path).same(bbcodec.decompress_picture(data))
    assert bbcodec.decompress_image(path).size == (17, 13)
    assert bbcodec.info(path) == bbcodec.info(data)
    assert bbcodec.salvage(path).lost == ()


def test_errors_name_the_file(bb: Path, tmp_path: Path) -> None:
    bb.write_bytes(bb.read_bytes()[:-9])
    for reader in (bbcodec.decompress, bbcodec.info):
        with pytest.raises(bbcodec.FormatError, match=r"photo\.bb: "):
            reader(bb)
    with pytest.raises(FileNotFoundError):
        bbcodec.decompress(tmp_path / "none.bb")


def test_read_image_reads_bb_files(bb: Path, png: Path, pixels: np.ndarray) -> None:
    for source in (bb, str(bb), io.BytesIO(bb.read_bytes())):
        assert bbcodec.read_image(source).same(bbcodec.read_image(png))
    assert np.array_equal(bbcodec.read(bb, region=(2, 3, 4, 5)), pixels[3:8, 2:6])
    with pytest.raises(bbcodec.LimitError):
        bbcodec.read_image(bb, max_pixels=13 * 17 - 1)


@pytest.mark.parametrize("name", ["out.bb", "out.png", "OUT.BB", "out.tif"])
def test_write_and_read_in_one_call(name: str, tmp_path: Path, pixels: np.ndarray) -> None:
    bbcodec.write(tmp_path / name, np.zeros((2, 2), np.uint8))
    bbcodec.write(tmp_path / name, pixels)  # replaces the file
    assert np.array_equal(bbcodec.read(tmp_path / name), pixels)
    if name.lower().endswith("bb"):
        assert bbcodec.info(tmp_path / name).width == 17
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_is_an_array(pixels: np.ndarray) -> None:
    picture = bbcodec.Picture.of(pixels)
    assert np.asarray(picture) is picture.array or np.shares_memory(np.asarray(picture), pixels)
    assert not np.shares_memory(np.array(picture), pixels)
    assert np.asarray(picture, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False"):
        np.array(picture, dtype=np.float32, copy=False)


def test_the_version_is_that_of_the_package() -> None:
    assert bbcodec.__version__ == version("bbcodec")
