# SPDX-License-Identifier: Apache-2.0
"""Dask: every file once, whatever becomes of the workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bbcodec
from bbcodec.cli import app

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")

from bbcodec.integrations.dask import compress_files, decompress_files  # noqa: E402
from bbcodec.integrations.files import FileResult  # noqa: E402

# Of the event loop of Dask, when a worker is gone.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FAST = {"method": "learned", "model": "fast"}  # quicker than the classic method on so small pictures


def pixels(number: int) -> np.ndarray:
    """Return the picture of a number: 24 x 24 RGB."""
    return np.random.default_rng(number).integers(0, 40, (24, 24, 3), dtype=np.uint8)


def sources(folder: Path, count: int) -> list[Path]:
    """Write PNG files; return their names."""
    folder.mkdir()
    names = [folder / f"p{number:03}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(pixels(number)).save(name, compress_level=1)
    return names


@pytest.fixture(scope="module")
def processes() -> Iterator[distributed.Client]:
    """Two worker processes, which are started again when they die."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_worker_killed_in_the_middle_of_500_files(processes: distributed.Client, tmp_path: Path) -> None:
    names = sources(tmp_path / "in", 500)
    pairs = [(name, tmp_path / "out" / f"{name.stem}.bb") for name in names]
    victim = next(iter(processes.run(os.getpid).values()))
    written: dict[str, tuple[int, int]] = {}

    def watch(result: FileResult, through: int, total: int) -> None:
        assert result.source not in written  # told once
        status = os.stat(result.target)
        written[result.source] = (status.st_ino, status.st_mtime_ns)
        if through == 150:
            os.kill(victim, signal.SIGKILL)

    summary = compress_files(pairs, processes, watch=watch, **FAST)

    assert [result.source for result in summary.results] == [str(name) for name in names]
    assert len(written) == 500  # none lost
    assert summary.of("failed") == []
    # The dead worker may have written a file and not told: it is found, and not written again.
    assert len(summary.of("done")) + len(summary.of("skipped")) == 500
    assert len(summary.of("skipped")) < 350
    assert victim not in processes.run(os.getpid).values()
    assert {path.name for path in (tmp_path / "out").glob("*.bb")} == {f"{name.stem}.bb" for name in names}
    for number, (source, target) in enumerate(pairs):
        status = target.stat()
        assert written[str(source)] == (status.st_ino, status.st_mtime_ns)  # none twice
        assert np.array_equal(bbcodec.decompress(target.read_bytes(), threads=1), pixels(number))

    assert len(compress_files(pairs[:40], processes, **FAST).of("skipped")) == 40


def test_a_run_goes_on_where_it_stopped_and_tells_what_failed(
    processes: distributed.Client, tmp_path: Path
) -> None:
    names = sources(tmp_path / "in", 6)
    pairs = [(name, tmp_path / "out" / f"{name.stem}.bb") for name in names]
    (tmp_path / "in" / "p004.png").write_bytes(b"no image")
    (tmp_path / "in" / "p005.png").unlink()
    (tmp_path / "out").mkdir()
    whole = bbcodec.compress(pixels(0), method="classic")
    pairs[0][1].write_bytes(whole)
    pairs[1][1].write_bytes(whole[:-3])

    summary = compress_files(pairs, processes, **FAST)

    assert [result.status for result in summary.results] == [
        "skipped",
        "done",
        "done",
        "done",
        "failed",
        "failed",
    ]
    assert [result.error.split(":")[0] for result in summary.of("failed") if result.error] == [
        "FormatError",
        "FileNotFoundError",
    ]
    assert np.array_equal(bbcodec.decompress(pairs[1][1].read_bytes()), pixels(1))
    sums = summary.as_dict()
    assert (sums["done"], sums["skipped"], sums["failed"]) == (3, 1, 2)
    assert sums["input_bytes"] == sum(name.stat().st_size for name in names[1:4])
    assert sums["output_bytes"] == sum(target.stat().st_size for _, target in pairs[1:4])
    assert sum(worker["files"] for worker in sums["workers"].values()) == 3
    assert set(sums["workers"]) <= set(processes.scheduler_info()["workers"])


def test_nothing_to_do(processes: distributed.Client) -> None:
    assert compress_files([], processes).results == ()


def test_memory_urls_with_threads() -> None:
    store = fsspec.filesystem("memory")
    for number in range(20):
        with store.open(f"/dask-in/p{number}.png", "wb") as file:
            Image.fromarray(pixels(number)).save(file, "PNG")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        there = [(f"memory://dask-in/p{n}.png", f"memory://dask-out/p{n}.bb") for n in range(20)]
        back = [(f"memory://dask-out/p{n}.bb", f"memory://dask-back/p{n}.png") for n in range(20)]
        assert len(compress_files(there, client, **FAST).of("done")) == 20
        assert len(decompress_files(back, client).of("done")) == 20
        assert len(decompress_files(back, client).of("skipped")) == 20
    for number in range(20):
        with store.open(f"/dask-back/p{number}.png", "rb") as file:
            assert np.array_equal(np.asarray(Image.open(file)), pixels(number))


def test_the_command_line(processes: distributed.Client, tmp_path: Path) -> None:
    sources(tmp_path / "in", 4)
    (tmp_path / "in" / "deeper").mkdir()
    (tmp_path / "in" / "p000.png").rename(tmp_path / "in" / "deeper" / "p000.png")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bbcodec", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    address = processes.scheduler.address
    done = run(
        "compress", "in", "-r", "--output-dir", "out", "--method", "classic", "--dask", address, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "4 done, 0 skipped, 0 failed" in done.stderr
    said = json.loads(done.stdout)
    assert [record["input"] for record in said["files"]] == [
        str(tmp_path / "in" / name) for name in ("deeper/p000.png", "p001.png", "p002.png", "p003.png")
    ]
    assert said["summary"]["done"] == 4
    (tmp_path / "out" / "p002.bb").write_bytes(b"not whole")
    done = run("decompress", "out", "-r", "--output-dir", "back", "--dask", "local", "--json")
    assert done.returncode == 1
    assert "3 done, 0 skipped, 1 failed" in done.stderr
    assert f"bbcodec: {tmp_path / 'out' / 'p002.bb'}: not a .bb file" in done.stderr
    assert "Traceback" not in done.stderr
    assert [record["error"]["kind"] for record in json.loads(done.stdout)["files"] if "error" in record] == [
        "FormatError"
    ]
    for number, name in enumerate(("deeper/p000.png", "p001.png", None, "p003.png")):
        if name is not None:
            assert np.array_equal(np.asarray(Image.open(tmp_path / "back" / name)), pixels(number))


@pytest.mark.parametrize(
    "arguments", [("a.png", "--rm"), ("a.png", "-c"), ("-",), ("a.png", "-r", "-o", "b.bb")]
)
def test_what_cannot_be_meant(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["compress", "--dask", "local", *arguments]).exit_code == 2
