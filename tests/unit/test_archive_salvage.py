# SPDX-License-Identifier: Apache-2.0
"""Archives whose index, tail or head is damaged: their intact sections are read."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bbcodec
from bbcodec import modelfile
from bbcodec.archive import Archive, sections
from bbcodec.archive.reader import Reader
from bbcodec.errors import FormatError


def photo(seed: int, height: int = 12, width: int = 14) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 120 + 50 * np.sin(x / 5 + seed) * np.cos(y / 6)
    return np.clip(light[..., None] + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


CONTENT = {f"sub/{i}": photo(i) for i in range(6)} | {"file": np.zeros((5, 6, 4), np.uint8)}
CONTENT["long"] = np.random.default_rng(0).integers(0, 9, (2, 16500, 3)).astype(np.uint8)


@cache
def whole() -> bytes:
    """Three batches of two pictures, and two pictures in files of their own."""
    file = io.BytesIO()
    with Archive(file, "w", model="fast", batch=2, embed_model=True, threads=1) as archive:
        for name, image in CONTENT.items():
            archive[name] = image
    return file.getvalue()


def marks() -> list[sections.Mark]:
    return list(sections.walk(sections.Source(io.BytesIO(whole()))))


def salvaged(data: bytes) -> dict[str, np.ndarray]:
    """Return the pictures that can be read; all of them must be exact."""
    out = {}
    with Archive(io.BytesIO(data), salvage=True, threads=1) as archive:
        for name in archive:
            try:
                out[name] = archive[name]
            except FormatError:
                continue
            assert np.array_equal(out[name], CONTENT[name])
        assert archive.reader.notes or archive.reader.repairs
        assert archive.reader.notes or len(archive) == len(CONTENT)
    return out


def test_an_intact_archive_is_read_as_ever() -> None:
    with Archive(io.BytesIO(whole()), salvage=True) as archive:
        assert archive.reader.notes == ()
        assert list(archive) == list(CONTENT)
        found = archive.reader.salvage("long")
    assert found.lost == ()
    assert np.array_equal(found.picture.array, CONTENT["long"])


@pytest.mark.parametrize("what", ["tail", "index", "head", "cut", "type of the index", "length of the index"])
def test_without_an_index_every_picture_is_there(what: str) -> None:
    index = next(mark for mark in marks() if mark.kind == "INDX")
    data = bytearray(whole())
    at = {"tail": -10, "index": index.at + 20, "head": 9, "type of the index": index.at}.get(what)
    if at is not None:
        data[at] ^= 4
    elif what == "cut":
        del data[index.at + 5 :]
    else:
        data[index.at + 10] ^= 0xFF
    if what != "tail":  # which may still be found by walking
        with pytest.raises(FormatError):
            Archive(io.BytesIO(data))
    assert set(salvaged(bytes(data))) == set(CONTENT)


@pytest.mark.parametrize("place", ["type", "length", "payload"])
def test_a_damaged_section_costs_its_pictures(place: str) -> None:
    without_index = whole()[: next(mark for mark in marks() if mark.kind == "INDX").at]
    for number, mark in enumerate(m for m in marks() if m.kind in ("BTCH", "FILE")):
        data = bytearray(without_index)
        data[mark.at + {"type": 1, "length": 7, "payload": 20}[place]] ^= 16
        missing = set(CONTENT) - set(salvaged(bytes(data)))
        expected = [set(list(CONTENT)[2 * i : 2 * i + 2]) for i in range(3)] + [{"file"}, {"long"}]
        assert missing in expected, number


def test_models_keep_their_numbers(tmp_path: Path) -> None:
    """The first model is damaged. The batches of the second one are still read with the second one."""
    path = tmp_path / "two.bb"
    path.write_bytes(whole())
    with Archive(path, "a", model="thumb", method="learned", threads=1) as archive:
        archive["thumb"] = photo(77)
    data = bytearray(path.read_bytes())
    models = [mark for mark in sections.walk(sections.Source(io.BytesIO(data))) if mark.kind == "MODL"]
    data[models[0].at + 100] ^= 1
    with Archive(io.BytesIO(data[:-20]), salvage=True) as archive:
        assert np.array_equal(archive["thumb"], photo(77))
        assert archive.reader.model_facts(1)[0] == modelfile.load_named("thumb").id


def test_a_damaged_file_is_saved_in_part() -> None:
    mark = [m for m in marks() if m.kind == "FILE"][-1]
    data = bytearray(whole())
    data[mark.end - 400] ^= 1
    with Archive(io.BytesIO(data), salvage=True) as archive, pytest.raises(FormatError):
        archive["long"]
    with Archive(io.BytesIO(data), salvage=True) as archive:
        found = archive.reader.salvage("long")
        with pytest.raises(KeyError):
            archive.reader.salvage("none")
    assert [loss.regions for loss in found.lost if loss.regions] == [((8250, 0, 8250, 2),)]
    assert np.array_equal(found.picture.pixels[:, :8250], CONTENT["long"][:, :8250])
    data = bytearray(whole())
    data[mark.end - 1] ^= 1  # the checksum around an intact file
    with Archive(io.BytesIO(data), salvage=True) as archive:
        found = archive.reader.salvage("long")
    assert [loss.what for loss in found.lost] == ["file"]
    assert np.array_equal(found.picture.pixels, CONTENT["long"])


def test_recover_is_the_deprecated_name_of_salvage() -> None:
    source = sections.Source(io.BytesIO(whole()[:-20]))
    with pytest.warns(DeprecationWarning, match="recover is now salvage"):
        archive = Archive(io.BytesIO(whole()[:-20]), recover=True)
    assert list(archive) == list(CONTENT)
    assert archive.reader.repairs
    with pytest.warns(DeprecationWarning, match="recover is now salvage") as warned:
        assert Reader(source, recover=True).repairs == archive.reader.repairs
    assert warned[0].filename == __file__
    with pytest.raises(FormatError):
        Archive(io.BytesIO(whole()[:-20]), recover=False)


def test_what_is_no_archive_stays_none() -> None:
    for data in (b"", b"x" * 1000, whole()[:16], bbcodec.compress(photo(0))):
        with pytest.raises(FormatError):
            Archive(io.BytesIO(data), salvage=True)


def test_many_lookalikes_take_no_more_than_their_bound() -> None:
    fake = sections.section("BTCH", bytes(100))[:-4] + b"none"
    with pytest.raises(FormatError, match="nothing can be saved"):
        Archive(io.BytesIO(sections.head() + fake * 2000), salvage=True)
