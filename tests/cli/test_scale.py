# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: its memory on large pictures, what it imports, how it is interrupted.

The model takes seconds for a megapixel, and nothing here is about what it does: other code stands in for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from children import default_signals
from PIL import Image

from bbcodec import backends

WIDTH, HEIGHT = 4000, 3000
PICTURE = 3 * WIDTH * HEIGHT  # bytes of its samples

# Runs the command line with a coder for pictures of equal rows, and says how many bytes it took at most.
MEASURED = """
import sys
import numpy as np
from bbcodec.__main__ import main
from bbcodec.families.stats import ChainStats, EncodedPixels

def encode(image, model, execution, **options):
    return EncodedPixels([image[0].tobytes()], ChainStats(1, 1, 0.0, 0.0, 0.0))

def decode(chains, height, width, channels, model, execution, **options):
    image = np.empty((height, width, channels), np.uint8)
    image[:] = np.frombuffer(chains[0], np.uint8).reshape(1, width, channels)
    return image

from bbcodec.families import learned
vars(learned).update(encode=encode, decode=decode, inspect=lambda *rest: {"chains": 1})
try:
    main()
except SystemExit as done:
    assert not done.code
with open("/proc/self/status") as status:
    print(next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


def peak(*words: str) -> int:
    """Return the most memory that a command took, in bytes."""
    command = [sys.executable, "-c", MEASURED, *words, "-q", "-f", "-T", "2"]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300).stdout)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_memory_of_a_large_picture(folder: Path) -> None:
    """A sample in Pillow and in our own arrays takes 4/3 and 1 bytes: nobody holds more than both."""
    row = np.arange(3 * WIDTH, dtype=np.uint8).reshape(1, WIDTH, 3)
    Image.fromarray(np.broadcast_to(row, (HEIGHT, WIDTH, 3))).save(folder / "large.ppm")
    Image.fromarray(row).save(folder / "small.ppm")
    commands = [
        ("compress", "--method", "learned", "{}.ppm", "-o", "{}.bb"),
        ("decompress", "{}.bb", "-o", "{}.png"),
        ("decompress", "{}.bb", "-o", "{}.bmp"),
    ]
    for command in commands:
        least, most = (peak(*(word.format(folder / name) for word in command)) for name in ("small", "large"))
        assert (most - least) / PICTURE < 3, command
    with Image.open(folder / "large.png") as image:
        assert (np.asarray(image)[[0, -1]] == row).all()


@pytest.mark.skipif("native" not in backends.available(), reason="other backends import numba where they can")
def test_the_native_path_imports_nothing_heavy(folder: Path) -> None:
    script = """
import sys
from bbcodec.__main__ import main
try:
    main()
except SystemExit as done:
    assert not done.code
print([name for name in ("torch", "numba", "numpy.ma", "scipy", "rich.progress") if name in sys.modules])
"""
    for words in (["compress", "-q", "--method", "learned", "photo.png"], ["decompress", "-qf", "photo.bb"]):
        command = [sys.executable, "-c", script, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("told", ["process", "worker"])
def test_nobody_waits_for_native_code(
    told: str, threads: str, folder: Path, environment: dict[str, str]
) -> None:
    """An interruption while the model is at work: the process leaves, and so do its files.

    The system may hand a signal of the process to any of its threads.
    """
    script = f"""
import os, signal, threading, time
from bbcodec.__main__ import main
from bbcodec.families.local import blocks

def busy(*rest, **options):
    os.write(1, b"busy\\n")  # whole, whoever else writes: each thread comes here
    if {told == "worker"}:
        for _ in range(5):  # those behind the first one find us leaving
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            time.sleep(0.001)
    time.sleep(3600)

blocks.BLOCK, blocks.group_codec = 24, busy
main()
"""
    before = sorted(os.listdir(folder))
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            "compress",
            "-T",
            threads,
            "--method",
            "learned",
            "--model",
            "photo",
            "photo.png",
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"busy\n"
        if told == "process":
            assert len(os.listdir(folder)) == len(before) + 1
            process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert (process.returncode, error) == (130, b"")
    assert sorted(os.listdir(folder)) == before


def test_impatience_does_not_leave_files_behind(folder: Path, environment: dict[str, str]) -> None:
    """A second Ctrl-C comes while the temporary file of the first is being removed."""
    script = """
import os, signal, time
from bbcodec.__main__ import main
from bbcodec import api
from bbcodec.storage import atomic

def interrupt(*rest, **options):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(3600)

unlink = os.unlink

def interrupted(path):
    if path.endswith(".tmp"):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    unlink(path)

api.compress, atomic.os.unlink = interrupt, interrupted
main()
"""
    command = [sys.executable, "-c", script, "compress", "photo.png"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, preexec_fn=default_signals, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")
    assert os.listdir(folder) == ["photo.png"]
