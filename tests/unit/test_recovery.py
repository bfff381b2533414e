# SPDX-License-Identifier: Apache-2.0
"""Recovery data: lost sectors come back, whatever sectors they are, up to the promised share."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sectors as sweeps
from PIL import Image
from typer.testing import CliRunner

import bbcodec
from bbcodec import Archive, container
from bbcodec.archive import mend
from bbcodec.archive.check import verify
from bbcodec.archive.sections import Source
from bbcodec.bbfile import recovery_section
from bbcodec.cli import app
from bbcodec.container import erasure, recovery
from bbcodec.container.erasure import Code
from bbcodec.container.recovery import SECTOR, Layout
from bbcodec.errors import FormatError, OptionError

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference import recovery as reference

RNG = np.random.default_rng(0)


def rows(count: int, words: int = 7) -> np.ndarray:
    return RNG.integers(0, 65536, (count, words)).astype(np.uint16)


# --- the code ---------------------------------------------------------------------------------------------


def test_the_field_and_its_points() -> None:
    table = erasure.points()
    assert len(set(table.omega.tolist())) == 65536
    basis = [int(table.omega[1 << bit]) for bit in range(16)]
    assert basis[:5] == [1, 0x15E, 0x1A, 0x1CF2, 0x169A]
    one = table.times(np.arange(65536, dtype=np.uint16), table.log[1:2])
    assert np.array_equal(one, np.arange(65536))
    assert table.times(np.array([0x8000], np.uint16), table.log[2:3])[0] == 0x100B
    for bit in range(1, 16):
        square = table.times(np.array(basis[bit : bit + 1], np.uint16), table.log[basis[bit]][None])[0]
        assert int(square) ^ basis[bit] == basis[bit - 1]


@pytest.mark.parametrize(
    ("data", "parity"), [(1, 1), (1, 2), (2, 1), (7, 3), (100, 17), (513, 64), (900, 65)]
)
def test_any_rows_come_back(data: int, parity: int) -> None:
    code, content = Code(data, parity), rows(data)
    whole = np.concatenate([code.encode(content), content])
    assert np.array_equal(code.encode(content, threads=3), whole[:parity])
    for count in {1, min(data, parity), parity}:
        lost = np.zeros(len(whole), bool)
        lost[RNG.choice(len(whole), count, replace=False)] = True
        found = whole.copy()
        found[lost] = rows(count)
        code.recover(found, lost)
        assert np.array_equal(found, whole)
    with pytest.raises(ValueError, match="are lost"):
        code.recover(whole, np.arange(len(whole)) <= parity)


def test_codes_that_cannot_be() -> None:
    for data, parity in ((0, 1), (1, 0), (65536, 1), (40000, 20000)):
        with pytest.raises(ValueError, match="no code"):
            Code(data, parity)


# --- the layout -------------------------------------------------------------------------------------------


def covered(size: int, percent: float, lead: int = 9, start: int = 0) -> tuple[bytes, Layout]:
    """Return a file of noise with recovery data behind it."""
    content = RNG.bytes(size)
    layout = recovery.plan(start, size, recovery.check_percent(percent))
    payload = recovery.make(lambda at, count: content[at : at + count], layout, lead)
    return content + b"l" * lead + payload + b"end", layout


def repaired(data: bytes, layout: Layout, lost: Iterable[int]) -> bytes | None:
    """Return the covered bytes of a file without some sectors after a repair; None if not all came back."""
    damaged = bytearray(data)
    for sector in lost:
        part = slice(SECTOR * sector, SECTOR * (sector + 1))
        damaged[part] = bytes(len(damaged[part]))

    def read(at: int, count: int) -> bytes:
        return bytes(damaged[at : at + count])

    (found,) = recovery.find(read, len(damaged))
    assert found.layout == layout
    fixed = recovery.repair(read, found)
    for at, sector in fixed.sectors.items():
        damaged[at : at + len(sector)] = sector
    return None if fixed.lost else bytes(damaged[: layout.end])


@pytest.mark.parametrize("size", [1, 511, 512, 513, 3000, 100_001])
@pytest.mark.parametrize("lead", [5, 12])
def test_every_single_sector(size: int, lead: int) -> None:
    data, layout = covered(size, 5, lead)
    for sector in range(-(-len(data) // SECTOR)):
        assert repaired(data, layout, [sector]) == data[:size]


@pytest.mark.parametrize("percent", [0.5, 5, 20, 50])
def test_scattered_and_contiguous_damage_up_to_the_share(percent: float) -> None:
    data, layout = covered(400_000, percent)
    count = -(-len(data) // SECTOR)
    most = int(count * percent / 100)
    damages = [RNG.choice(count, most, replace=False) for _ in range(2)]
    damages += [range(0, count, -(-count // most)), range(most), range(count - most, count)]
    damages += [range(at, at + most) for at in RNG.integers(0, count - most, 2)]
    for lost in damages:
        assert repaired(data, layout, lost) == data[: layout.end]


def test_several_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files over some 26 MB are dealt out to groups; here they are as small as they can be."""
    monkeypatch.setattr(recovery, "MAX_ROWS", 1 << 10)
    monkeypatch.setattr(recovery, "_MAX_MAP_ROWS", 16)
    data, layout = covered(1_200_000, 5)
    assert layout.groups > 2
    assert layout.maps > 16
    every = [set(layout.members(group, layout.rows).tolist()) for group in range(layout.groups)]
    assert set.union(*every) >= set(range(layout.sectors))
    assert sum(map(len, every)) == layout.rows * layout.groups
    count = -(-len(data) // SECTOR)
    most = count // 20
    for lost in (
        RNG.choice(count, most, replace=False),
        range(0, count, 20),
        range(1000, 1000 + most),
        range(count - most, count),
    ):
        assert repaired(data, layout, lost) == data[: layout.end]
    with_threads = recovery.make(lambda at, n: data[at : min(at + n, layout.end)], layout, 9, threads=3)
    assert with_threads in data


def test_too_much_damage_is_told_and_the_rest_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    data, layout = covered(100_000, 5)
    assert repaired(data, layout, range(layout.parity + 1)) is None
    monkeypatch.setattr(recovery, "MAX_ROWS", 1 << 9)
    data, layout = covered(400_000, 5)
    damaged = bytearray(data)
    for sector in [*layout.members(0, layout.rows)[: layout.parity + 1].tolist(), layout.members(1, 9)[8]]:
        damaged[SECTOR * sector : SECTOR * (sector + 1)] = bytes(SECTOR)
    (found,) = recovery.find(lambda at, n: bytes(damaged[at : at + n]), len(damaged))
    fixed = recovery.repair(lambda at, n: bytes(damaged[at : at + n]), found)
    assert len(fixed.sectors) == 1
    assert len(fixed.lost) == layout.parity + 1
    assert "more cannot be repaired" in str(fixed)


def test_maps_that_describe_nothing_sound_are_left_alone() -> None:
    layout = covered(3000, 5)[1]
    at = layout.front(9)
    for number, groups, parity, end in (
        (0, 2**31, 2**31, 3000),
        (0, 1, 65000, 3000),
        (9, 1, 2, 3000),
        (0, 1, 2, 1),
    ):
        fake = Layout(0, end, 500, groups, parity)
        body = fake.head(number) + bytes(468)
        sector = body + recovery.zlib.crc32(body).to_bytes(4, "little")
        found = recovery.find(lambda a, n, s=sector: (bytes(at) + s)[a : a + n], at + SECTOR)
        assert found == []


@pytest.mark.parametrize("percent", [-1, 0, 0.001, 50.1, float("nan"), float("inf")])
def test_shares_that_cannot_be(percent: float) -> None:
    with pytest.raises(OptionError, match="recovery is"):
        recovery.check_percent(percent)
    if percent:
        with pytest.raises(OptionError, match="recovery is"):
            bbcodec.compress(np.zeros((2, 2), np.uint8), recovery=percent)
        with pytest.raises(OptionError, match="recovery is"):
            Archive(io.BytesIO(), "w", recovery=percent)


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"method": "classic"}, {"method": "learned", "model": "fast"}])
def test_a_file_with_recovery_data(options: dict[str, Any]) -> None:
    image = sweeps.thumbnail(1, 100)
    plain = bbcodec.compress(image, **options)
    data = bbcodec.compress(image, recovery=5, **options)
    info = bbcodec.info(data)
    assert info.format_version == "1.2"
    assert info.sections[-1]["type"] == container.RECOVERY
    assert len(data) < 1.08 * len(plain) + 4 * SECTOR
    assert np.array_equal(bbcodec.decompress(data), image)
    assert bbcodec.salvage(data).repaired == ()
    for sector in range(-(-len(data) // SECTOR)):
        found = bbcodec.salvage(sweeps.zeroed(data, sector))
        assert found.lost == ()
        assert found.repaired
        assert np.array_equal(found.picture.array, image)
        mended = recovery_section.mend(sweeps.zeroed(data, sector))
        assert mended is not None
        assert mended.data == data
    cut = bbcodec.salvage(data[:-700])
    assert cut.lost == ()
    assert cut.repaired == ("only the recovery data are damaged",)
    assert bbcodec.compress(image, recovery=0, **options) == plain


def test_a_file_with_too_much_damage_is_salvaged_as_ever() -> None:
    image = np.random.default_rng(0).integers(0, 9, (2, 16500, 3)).astype(np.uint8)
    data = bytearray(bbcodec.compress(image, recovery=1))
    for at in range(100, 5000, 600):
        data[at] ^= 1
    found = bbcodec.salvage(bytes(data))
    assert "cannot be repaired" in found.repaired[0]
    assert found.lost


# --- archives ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archived() -> tuple[bytes, dict[str, np.ndarray]]:
    pictures = sweeps.content("mixed", 120)
    return sweeps.packed(pictures, recovery=5), pictures


def test_every_sector_of_an_archive(archived: tuple[bytes, dict[str, np.ndarray]]) -> None:
    data, pictures = archived
    plain = sweeps.packed(pictures, recovery=0)
    assert len(data) < 1.09 * len(plain)
    for sector, found in sweeps.sweep(data, pictures, every=7):
        assert found == len(pictures), sector


def test_five_percent_of_an_archive(archived: tuple[bytes, dict[str, np.ndarray]]) -> None:
    data, pictures = archived
    count = -(-len(data) // SECTOR)
    for lost in (
        range(count // 20),
        range(count - count // 20, count),
        RNG.choice(count, count // 20, False),
    ):
        damaged = data
        for sector in lost:
            damaged = sweeps.zeroed(damaged, sector)
        with Archive(io.BytesIO(damaged), salvage=True) as archive:
            assert all(np.array_equal(archive[name], image) for name, image in pictures.items())
            assert archive.reader.notes == ()
            assert archive.reader.repairs


def test_appended_archives_keep_their_share(tmp_path: Path) -> None:
    path = tmp_path / "a.bb"
    pictures = sweeps.content("learned", 40)
    parts = [dict(list(pictures.items())[i : i + 10]) for i in range(0, 40, 10)]
    for part, recovery_share in zip(parts, (None, 5, None, 0), strict=True):
        with Archive(path, "a", model="fast", recovery=recovery_share) as archive:
            for name, image in part.items():
                archive[name] = image
        with Archive(path) as archive:
            layout = mend.last_recovery(archive.reader.source, archive.reader.end)
            assert [error for _, error in verify(archive.reader) if error] == []
        assert (layout.percent if layout else 0) == {None: 0, 5: 500, 0: 0}[recovery_share] or len(
            archive
        ) == 30
    data = path.read_bytes()
    layouts = [one.layout for one in recovery.find(lambda at, n: data[at : at + n], len(data))]
    assert len(layouts) == 2
    assert layouts[0].start == 0
    assert layouts[1].start > layouts[0].end
    for sector in (0, 20, layouts[1].start // SECTOR + 3, layouts[1].end // SECTOR - 3):
        assert sweeps.saved(sweeps.zeroed(data, sector), data, pictures) == 40


def test_a_stream_has_the_same_bytes(tmp_path: Path, archived: tuple[bytes, dict[str, np.ndarray]]) -> None:
    data, pictures = archived
    path = tmp_path / "a.bb"
    with Archive(path, "w", model="fast", verify=False, recovery=5, threads=2) as archive:
        for name, image in pictures.items():
            archive[name] = image
    assert path.read_bytes() == data
    with path.open("rb") as file:
        assert mend.scan(Source(file)).is_sound


# --- the second decoder -----------------------------------------------------------------------------------


def test_the_reference_repairs_the_same(archived: tuple[bytes, dict[str, np.ndarray]]) -> None:
    image = sweeps.thumbnail(1, 100)
    for data in (bbcodec.compress(image, recovery=5), archived[0]):
        count = -(-len(data) // SECTOR)
        for lost in (range(0), range(3), RNG.choice(count, count // 20, replace=False), [count - 2]):
            damaged = data
            for sector in lost:
                damaged = sweeps.zeroed(damaged, int(sector))
            (layout,) = reference.find(damaged)
            assert reference.repaired(damaged)[: layout.end] == data[: layout.end]


def test_the_reference_knows_several_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MAX_ROWS", 1 << 8)
    data, layout = covered(150_000, 5)
    assert layout.groups > 1
    damaged = bytearray(data)
    for sector in range(40, 50):
        damaged[SECTOR * sector : SECTOR * (sector + 1)] = bytes(SECTOR)
    assert reference.repaired(bytes(damaged))[: layout.end] == data[: layout.end]
    assert reference.repaired(data) == data


# --- the command line -------------------------------------------------------------------------------------


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, words)


def test_the_option_and_what_it_repairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = {f"{i}.png": sweeps.thumbnail(i, 90) for i in range(3)}
    Path("in").mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(f"in/{name}")
    assert invoke("compress", "--recovery", "5", "in/0.png", "-o", "0.bb").exit_code == 0
    assert invoke("pack", "--recovery", "5", "in", "-o", "a.bb").exit_code == 0
    for name in ("0.bb", "a.bb"):
        assert invoke("test", name).exit_code == 0
        data = Path(name).read_bytes()
        Path(name).write_bytes(sweeps.zeroed(sweeps.zeroed(data, 0), len(data) // SECTOR // 2))
    done = invoke("test", "0.bb")
    assert done.exit_code == 1
    assert "its recovery data can repair it: use --salvage" in done.stderr
    done = invoke("test", "a.bb")
    assert done.exit_code == 1
    assert "unpack --salvage" in done.stderr
    assert invoke("decompress", "0.bb").exit_code == 1
    done = invoke("decompress", "--salvage", "0.bb", "--json")
    assert done.exit_code == 0
    assert "recovery data repair 2 damaged sectors" in done.stderr
    assert '"repaired"' in done.stdout
    assert np.array_equal(np.asarray(Image.open("0.png")), images["0.png"])
    done = invoke("unpack", "--salvage", "a.bb", "-o", "out")
    assert done.exit_code == 0
    assert "recovery data repair 2 damaged sectors" in done.stderr
    for name, image in images.items():
        assert np.array_equal(np.asarray(Image.open(f"out/{name}")), image)
    for wrong in ("60", "-1", "x"):
        assert invoke("compress", "--recovery", wrong, "in/1.png").exit_code == 2
    with pytest.raises(FormatError):
        Archive("a.bb")
