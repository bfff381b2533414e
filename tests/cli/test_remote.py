# SPDX-License-Identifier: Apache-2.0
"""The command line on URLs and on folders."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bbcodec.cli import app

Shell = Callable[[str], "CompletedProcess[bytes]"]


def invoke(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture
def store(folder: Path) -> str:
    """A folder in memory that holds photo.png and deep/photo.png."""
    fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")
    place = f"memory://{uuid.uuid4().hex}"
    for name in ("photo.png", "deep/photo.png", "deep/notes.txt", ".hidden/photo.png"):
        with fsspec.open(f"{place}/{name}", "wb") as file:
            file.write((folder / "photo.png").read_bytes())
    return place


def names(place: str) -> list[str]:
    from bbcodec.storage import Storage

    return Storage().files(place)


def test_every_command_takes_urls(store: str) -> None:
    assert invoke("compress", f"{store}/photo.png", "--method", "classic").exit_code == 0
    assert "photo.bb" in names(store)
    again = invoke("compress", f"{store}/photo.png", "--method", "classic")
    assert again.exit_code == 1
    assert (
        again.stderr
        == f"bbcodec: {store}/photo.png: {store}/photo.bb exists already; use -f to overwrite it\n"
    )
    assert invoke("test", f"{store}/photo.bb").exit_code == 0
    info = invoke("info", f"{store}/photo.bb", "--json", "--storage-options", '{"memory": {}}')
    assert json.loads(info.stdout)[0]["width"] == 48
    compared = invoke("compare", f"{store}/photo.png", "--model", "fast", "--json")
    assert json.loads(compared.stdout)["images"][0]["width"] == 48
    assert invoke("decompress", f"{store}/photo.bb", "-o", "back.png").exit_code == 0
    assert Image.open("back.png").tobytes() == Image.open("photo.png").tobytes()
    assert invoke("compress", "photo.png", "-o", f"{store}/up.bb", "--fast").exit_code == 0
    assert invoke("decompress", f"{store}/up.bb", "--rm").exit_code == 0
    assert "up.png" in names(store)
    assert "up.bb" not in names(store)
    assert invoke("compress", f"{store}/up.png", "--method", "classic", "--rm").exit_code == 0
    assert "up.png" not in names(store)


def test_errors_name_the_url(store: str) -> None:
    missing = invoke("compress", f"{store}/missing.png")
    assert (missing.exit_code, missing.stderr) == (
        1,
        f"bbcodec: {store}/missing.png: No such file or directory\n",
    )
    unknown = invoke("compress", "photo.png", "-o", "nowhere://photo.bb")
    assert (unknown.exit_code, unknown.stderr) == (
        1,
        "bbcodec: photo.png: cannot write nowhere://photo.bb: Protocol not known: nowhere\n",
    )
    assert invoke("info", "nowhere://photo.bb").exit_code == 1
    for broken in ("{", "3", "[]"):
        assert invoke("compress", "photo.png", "--storage-options", broken).exit_code == 2


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for arguments in (("s3://bucket/photo.png",), ("photo.png", "-o", "s3://bucket/photo.bb")):
        result = invoke("compress", *arguments)
        assert result.exit_code == 1
        assert "a URL needs fsspec: pip install 'bbcodec[remote]'" in result.stderr
    assert invoke("compress", f"file://{Path.cwd()}/photo.png").exit_code == 0
    assert Path("photo.bb").exists()


def test_a_tree_in_a_store(store: str) -> None:
    assert (
        invoke("compress", store, "-r", "--output-dir", f"{store}-out", "--method", "classic").exit_code == 0
    )
    assert names(f"{store}-out") == ["deep/photo.bb", "photo.bb"]
    assert invoke("decompress", f"{store}-out", "-r", "--output-dir", "back").exit_code == 0
    assert sorted(str(path) for path in Path("back").rglob("*.png")) == [
        "back/deep/photo.png",
        "back/photo.png",
    ]


def test_skipping_what_is_there(folder: Path) -> None:
    (folder / "in" / "deep").mkdir(parents=True)
    shutil.copy("photo.png", "in/a.png")
    shutil.copy("photo.png", "in/deep/b.png")
    run = functools.partial(invoke, "compress", "in", "-r", "--output-dir", "out", "--method", "classic")
    assert run().exit_code == 0
    assert run().exit_code == 1  # they exist
    whole = Path("out/a.bb").read_bytes()
    Path("out/a.bb").write_bytes(whole[:-1])
    before = Path("out/deep/b.bb").stat().st_ino
    said = run("--skip-existing", "--json")
    assert said.exit_code == 0
    assert [record.get("skipped", False) for record in json.loads(said.stdout)] == [False, True]
    assert Path("out/a.bb").read_bytes() == whole
    assert Path("out/deep/b.bb").stat().st_ino == before

    back = functools.partial(invoke, "decompress", "out", "-r", "--skip-existing", "--json")
    assert [record.get("skipped", False) for record in json.loads(back().stdout)] == [False, False]
    picture = Path("out/a.png").read_bytes()
    Path("out/a.png").write_bytes(picture[: len(picture) // 2])
    assert [record.get("skipped", False) for record in json.loads(back().stdout)] == [False, True]
    assert Path("out/a.png").read_bytes() == picture


def test_folders(folder: Path) -> None:
    (folder / "empty").mkdir()
    empty = invoke("compress", "empty", "-r", "--output-dir", "out")
    assert (empty.exit_code, empty.stderr) == (
        1,
        "bbcodec: empty: no images found in this folder or below it\n",
    )
    for name in ("x.png", "x.ppm"):
        Image.open("photo.png").save(folder / "empty" / name)
    both = invoke("compress", "empty", "-r", "--output-dir", "out")
    assert both.exit_code == 1
    for one, other in (("x.png", "x.ppm"), ("x.ppm", "x.png")):
        assert f"empty/{one}: out/x.bb would also be the output of empty/{other}" in both.stderr
    assert invoke("compress", "empty", "-r", "-o", "out.bb").exit_code == 2


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """A web server of `folder`."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_web_server(address: str, shell: Shell) -> None:
    pytest.importorskip("aiohttp", reason="the extra remote is not installed")
    done = shell(
        f"bbcodec compress --method classic -q --output-dir out '{address}/photo.png?size=1' && "
        f"bbcodec decompress -q out/photo.bb && same photo.png out/photo.png && "
        f"! bbcodec info {address}/missing.bb"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode() == f"bbcodec: {address}/missing.bb: No such file or directory\n"
