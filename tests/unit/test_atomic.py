# SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all, whatever interrupts the writing."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from children import default_signals

from bbcodec.storage.atomic import atomic_write


def test_writes_the_file_and_nothing_else(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail() -> None:
        with atomic_write(tmp_path / "a", overwrite=True) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_existing_file_is_refused_before_the_block(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "a"):
        pytest.fail("the block was entered")
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError("this file system has no hard links")

        monkeypatch.setattr(os, "link", refuse)

    def race() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"new")
            (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        race()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    with atomic_write(tmp_path / "b") as file:
        file.write(b"new")
    assert (tmp_path / "b").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("folder/file")
    with atomic_write(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["file"]


def test_mode_goes_through_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"")
        with atomic_write(tmp_path / "b", mode=0o600) as file:
            file.write(b"")
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes == [0o640, 0o600]


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with atomic_write(tmp_path / "pipe") as file:
        file.write(b"new")
    reader.join()
    assert found == [b"new"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_stays_a_device() -> None:
    with atomic_write("/dev/null", overwrite=True) as file:
        file.write(b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_to_nothing_exists(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "link"):
        pytest.fail("the block was entered")
    assert os.listdir(tmp_path) == ["link"]
    with atomic_write(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_replaced_file_keeps_its_stricter_mode(tmp_path: Path) -> None:
    for old, new, expected in ((0o600, 0o644, 0o600), (0o644, 0o600, 0o600), (0o640, 0o604, 0o600)):
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "a").chmod(old)
        with atomic_write(tmp_path / "a", overwrite=True, mode=new) as file:
            (temporary,) = tmp_path.glob(".bbcodec-*")
            assert stat.S_IMODE(temporary.stat().st_mode) == expected  # from the first byte on
            file.write(b"new")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


def test_times_are_those_that_were_asked_for(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a", times=(1_000_000_001, 2_000_000_003)) as file:
        file.write(b"new")
    found = (tmp_path / "a").stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (1_000_000_001, 2_000_000_003)


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_folder_is_synchronised_after_the_rename(
    tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync = os.fsync

    def synced(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"{kind} {'a' if (tmp_path / 'a').exists() else ''}")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    with atomic_write(tmp_path / "a", overwrite=overwrite) as file:
        file.write(b"new")
    assert steps == ["file ", "folder a"]


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synchronised(
    tmp_path: Path, code: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems cannot; a disk that fails is an error."""
    sync = os.fsync

    def synced(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    with contextlib.ExitStack() as stack:
        if fails:
            stack.enter_context(pytest.raises(OSError, match=os.strerror(code)))
        with atomic_write(tmp_path / "a") as file:
            file.write(b"new")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    script = """
import sys, time
import bbcodec.cli
from bbcodec.__main__ import main
from bbcodec.storage.atomic import atomic_write

def hang():
    with atomic_write(sys.argv[1]) as file:
        file.write(b"half")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)

bbcodec.cli.app = lambda prog_name: hang()
main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "a"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=default_signals,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert len(os.listdir(tmp_path)) == 1
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert os.listdir(tmp_path) == []
