# SPDX-License-Identifier: Apache-2.0
"""Archives: what goes in comes out, by name, after any interruption; what is damaged is an error."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec import Archive, modelfile
from bbcodec.archive import plan, sections
from bbcodec.archive.check import describe, verify
from bbcodec.archive.names import check_name
from bbcodec.archive.sections import Source
from bbcodec.errors import BBCodecError, FormatError, LimitError, ModelMissingError, OptionError


def photo(seed: int, height: int = 12, width: int = 14, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 110 + 60 * np.sin(x / 6 + seed) * np.cos(y / 5)
    noise = rng.normal(0, 5, (height, width, channels))
    return np.clip(light[..., None] + noise, 0, 255).astype(np.uint8)


def pictures(count: int = 9) -> dict[str, np.ndarray]:
    return {f"set/{i:02}.png": photo(i, 10 + i % 3) for i in range(count)}


def write(path: Any, content: dict[str, Any], mode: Any = "x", **options: Any) -> None:
    with Archive(path, mode, **{"model": "fast", "batch": 3, "threads": 1} | options) as archive:
        for name, image in content.items():
            archive[name] = image


def check(path: Any, content: dict[str, Any]) -> None:
    with Archive(path) as archive:
        assert list(archive) == list(content)
        for name, image in content.items():
            assert np.array_equal(archive[name], image)
        assert [error for _, error in verify(archive.reader)] == [None] * len(archive.reader.stored)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.bb"


def test_a_mapping_of_what_went_in(path: Path) -> None:
    content = pictures()
    write(path, content)
    check(path, content)
    assert os.listdir(path.parent) == ["a.bb"]
    with Archive(path) as archive:
        assert len(archive) == 9
        assert "set/03.png" in archive
        assert "set/99.png" not in archive
        assert dict(archive.items()).keys() == content.keys()
        with pytest.raises(KeyError):
            archive["set/99.png"]
        entry = archive.entry("set/01.png")
        assert (entry.mode, entry.height, entry.width, entry.samples) == ("RGB", 11, 14, 462)
        assert "9 pictures" in repr(archive)
    with pytest.raises(OptionError, match="closed"):
        archive["set/03.png"]


def test_every_mode_and_its_metadata(path: Path) -> None:
    rng = np.random.default_rng(0)
    palette = Image.fromarray(photo(1)).convert("P")
    tagged = Image.fromarray(photo(2))
    tagged.info.update(
        icc_profile=bytes(range(200)), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", dpi=(72, 96)
    )
    content: dict[str, Any] = {
        "gray": photo(0, channels=1)[:, :, 0],
        "axis": photo(0, channels=1),
        "la": photo(1, channels=2),
        "rgba": photo(2, channels=4),
        "wide": rng.integers(0, 65536, (5, 6), np.uint16),
        "deep": rng.integers(0, 65536, (5, 6, 3), np.uint16),
        "bits": rng.integers(0, 2, (5, 6)).astype(bool),
        "flat": np.full((30, 30, 3), 7, np.uint8),
        "tiny": photo(3, 1, 1),
        "large": photo(4, 300, 310),
        "palette": palette,
        "tagged": tagged,
    }
    write(path, content)
    with Archive(path) as archive:
        for name, image in content.items():
            found = archive.picture(name)
            assert found.same(bbcodec.Picture.of(image)), name
        assert archive["axis"].shape == (12, 14, 1)
        kept = archive.picture("tagged").metadata
        assert kept == bbcodec.Picture.of(tagged).metadata
        assert kept.icc == bytes(range(200))
        assert not archive.picture("rgba").metadata
    write(path, content, "w", keep_metadata=False)
    with Archive(path) as archive:
        assert not archive.picture("tagged").metadata


def test_metadata_are_stored_once_a_batch(path: Path) -> None:
    profile = np.random.default_rng(0).bytes(5000)
    sizes = []
    for count in (1, 6):
        images = {}
        for i in range(count):
            images[str(i)] = Image.fromarray(photo(i))
            images[str(i)].info["icc_profile"] = profile
        write(path, images, "w", batch=0)
        sizes.append(path.stat().st_size)
        with Archive(path) as archive:
            assert all(archive.picture(name).metadata.icc == profile for name in archive)
    assert sizes[1] < sizes[0] + 5 * 1000


def test_flat_pictures_go_the_classic_way_and_photographs_do_not(path: Path) -> None:
    rng = np.random.default_rng(0)
    flat = {f"flat{i}": np.tile(rng.integers(0, 256, (8, 8, 3), np.uint8), (8, 8, 1)) for i in range(4)}
    noisy = {f"photo{i}": photo(i, 40, 40) for i in range(4)}
    write(path, noisy | flat, batch=0)
    check(path, noisy | flat)
    with Archive(path) as archive:
        kinds = {e.name: s.kind for s in archive.reader.stored for e in s.entries}
    assert {name for name, kind in kinds.items() if kind == "BTCH"} == set(noisy)
    write(path, noisy | flat, "w", batch=0, method="learned")
    with Archive(path) as archive:
        assert {s.kind for s in archive.reader.stored} == {"BTCH"}
    write(path, noisy | flat, "w", method="classic", model=None)
    check(path, noisy | flat)
    with Archive(path) as archive:
        assert {s.kind for s in archive.reader.stored} == {"FILE"}
        assert describe(archive.reader)["models"] == []


@pytest.mark.parametrize("batch", [1, 2, 5, 0, None])
def test_batches_have_so_many_pictures(
    path: Path, batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BATCH_PIXELS", 4 * 12 * 14)
    content = {str(i): photo(i) for i in range(7)}
    write(path, content, batch=batch)
    check(path, content)
    with Archive(path) as archive:
        counts = [len(stored.entries) for stored in archive.reader.stored]
    wanted = {1: [1] * 7, 2: [2, 2, 2, 1], 5: [5, 2], 0: [7], None: [4, 3]}
    assert counts == wanted[batch]


def test_one_picture_is_read_without_the_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, pictures())
    reads: list[int] = []
    read = Source.read
    monkeypatch.setattr(Source, "read", lambda self, at, n: reads.append(n) or read(self, at, n))
    with Archive(path) as archive:
        opening = sum(reads)
        assert np.array_equal(archive["set/04.png"], pictures()["set/04.png"])
        first = sum(reads)
        archive["set/05.png"]  # of the same batch
        assert sum(reads) == first
    assert opening < 300
    assert first - opening < path.stat().st_size / 2


def test_threads_change_nothing(tmp_path: Path) -> None:
    content = pictures(20) | {"large": photo(1, 120, 90), "gray": photo(0, channels=1)}
    for threads in (1, 3):
        write(tmp_path / str(threads), content, threads=threads)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()


def test_families_with_tiles(path: Path) -> None:
    content = {str(i): photo(i, 20, 20) for i in range(4)} | {"wider than a tile": photo(9, 20, 150)}
    write(path, content, model="flowpp", method="learned", batch=0)
    check(path, content)
    with Archive(path) as archive:
        assert [len(s.entries) for s in archive.reader.stored] == [1, 4]


# --- appending, and other ways to write -------------------------------------------------------------------


def test_append(path: Path) -> None:
    write(path, pictures(4))
    before = path.read_bytes()
    more = {f"more{i}": photo(i + 50) for i in range(4)}
    write(path, more, "a")
    check(path, pictures(4) | more)
    assert path.read_bytes().startswith(before)
    with Archive(path) as archive:
        assert len(archive.reader.models) == 1
    write(path, {"thumb": photo(99)}, "a", model="thumb", method="learned")
    check(path, pictures(4) | more | {"thumb": photo(99)})
    with Archive(path) as archive:
        assert len(archive.reader.models) == 2


def test_many_appends_are_gathered_in_one_index(path: Path) -> None:
    content = {}
    links = set()
    for i in range(20):
        one = {str(i): photo(i)}
        write(path, one, "a")
        content |= one
        with Archive(path) as archive:
            links.add(len(archive.reader.indices))
    check(path, content)
    assert max(links) == 8


def test_appending_nothing_changes_nothing(path: Path) -> None:
    write(path, pictures(2))
    before = path.read_bytes()
    write(path, {}, "a")
    assert path.read_bytes() == before


def test_an_empty_archive(path: Path) -> None:
    write(path, {})
    check(path, {})
    write(path, pictures(1), "a")
    check(path, pictures(1))


def test_names_are_there_once(path: Path) -> None:
    with Archive(path, "x", model="fast") as archive:
        archive["a"] = photo(0)
        with pytest.raises(OptionError, match="already"):
            archive["a"] = photo(1)
        archive.abandon()
    write(path, {"a": photo(0)})
    with pytest.raises(OptionError, match="already"):
        write(path, {"a": photo(1)}, "a")
    check(path, {"a": photo(0)})


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "a/../b", "a\0b", "a/.", "\ud800", "x" * 4097])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(OptionError, match="name"):
        check_name(name)


def test_names_of_all_kinds(path: Path) -> None:
    content = {name: photo(i) for i, name in enumerate(["é/ü.png", " ", "a\nb", "...", "日本/1", "x" * 4096])}
    write(path, content)
    check(path, content)


def test_modes_of_opening(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Archive(path)
    with pytest.raises(OptionError, match="mode"):
        Archive(path, "rb")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="batch"):
        Archive(path, "x", batch=-1)
    write(path, pictures(1))
    with pytest.raises(FileExistsError):
        Archive(path, "x")
    write(path, pictures(2), "w")
    check(path, pictures(2))
    with Archive(path) as archive, pytest.raises(OptionError, match="writing"):
        archive["b"] = photo(1)  # type: ignore[index]


def test_file_objects(tmp_path: Path) -> None:
    file = io.BytesIO()
    write(file, pictures(4), "w")
    check(file, pictures(4))
    write(tmp_path / "b", pictures(4))
    assert (tmp_path / "b").read_bytes() == file.getvalue()
    with pytest.raises(OptionError, match="path"):
        Archive(file, "a")


def test_reading_archives_travel_to_other_processes(path: Path) -> None:
    write(path, pictures(2))
    with Archive(path) as archive:
        again = pickle.loads(pickle.dumps(archive))
        assert np.array_equal(again["set/01.png"], archive["set/01.png"])
        again.close()
    with Archive(path, "a", model="fast") as archive, pytest.raises(TypeError):
        pickle.dumps(archive)


def test_regions(path: Path) -> None:
    content = {"small": photo(1), "large": photo(2, 200, 340)}
    write(path, content)
    with Archive(path) as archive:
        for name, image in content.items():
            assert np.array_equal(archive.region(name, (3, 2, 5, 7)), image[2:9, 3:8])
            with pytest.raises(OptionError, match="region"):
                archive.region(name, (0, 0, 1000, 1))


# --- what callers and processes share ---------------------------------------------------------------------


def test_what_a_caller_alters_stays_with_the_caller(path: Path) -> None:
    content: dict[str, Any] = {"small": photo(1), "gray": photo(2, channels=1), "large": photo(3, 200, 340)}
    write(path, content)
    window = (1, 2, 6, 5)
    with Archive(path) as archive:
        for name, image in content.items():
            part = image[2:7, 1:7]
            for _ in range(2):
                for found, expected in (
                    (archive[name], image),
                    (archive.picture(name).pixels, image[:, :, 0] if name == "gray" else image),
                    (archive.region(name, window), part),
                    (dict(archive.items())[name], image),
                    (next(v for n, v in zip(archive, archive.values(), strict=True) if n == name), image),
                ):
                    assert np.array_equal(found, expected)
                    found += 1
            saved = archive.reader.salvage(name).picture.pixels
            assert not saved.flags.writeable


def _read_many(content: dict[str, Any], archive: Any, wrong: Any) -> None:
    rng = np.random.default_rng(os.getpid())
    for name in rng.permutation(list(content) * 4):
        archive.reader._cache.clear()
        try:
            same = np.array_equal(archive[name], content[name])
        except BBCodecError:
            same = False
        if not same:
            with wrong.get_lock():
                wrong.value += 1


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("opened", ["path", "file", "file for update"])
def test_forked_processes_read_the_same_open_archive(path: Path, opened: str) -> None:
    """A forked process shares the position of the file with its parent: nobody may depend on it."""
    content = {str(i): np.full((2, 3 + i % 3), i, np.uint8) for i in range(100)}
    write(path, content, method="classic")
    context = multiprocessing.get_context("fork")
    wrong = context.Value("i", 0)
    with contextlib.ExitStack() as stack:
        modes = {"file": "rb", "file for update": "r+b"}
        file: Any = stack.enter_context(open(path, modes[opened])) if opened in modes else path
        archive = stack.enter_context(Archive(file, threads=1))
        given = (content, archive, wrong)
        workers = [context.Process(target=_read_many, args=given) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert wrong.value == 0


# --- models -----------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model that is not a released one."""
    model = modelfile.load_named("fast")
    path = tmp_path / "own.bbm"
    path.write_bytes(
        modelfile.dump(model.family, model.config, model.graph, model.tensors, notes={"name": "own"})
    )
    return path


def test_models_that_are_not_released_travel_along(path: Path, own: Path) -> None:
    content = pictures(4) | {"large": photo(0, 260, 260)}
    write(path, content, model=own)
    own.unlink()
    check(path, content)
    with Archive(path) as archive:
        (model,) = describe(archive.reader)["models"]
    assert 100 < model["embedded_bytes"] < 1000  # as changes of the released one
    write(path, content, "w", model="fast", embed_model=True)
    with Archive(path) as archive:
        (model,) = describe(archive.reader)["models"]
    assert model["embedded_bytes"] > 10_000


def test_models_that_do_not_travel_along_are_asked_for(path: Path, own: Path) -> None:
    content = pictures(4) | {"large": photo(0, 260, 260)}
    write(path, content, model=own, embed_model=False)
    with Archive(path) as archive:
        for name in ("set/00.png", "large"):
            with pytest.raises(ModelMissingError, match=modelfile.load_named(own).id):
                archive[name]
    with Archive(path, model=own) as archive:
        for name, image in content.items():
            assert np.array_equal(archive[name], image)
    write(path, {"more": photo(77)}, "a", model=own, embed_model=True)
    with Archive(path) as archive:
        assert np.array_equal(archive["more"], photo(77))


# --- interruptions ----------------------------------------------------------------------------------------


class _Stop(BaseException):
    """Something that ends a writer in the middle."""


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the n-th write fail after half of its bytes."""
    write_bytes = os.write
    left = [1 << 30]

    def limited(descriptor: int, data: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise _Stop
        if left[0] == 0:
            write_bytes(descriptor, memoryview(data)[: len(data) // 2])
            raise _Stop
        return write_bytes(descriptor, data)

    monkeypatch.setattr("bbcodec.archive.output.os.write", limited)
    return lambda n: left.__setitem__(0, n)


@pytest.mark.parametrize("old", [None, 5])
def test_whatever_write_is_interrupted_nothing_is_lost(
    path: Path, stops: Callable[[int], None], old: int | None
) -> None:
    content = {f"new{i}": photo(i + 20, 9 + i % 2) for i in range(7)} | {"large": photo(0, 180, 200)}
    whole = path.with_name("whole.bb")
    for target in (path, whole):
        if old:
            write(target, pictures(old))
    write(whole, content, "a", threads=2)
    before = path.read_bytes() if old else None
    for n in range(1, 40):
        stops(n)
        try:
            write(path, content, "a")
        except _Stop:
            if before is None:
                assert not path.exists()
            else:
                assert path.read_bytes().startswith(before)
                check(path, pictures(5))
        else:
            break
    assert n > 3  # each run gets further, on what was left by the one before
    assert path.read_bytes() == whole.read_bytes()
    check(path, (pictures(old) if old else {}) | content)
    assert sorted(os.listdir(path.parent)) == ["a.bb", "whole.bb"]


def test_what_an_interrupted_writer_left_is_taken_over_only_if_it_is_the_same(
    path: Path, stops: Callable[[int], None]
) -> None:
    content = {str(i): photo(i) for i in range(9)}
    stops(5)
    with pytest.raises(_Stop):
        write(path, content)
    stops(1 << 30)
    part = Path(f"{path}.part").read_bytes()
    changed = content | {"4": photo(99)}
    tagged = Image.fromarray(content["1"])
    tagged.info["dpi"] = (10.0, 10.0)
    for other, adopted in ((content, 6), (changed, 3), (content | {"1": tagged}, 0)):
        Path(f"{path}.part").write_bytes(part)
        with Archive(path, "w", model="fast", batch=3, threads=1) as archive:
            for name, image in other.items():
                archive[name] = image
        assert archive.adopted == adopted
        with Archive(path) as archive:
            for name, image in other.items():
                assert np.array_equal(archive[name], np.asarray(image))
    Path(f"{path}.part").write_bytes(part)
    write(path, content, "w", model="thumb", method="learned")
    check(path, content)


def test_a_file_in_the_way_is_left_alone(path: Path) -> None:
    Path(f"{path}.part").write_bytes(b"something else")
    with pytest.raises(BBCodecError, match="in the way"):
        write(path, pictures(1))
    assert Path(f"{path}.part").read_bytes() == b"something else"


def _hold(path: Path, ready: Any, done: Any) -> None:
    with Archive(path, "a", method="classic"):
        ready.set()
        done.wait(20)


def test_two_writers_at_a_time_are_one_too_many(path: Path) -> None:
    write(path, pictures(1))
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, ready, done))
    process.start()
    try:
        assert ready.wait(20)
        with pytest.raises(BBCodecError, match="another process"):
            write(path, pictures(2), "a")
        check(path, pictures(1))  # reading goes on
    finally:
        done.set()
        process.join()
    assert process.exitcode == 0


# --- damage -----------------------------------------------------------------------------------------------


def test_damage_costs_the_pictures_of_one_batch(path: Path) -> None:
    content = pictures(9)
    write(path, content)
    whole = path.read_bytes()
    with Archive(path) as archive:
        stored = archive.reader.stored
    data = bytearray(whole)
    data[stored[1].at + 60] ^= 4
    path.write_bytes(data)
    with Archive(path) as archive:
        for name, image in content.items():
            if name in {entry.name for entry in stored[1].entries}:
                with pytest.raises(FormatError, match="checksum of section BTCH"):
                    archive[name]
            else:
                assert np.array_equal(archive[name], image)
        assert [error is None for _, error in verify(archive.reader)] == [True, False, True]


def test_any_flipped_bit_is_an_error_or_changes_nothing(path: Path) -> None:
    content = {"a": photo(0), "b": photo(1), "c": np.zeros((5, 5, 4), np.uint8)}
    write(path, content, batch=2)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    sensitive = [*range(32), *range(len(whole) - 120, len(whole)), *rng.integers(0, len(whole), 60)]
    for position in sensitive:
        data = bytearray(whole)
        data[position] ^= 1 << int(rng.integers(8))
        wrong = 0
        try:
            with Archive(io.BytesIO(data)) as archive:
                for name, image in content.items():
                    try:
                        assert np.array_equal(archive[name], image)
                    except (FormatError, KeyError):
                        wrong += 1
                wrong += any(error for _, error in verify(archive.reader))
        except (FormatError, ModelMissingError):
            wrong += 1
        assert wrong or position >= len(whole) - sections.TAIL_SIZE


def test_cut_archives_are_errors(path: Path) -> None:
    write(path, pictures(3))
    whole = path.read_bytes()
    for size in (0, 1, 8, 15, 16, 40, len(whole) - 1):
        with pytest.raises(FormatError):
            Archive(io.BytesIO(whole[:size]))


def test_what_is_behind_the_end_does_no_harm(path: Path) -> None:
    write(path, pictures(3))
    whole = path.read_bytes()
    for more in (b"x", whole[16:200], bytes(100)):
        path.write_bytes(whole + more)
        check(path, pictures(3))
        with Archive(path) as archive:
            assert describe(archive.reader)["unfinished_bytes"] == len(more)
    write(path, {"more": photo(8)}, "a")
    check(path, pictures(3) | {"more": photo(8)})
    with Archive(path) as archive:
        assert describe(archive.reader)["unfinished_bytes"] == 0


def test_limits(path: Path) -> None:
    write(path, {"a": photo(0), "b": photo(1, 300, 300)})
    with Archive(path, limits=100) as archive:
        for name in archive:
            with pytest.raises(LimitError):
                archive[name]


def test_an_archive_is_not_a_picture(path: Path) -> None:
    write(path, pictures(1))
    with pytest.raises(FormatError, match="archive"):
        bbcodec.decompress(path.read_bytes())
    with pytest.raises(FormatError, match="not an archive"):
        Archive(io.BytesIO(bbcodec.compress(photo(0))))
