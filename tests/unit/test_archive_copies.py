# SPDX-License-Identifier: Apache-2.0
"""The section COPY: no flipped bit and no lost sector costs an archive what all its pictures depend on."""

from __future__ import annotations

import hashlib
import io
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sectors as sweeps

from bbcodec import modelfile
from bbcodec.archive import Archive, copies, sections
from bbcodec.archive.check import verify
from bbcodec.archive.sections import COPY, FRAME_BYTES, Mark, Source
from bbcodec.errors import FormatError

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference import archive as reference
from reference import wire

GOLDEN = Path(__file__).parents[1] / "golden"
COUNT = 1000


@cache
def thumbnails(kind: str) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return an archive of 1,000 thumbnails of 32 x 32, and its pictures."""
    pictures = sweeps.content(kind, COUNT)
    return sweeps.packed(pictures, threads=2), pictures


def marks(data: bytes) -> list[Mark]:
    return list(sections.walk(Source(io.BytesIO(data))))


def one(data: bytes, kind: str) -> Mark:
    return next(mark for mark in marks(data) if mark.kind == kind)


@pytest.mark.parametrize("kind", ["learned", "mixed"])
def test_any_lost_sector_costs_two_percent_at_most(kind: str) -> None:
    data, pictures = thumbnails(kind)
    last = (len(data) - 1) // sweeps.SECTOR
    index = one(data, "INDX").at // sweeps.SECTOR
    chosen = {0, 1, index - 1, index, index + 1, last - 1, last, *range(5, last, last // 6)}
    for sector in sorted(chosen):
        found = sweeps.saved(sweeps.zeroed(data, sector), data, pictures)
        assert found >= sweeps.MIN_SHARE * COUNT, sector


def test_a_repaired_sector_is_told() -> None:
    data, _ = thumbnails("learned")
    batch = marks(data)[30]
    damaged = bytearray(data)
    damaged[batch.at + 99] ^= 8
    with Archive(io.BytesIO(damaged), salvage=True, preload=False) as archive:
        (repair,) = archive.reader.repairs
        assert repair.endswith(f"damaged sector at byte {(batch.at + 99) // 512 * 512}")
        assert archive.reader.notes == ()
        assert len(archive) == COUNT


@pytest.mark.parametrize("embed", [False, True])
def test_one_flipped_bit_of_the_model_costs_nothing(embed: bool) -> None:
    """The archive is too small for sums of its sectors: the id stands in it a second time."""
    pictures = sweeps.content("learned", 6)
    data = sweeps.packed(pictures, embed_model=embed)
    model = one(data, "MODL")
    for at in (model.at, model.at + 5, model.at + 13, model.at + 40, model.end - 1):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert sweeps.saved(bytes(damaged), data, pictures) == 6, at - model.at


@pytest.mark.parametrize("name", ["archive_auto.bb", "archive_thumb.bb", "archive_latents.bb"])
def test_an_old_archive_without_its_first_sector_or_with_a_wrong_id(name: str) -> None:
    """Nothing tells the model of a batch. The released ones are tried, and the digest says which is right."""
    data = (GOLDEN / name).read_bytes()
    assert not any(mark.kind == COPY for mark in marks(data))
    with Archive(io.BytesIO(data)) as archive:
        pictures = dict(archive.items())
    model = one(data, "MODL")
    wrong_id = bytearray(data)
    wrong_id[model.at + 12 : model.at + 18] = b"wrong!"
    begin = 0 if model.at == sections.HEAD_SIZE else model.at
    gone = data[:begin] + bytes(model.end - begin) + data[model.end :]
    for damaged in (bytes(wrong_id), gone):
        with Archive(io.BytesIO(damaged), salvage=True) as archive:
            found = dict(archive.items())
        assert found.keys() == pictures.keys()
        assert all(np.array_equal(found[key], image) for key, image in pictures.items())


def test_models_that_nobody_has_are_not_guessed_for_ever() -> None:
    pictures = sweeps.content("learned", 30)
    data = bytearray(sweeps.packed(pictures, batch=3))
    model = one(bytes(data), "MODL")
    data[model.at + 12 : model.end] = bytes(model.size + 4)
    copy = one(bytes(data), COPY)
    data[copy.at :] = bytes(len(data) - copy.at)
    batch = one(bytes(data), "BTCH")  # the digest of the first batch is of other pictures
    payload = bytearray(sections.payload(Source(io.BytesIO(data)), batch))
    payload[4] ^= 1
    data[batch.at : batch.end] = sections.section("BTCH", payload)
    with Archive(io.BytesIO(data), salvage=True) as archive:
        failed = [name for name in archive if not readable(archive, name)]
        assert failed == list(pictures)[:3]


def readable(archive: Archive, name: str) -> bool:
    try:
        archive[name]
    except FormatError:
        return False
    return True


def test_the_sums_of_an_appended_archive(tmp_path: Path) -> None:
    data, pictures = thumbnails("mixed")
    path = tmp_path / "a.bb"
    path.write_bytes(data)
    more = {f"more/{i}": sweeps.thumbnail(5000 + i) for i in range(8)}
    with Archive(path, "a", model="thumb", method="learned", verify=False) as archive:
        for name, image in more.items():
            archive[name] = image
    whole = path.read_bytes()
    assert sum(mark.kind == COPY for mark in marks(whole)) == 2
    for at in (40, len(data) - 40, len(whole) - 2000):
        assert sweeps.saved(sweeps.zeroed(whole, at // 512), whole, pictures | more) == COUNT + 8


def test_two_lost_sectors_are_not_taken_for_one() -> None:
    data, pictures = thumbnails("learned")
    damaged = sweeps.zeroed(sweeps.zeroed(data, 100), 2000)
    copy = one(data, COPY)
    sums = copies.unpack(sections.payload(Source(io.BytesIO(data)), copy), copy.at).sums
    assert sums is not None
    assert sums.repair(lambda at, count: damaged[at : at + count], copy.at) is None
    assert sums.repair(lambda at, count: data[at : at + count], copy.at) is None
    assert COUNT - 64 <= sweeps.saved(damaged, data, pictures) < COUNT


def test_what_the_copies_cost_and_that_old_readers_skip_them(tmp_path: Path) -> None:
    data, _ = thumbnails("learned")
    copy = one(data, COPY)
    assert (copy.size + FRAME_BYTES) / len(data) < 0.001
    small = sweeps.packed(sweeps.content("learned", 3))
    assert one(small, COPY).size + FRAME_BYTES < 100
    # The reference knew nothing of the section when it was written, as readers of older versions.
    installed = {
        hashlib.sha256(p.read_bytes()).digest(): p.read_bytes() for p in modelfile.released().values()
    }
    assert list(reference.decode(small, installed)) == list(sweeps.content("learned", 3))
    assert issubclass(wire.Refused, Exception)


def test_a_damaged_copy_is_no_damage_for_readers_but_for_verify() -> None:
    data = bytearray(sweeps.packed(sweeps.content("learned", 3)))
    data[one(bytes(data), COPY).at + 30] ^= 1
    with Archive(io.BytesIO(data)) as archive:
        assert len(list(archive.values())) == 3
        with pytest.raises(FormatError, match="section COPY"):
            list(verify(archive.reader))


@pytest.mark.parametrize("cut", [5, 16, 20, 40])
def test_copies_that_cannot_be(cut: int) -> None:
    data = sweeps.packed(sweeps.content("learned", 3))
    place = one(data, COPY)
    payload = bytes(sections.payload(Source(io.BytesIO(data)), place))
    with pytest.raises(FormatError):
        copies.unpack(payload[:cut], place.at)
    with pytest.raises(FormatError):
        copies.unpack(payload + b"\1" + bytes(cut), place.at)
