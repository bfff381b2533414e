# SPDX-License-Identifier: Apache-2.0
"""Run whole processes for `speed.py`, and measure their time, peak memory and imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rates_peers import Pixels, exact
from speed_codecs import Codec, RoundTripError

from bbcodec.errors import BBCodecError

__all__ = ["HEAVY", "Process", "decoding", "heavy_imports", "round_trip", "run"]

HEAVY = ("torch", "numba")
_TIMEOUT = 3600  # seconds; only a process that hangs takes so long

# A process starts with the peak memory of its parent. So a small process starts the measured one, not this
# process with its pictures.
_LAUNCH = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print("\\n", time.perf_counter() - start, usage.ru_maxrss)
sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
"""
_IMPORTS = f"""
import sys
from bbcodec.__main__ import main
try:
    main()
finally:
    print("\\nimported:", *(name for name in {HEAVY} if name in sys.modules))
"""


@dataclass(frozen=True)
class Process:
    """Wall time from start to end in seconds, and the largest resident set in bytes."""

    seconds: float
    peak: int


def _cached() -> dict[str, str]:
    """Return the environment, but let Python store compiled byte code, as after an installation."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(words: list[str], variables: Mapping[str, str] | None = None) -> Process:
    """Run a process, and measure it.

    Raises
    ------
    BBCodecError
        The process failed.
    """
    last = _output([sys.executable, "-I", "-S", "-c", _LAUNCH, *words], variables).split("\n")[-2].split()
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return Process(float(last[0]), int(last[1]) * unit)


def heavy_imports(words: list[str], variables: Mapping[str, str] | None = None) -> list[str]:
    """Return which modules of `HEAVY` a `bbcodec` command with these arguments imports."""
    last = _output([sys.executable, "-c", _IMPORTS, *words], variables).split("\n")[-2]
    return last.split()[1:]


def _output(words: list[str], variables: Mapping[str, str] | None) -> str:
    done = subprocess.run(
        words,
        env=_cached() | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BBCodecError(f"a process failed: {reason[0]}")
    return done.stdout


def round_trip(codec: Codec, image: Pixels, folder: Path) -> tuple[Process, Process]:
    """Encode and decode a picture, each in its own process.

    Parameters
    ----------
    folder : folder for the files: the picture as PPM, the coded file, and the decoded picture as PPM

    Raises
    ------
    RoundTripError
        The pixels differ.
    BBCodecError
        A process failed.
    """
    picture, coded = folder / "picture.ppm", folder / "picture.coded"
    Image.fromarray(image).save(picture)
    coded.unlink(missing_ok=True)
    encoding = run(codec.command("encode", picture, coded), codec.variables)
    return encoding, decoding(codec, coded, image)


def decoding(codec: Codec, coded: Path, image: Pixels) -> Process:
    """Decode a file in its own process, and compare the picture; see `round_trip` for the errors."""
    decoded = coded.with_name("decoded.ppm")
    decoded.unlink(missing_ok=True)
    process = run(codec.command("decode", coded, decoded), codec.variables)
    with Image.open(decoded) as found:
        if not exact(image, np.asarray(found)):
            raise RoundTripError(f"{codec.label}, whole process: the decoded picture differs")
    return process
