# SPDX-License-Identifier: Apache-2.0
"""Names and places: what is a URL, and files that appear whole wherever they are."""

from __future__ import annotations

import os
import pickle
import sys
import uuid
from pathlib import Path

import pytest

from bbcodec.errors import OptionError
from bbcodec.storage import Storage, base, folder_of, identity, is_url, join, local_path


@pytest.mark.parametrize(
    "name", ["photo.png", "a:b", "C:\\photo.png", "C://photo.png", "/a//b", "./s3://a", "::", ""]
)
def test_a_path_is_no_url(name: str) -> None:
    assert not is_url(name)
    assert local_path(name) == name


@pytest.mark.parametrize(
    ("url", "folder", "last"),
    [
        ("s3://bucket/a/b.png", "s3://bucket/a", "b.png"),
        ("memory://b.png", "memory://", "b.png"),
        ("https://host/a/b.png?size=1#x", "https://host/a?size=1#x", "b.png"),
        ("simplecache::gs://bucket/b.png", "simplecache::gs://bucket", "b.png"),
        ("zip://a/b.png::s3://bucket/c.zip", "zip://a::s3://bucket/c.zip", "b.png"),
        ("file:///a/b#1.png", "file:///a", "b#1.png"),
    ],
)
def test_parts_of_urls(url: str, folder: str, last: str) -> None:
    assert is_url(url)
    assert (folder_of(url), base(url)) == (folder, last)
    assert join(folder, last) == url


def test_parts_of_paths() -> None:
    assert join("a", "b/c.png") == os.path.join("a", "b/c.png")
    assert (folder_of("b.png"), base("a/b.png")) == ("", "b.png")


def test_files_of_this_machine_need_no_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)  # an import of it fails
    name = f"file://{tmp_path}/x.bin"
    assert identity(name) == identity(f"{tmp_path}/../{tmp_path.name}/x.bin")
    with Storage().write(name, overwrite=False) as file:
        file.write(b"abc")
    assert (tmp_path / "x.bin").read_bytes() == Storage().read(name) == b"abc"
    assert Storage().same(name, str(tmp_path / "x.bin"))
    with pytest.raises(OptionError, match=r"s3://a/b: a URL needs fsspec: pip install 'bbcodec\[remote\]'"):
        Storage().read("s3://a/b")


def test_files_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z", "b/y", "b/c/x"):
        (tmp_path / name).write_bytes(b"")
    assert Storage().files(str(tmp_path)) == ["b/c/x", "b/y", "z"]


@pytest.fixture(params=["memory", "chained"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder behind a URL: an object store, or a file system that renames."""
    pytest.importorskip("fsspec", reason="the extra remote is not installed")
    return (
        f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"simplecache::file://{tmp_path}/in"
    )


def test_everything_behind_a_url(place: str) -> None:
    storage = pickle.loads(pickle.dumps(Storage({})))
    storage.make_folder(join(place, "deep/er"))
    for name in ("x.bin", "deep/er/y.bin"):
        assert not storage.exists(join(place, name))
        with storage.write(join(place, name), overwrite=False) as file:
            file.write(name.encode())
        assert storage.exists(join(place, name))
        assert storage.read(join(place, name)) == name.encode()
    assert storage.files(place) == ["deep/er/y.bin", "x.bin"]  # and no temporary names
    assert storage.is_folder(place)
    assert not storage.is_folder(join(place, "x.bin"))
    opened, size = storage.source(join(place, "x.bin"))
    assert not isinstance(opened, str)
    assert (opened.read(), size) == (b"x.bin", 5)
    storage.remove(join(place, "x.bin"))
    assert not storage.exists(join(place, "x.bin"))


def test_a_file_behind_a_url_appears_whole_or_not_at_all(place: str) -> None:
    storage, name = Storage(), join(place, "x.bin")
    storage.make_folder(place)

    def broken() -> None:
        with storage.write(name, overwrite=False) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert not storage.exists(name)
    with storage.write(name, overwrite=False) as file:
        file.write(b"old")
    with pytest.raises(FileExistsError), storage.write(name, overwrite=False) as file:
        pytest.fail("seen before the block")
    with storage.write(name, overwrite=True) as file:
        file.write(b"new")
        assert Storage().read(name) == b"old"
    assert storage.files(place) == ["x.bin"]


def test_a_name_that_is_taken_meanwhile(place: str) -> None:
    storage, name = Storage(), join(place, "x.bin")
    storage.make_folder(place)

    def late() -> None:
        with storage.write(name, overwrite=False) as file:
            file.write(b"late")
            with storage.write(name, overwrite=False) as other:
                other.write(b"early")

    with pytest.raises(FileExistsError):
        late()
    assert storage.files(place) == ["x.bin"]
    assert storage.read(name) == b"early"


def test_a_failed_move_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = pytest.importorskip("fsspec.implementations.local", reason="the extra remote is not installed")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("of the library of some provider")

    monkeypatch.setattr(local.LocalFileSystem, "mv", broken)
    name = f"simplecache::file://{tmp_path}/x.bin"
    with (
        pytest.raises(OSError, match="of the library of some provider") as caught,
        Storage().write(name, overwrite=True) as file,
    ):
        file.write(b"x")
    assert caught.value.filename == name
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_url() -> None:
    pytest.importorskip("fsspec", reason="the extra remote is not installed")
    with pytest.raises(FileNotFoundError) as missing:
        Storage().read("memory://no/such/file")
    assert (missing.value.filename, missing.value.strerror) == ("memory://no/such/file", os.strerror(2))
    with pytest.raises(OSError, match="Protocol not known: nowhere"):
        Storage().read("nowhere://a")


def test_options_reach_the_file_system_that_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("fsspec.core", reason="the extra remote is not installed")
    honest, seen = core.url_to_fs, []

    def watched(url: str, **options: object) -> object:
        seen.append(options)
        return honest(url, **options)

    monkeypatch.setattr(core, "url_to_fs", watched)
    options = {"anon": True, "s3": {"key": "k"}, "memory": {"some": 1}, "client_kwargs": {"region": "x"}}
    with pytest.raises(FileNotFoundError):
        Storage(options).read("memory://no/such/file")
    assert [set(found) for found in seen] == [{"anon", "memory", "client_kwargs"}]
    assert options["memory"] == {"some": 1}  # untouched
