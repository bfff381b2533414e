# SPDX-License-Identifier: Apache-2.0
"""The portable kernels on 64-bit ARM (their vectors are NEON's there), run by an emulator.

Whole files on ARM and on a big-endian CPU: ``native/emulate.sh``.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bbcodec.engine import bits, reference

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static") or ""
if not (EMULATOR and shutil.which(COMPILER)):
    pytest.skip(f"{COMPILER} or qemu-aarch64 is not installed", allow_module_level=True)

NATIVE = Path(__file__).resolve().parents[2] / "native" / "core"
SOURCES = (
    "crew",
    "engine/convolve",
    "engine/epilogue",
    "engine/kernels/portable",
    "engine/kernels/sliced_portable",
    "engine/sliced",
    "families/deep/model",
    "families/deep/pass",
    "families/deep/pass/portable",
    "families/local/model",
    "families/local/pass",
    "families/local/pass/portable",
    "families/loglinear/coder",
    "families/loglinear/model",
    "families/loglinear/pass/portable",
    "pages",
    "select_kernels",
)
SHAPE = (2, 9, 17)  # 306 pixels: more than two vectors of 128 lanes


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("aarch64") / "emulated"
    sources = [Path(__file__).with_name("emulated.cpp"), *(NATIVE / f"{name}.cpp" for name in SOURCES)]
    flags = ["-std=c++17", "-O1", "-static", f"-I{NATIVE}"]
    command = [COMPILER, *flags, *map(str, sources), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def run(
    program: Path, kind: str, slices: str, sizes: tuple[int, ...], *arrays: np.ndarray[Any, Any]
) -> bytes:
    words = [EMULATOR, str(program), kind, slices, *map(str, sizes)]
    return subprocess.run(
        words, input=b"".join(a.tobytes() for a in arrays), check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("slices", ["never", "always"])
@pytest.mark.parametrize(("channels", "outputs", "kernel"), [(70, 9, 3), (64, 65, 1), (5, 3, 5), (130, 8, 3)])
def test_bits(program: Path, slices: str, channels: int, outputs: int, kernel: int) -> None:
    rng = np.random.default_rng(channels)
    x = bits.pack(rng.integers(0, 2, (*SHAPE, channels)))
    weight = bits.pack(rng.integers(0, 2, (outputs, kernel, kernel, channels)))
    found = run(program, "bits", slices, (*SHAPE, channels, outputs, kernel), x, weight)
    raw = reference.bconv(x, weight, channels)
    assert np.array_equal(np.frombuffer(found, np.int32, raw.size).reshape(raw.shape), raw)
    signs = np.frombuffer(found[raw.nbytes :], np.uint64)
    assert np.array_equal(signs, bits.pack(raw < 0).ravel())


def test_numbers(program: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-500, 500, (*SHAPE, 7)).astype(np.int16)
    weight = rng.integers(-128, 128, (18, 3, 3, 7)).astype(np.int8)
    found = run(program, "numbers", "automatic", (*SHAPE, 7, 18, 3), x, weight)
    assert np.array_equal(np.frombuffer(found, np.int32), reference.qconv(x, weight).ravel())
