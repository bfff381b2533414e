# SPDX-License-Identifier: Apache-2.0
"""Small files that declare or unfold to much, in archives and in salvage: an error, and quickly."""

from __future__ import annotations

import io
import random
from pathlib import Path

import hostile
import numpy as np
import pytest
from typer.testing import CliRunner

import bbcodec
from bbcodec import container, modelfile
from bbcodec.archive import Archive, names, sections, tables
from bbcodec.archive.budget import MIN_PICTURES, Budget
from bbcodec.cli import app
from bbcodec.container import Limits, Section, varint
from bbcodec.errors import BBCodecError, FormatError, LimitError

MIB = 1 << 20


def check(data: bytes, *, seconds: float = 1, memory: int = 100 * MIB) -> None:
    """Read a file or an archive on every path, each in a process of its own, within bounds."""
    for salvage in (False, True):
        found = hostile.cost(data, salvage=salvage)
        assert not found.crash
        assert found.seconds < seconds * SLOW, f"salvage {salvage}"
        assert found.memory < memory, f"salvage {salvage}"


SLOW = 6.0  # times that a busy machine may take longer; tests/fuzz/hostile.py holds the bound itself


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    hostile.warm_up()


def index_of(count: int, packed: bytes, body: bytes = b"") -> bytes:
    """Return an archive whose index names pictures in one section, by their packed names."""
    body = body or hostile.batch(b"\1" + hostile.same_names(1) + hostile.run(1) + b"\1\0")
    table = b"\0\1" + varint(16) + varint(count) + packed + hostile.run(count) + b"\0"
    return hostile.archive(body, table)


# --- indices ----------------------------------------------------------------------------------------------


def test_an_index_of_1363_bytes() -> None:
    """It named 400,000 pictures with names of 4,096 bytes, which took 1.3 GB and 16 s."""
    data = index_of(400_000, hostile.same_names(400_000))
    assert len(data) < 2000
    with pytest.raises(LimitError, match=f"more than {MIN_PICTURES} pictures"):
        Archive(io.BytesIO(data))
    check(data)


def test_an_index_of_1_2_megabytes() -> None:
    """It named millions of pictures with different names, which took 4.3 GB and 87 s."""
    packed = b"".join(
        varint(3) + varint(2) + random.Random(0).randbytes(1).hex().encode() for _ in range(1000)
    )
    packed = varint(0) + varint(5) + b"abc00" + packed * 1500
    data = index_of(1_500_001, packed) + bytes(1_200_000)
    with pytest.raises(BBCodecError):
        Archive(io.BytesIO(data[:-1_200_000]))
    check(data[:-1_200_000])


def test_names_are_bounded_together() -> None:
    data = index_of(60_000, hostile.same_names(60_000), sections.section("BTCH", bytes(60_000)))
    with pytest.raises(LimitError, match=f"more than {64 * MIB} bytes of names"):
        Archive(io.BytesIO(data))
    check(data, memory=150 * MIB)


def test_as_many_pictures_as_bytes_may_have_names() -> None:
    """An archive of pictures of one pixel, and one with long names: what was written stays readable."""
    file = io.BytesIO()
    with Archive(file, "w", model="thumb", method="learned", batch=0, verify=False) as archive:
        for i in range(2000):
            archive[f"{i:04}"] = np.zeros((1, 1), np.uint8)
    assert len(Archive(file)) == 2000
    file = io.BytesIO()
    with Archive(file, "w", method="classic") as archive:
        for i in range(300):
            archive["x" * 4000 + str(i)] = np.zeros((1, 1), np.uint8)
    assert len(Archive(file)) == 300
    assert len(Archive(io.BytesIO(file.getvalue()[:-20]), salvage=True)) == 300


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (varint(10**6) + b"\x10" * 10**6 + b"\0\0", "1000000 models"),
        (b"\2\x10\x10" + b"\0\0", "not in the order"),
        (b"\0" + varint(10**6) + b"\0\0" * 10**6, "1000000 sections"),
        (b"\0\2\x10\0\1\0" + b"\0\1a\0\1b" + hostile.run(2) + b"\0", "expected behind"),
    ],
)
def test_sections_that_do_not_fit_the_file(table: bytes, message: str) -> None:
    data = hostile.archive(hostile.model_section() * 2, table)
    with pytest.raises(FormatError, match=message):
        Archive(io.BytesIO(data))
    check(data)


def test_sections_of_an_index_stand_behind_the_index_before() -> None:
    """Else a chain of indices could name the same sections again and again."""
    data = sections.head()
    table = hostile.deflated(b"\0\1" + varint(16) + b"\0" + b"\0\1a" + hostile.run(1) + b"\0")
    data += sections.section("FILE", b"\1a", bytes(40))
    first = len(data)
    data += sections.section("INDX", varint(0) + table)
    second = len(data)
    data += sections.section("INDX", varint(first) + table)
    with pytest.raises(FormatError, match="expected behind"):
        Archive(io.BytesIO(data + sections.tail(second, len(data))))


def test_batches_are_bounded_together() -> None:
    packed = hostile.same_names(60_000, 100)
    one = hostile.batch(varint(60_000) + packed + hostile.run(60_000) + b"\1\0")
    data = sections.head() + one * 40
    with pytest.raises(LimitError, match="pictures"):
        Archive(io.BytesIO(data), salvage=True)
    check(data, memory=150 * MIB)


def test_metadata_of_a_batch_are_unfolded_once_and_bounded() -> None:
    for seed in range(6):
        check(hostile.metadata_of_batches(random.Random(seed)), memory=200 * MIB)


def test_the_budget() -> None:
    budget = Budget(Limits(max_metadata=100, max_memory=10**6), 50)
    budget.take_table(100)
    budget.take_name(60)
    with pytest.raises(LimitError, match="more than 100 bytes of names"):
        budget.take_name(60)
    with pytest.raises(LimitError, match="more memory than the limit"):
        budget.take_pictures(10_000)
    assert names.MAX_NAME_BYTES == 4096


# --- limits of memory -------------------------------------------------------------------------------------


def test_max_memory_holds_when_an_archive_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    count = 60_000
    data = index_of(count, hostile.long_names(count, 300), sections.section("BTCH", bytes(count)))
    Path("a.bb").write_bytes(data)
    with Archive("a.bb", limits=Limits(max_memory=1 << 30)) as archive:
        assert len(archive) == count
    for salvage in (False, True):
        with pytest.raises(LimitError, match="memory"):
            Archive("a.bb", limits=Limits(max_memory=30 * MIB), salvage=salvage)
    for words in (["unpack"], ["unpack", "--salvage"], ["test"], ["get"], ["info"]):
        more = ["x"] if words == ["get"] else []
        done = CliRunner().invoke(app, [*words, "a.bb", *more, "--max-memory", "30M"])
        assert done.exit_code == 1, words
        assert "memory than the limit" in done.stderr


def test_max_memory_holds_for_regions() -> None:
    file = io.BytesIO()
    with Archive(file, "w", method="classic") as archive:
        archive["a"] = np.zeros((2000, 2000, 3), np.uint8)
    with Archive(file, limits=Limits(max_memory=20 * MIB)) as archive:
        for read in (lambda: archive["a"], lambda: archive.region("a", (0, 0, 5, 5))):
            with pytest.raises(LimitError, match="memory to decode"):
                read()


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGBA", "RGBA;16", "P"])
def test_a_file_of_47_bytes(mode: str) -> None:
    """Salvage filled a picture of a billion pixels with gray: 6.3 GB."""
    data = hostile.file_of(mode, (2**15, 2**15), Section("CLSC", b"\1\2\0"))
    assert len(data) < 50
    with pytest.raises(FormatError, match="nothing can be saved"):
        bbcodec.salvage(data)
    check(data)


@pytest.mark.parametrize("side", [(2**15, 2**15), (1, 2**30), (2**30, 1)])
@pytest.mark.parametrize("model", ["fast", "rvae"])
def test_learned_pictures_of_which_nothing_is_left(side: tuple[int, int], model: str) -> None:
    stored = Section("MODL", bytes.fromhex(modelfile.load_named(model).id))
    chains = Section("CHNS", b"\1" + varint(1024) + varint(8) * 1024 + bytes(8 * 1024))
    data = hostile.file_of("RGB", side, stored, chains)
    check(data)
    check(data[:-1])


def test_tiles_of_which_nothing_is_left() -> None:
    tiles = Section("CLSC", b"\1\1" + varint(0) * 128)
    sums = Section("sums", varint(129) + (varint(130) + bytes(4)) + (varint(0) + bytes(4)) * 128)
    check(hostile.file_of("RGB", (2**15, 2**15), tiles, sums)[:-1])


def test_457000_empty_sections() -> None:
    data = hostile.many_empty_sections(456_976)
    for read in (bbcodec.info, bbcodec.decompress, bbcodec.salvage):
        with pytest.raises(FormatError, match="more than 1000 sections"):
            read(data)
    check(data)
    check(data[:-1])
    good = container.read(bbcodec.compress(np.zeros((2, 2), np.uint8)))
    more = [Section("zz" + a + b, b"") for a in "abcdefghij" for b in "abcdefghij"]
    bbcodec.decompress(container.write(good.header, [*good.sections, *more]))


@pytest.mark.parametrize("kind", ["zzzz", "FILE", "BTCH", "MODL", "COPY"])
def test_457000_empty_sections_of_an_archive(kind: str) -> None:
    data = sections.head() + sections.section(kind) * 100_000
    index = sections.section("INDX", varint(0) + hostile.deflated(b"\0\0\0"))
    check(data + index + sections.tail(len(data), len(data) + len(index)))
    check(data)


@pytest.mark.parametrize("bits", [b"\0", b"\xff", b"\x55"])
@pytest.mark.parametrize("count", [1, 1 << 17, 8_388_000])
def test_large_fits(bits: bytes, count: int) -> None:
    payload = b"\0\0\0\0\0" + varint(count) + bits * ((1 << 20) - 20)
    model = Section("MODL", bytes.fromhex(modelfile.load_named("fast").id))
    chains = Section("CHNS", b"\1\1\10" + bytes(8))
    data = hostile.file_of("RGB", (8, 8), model, Section("FITT", payload), chains)
    for read in (bbcodec.info, bbcodec.decompress):
        with pytest.raises(FormatError):
            read(data)
    check(data)


def test_damaged_types_everywhere() -> None:
    """The next intact section was looked for from every damaged one to the end of the file."""
    good = hostile.file_of("RGB", (9, 9), Section("CLSC", b"\1\2" + bytes(9)))
    check(good[:-1] + b"CLSC\1xCRC." * 50_000)


# --- names on a disk --------------------------------------------------------------------------------------


def test_deep_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders were made by a function that calls itself for each of them."""
    monkeypatch.chdir(tmp_path)
    with Archive("a.bb", "w", method="classic") as archive:
        for name in ("a/" * 2047 + "a", "b/" * 100 + "b", "c"):
            archive[name] = np.zeros((2, 2), np.uint8)
    done = CliRunner().invoke(app, ["unpack", "a.bb", "-o", "out"])
    assert done.exit_code == 1
    assert "2047 folders, at most 200 are made; use get NAME -o FILE" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path("out/c.png").exists()
    assert Path("out/" + "b/" * 100 + "b.png").exists()
    assert CliRunner().invoke(app, ["list", "-l", "a.bb"]).exit_code == 0
    assert CliRunner().invoke(app, ["get", "a.bb", "a/" * 2047 + "a", "-o", "a.png"]).exit_code == 0


# --- the generator ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", hostile.RULES, ids=lambda rule: rule.__name__)
def test_every_rule_of_the_generator(rule: hostile.Rule) -> None:
    data = rule(random.Random(f"a seed of its own for {rule.__name__}"))
    check(data, seconds=hostile.MAX_SECONDS, memory=hostile.MAX_BYTES)
    assert tables.MAX_TABLE_BYTES == 64 * MIB
