# SPDX-License-Identifier: Apache-2.0
"""Change how a thread computes with floats, as a careless library may, with a small C library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

__all__ = ["MODES", "Modes", "compiled", "float_modes"]

MODES = ("upward", "downward", "toward zero", "flush", "denormals are zero", "upward, both", "traps")
"""What may be set. The last makes divisions by zero and invalid operations end the process."""

_SOURCE = r"""
#include <fenv.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static fenv_t normal;

/* Returns 0 if this machine has no such mode. */
int enter(const char *mode) {
    fegetenv(&normal);
    if (strstr(mode, "upward")) fesetround(FE_UPWARD);
    if (strstr(mode, "downward")) fesetround(FE_DOWNWARD);
    if (strstr(mode, "toward zero")) fesetround(FE_TOWARDZERO);
#if defined(__x86_64__)
    if (strstr(mode, "flush") || strstr(mode, "both")) _mm_setcsr(_mm_getcsr() | 0x8000);
    if (strstr(mode, "denormals") || strstr(mode, "both")) _mm_setcsr(_mm_getcsr() | 0x40);
    if (strstr(mode, "traps")) _mm_setcsr((_mm_getcsr() | 0x1f80) & ~0x280);
    return 1;
#elif defined(__aarch64__)
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    if (strstr(mode, "flush") || strstr(mode, "denormals") || strstr(mode, "both")) control |= 1ul << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
    return !strstr(mode, "traps");
#else
    return strstr(mode, "ward") && !strstr(mode, "both");
#endif
}

void leave(void) { fesetenv(&normal); }

/* Everything that enter() may have changed, without the flags. */
unsigned long state(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3fu;
#elif defined(__aarch64__)
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
#else
    return (unsigned long)fegetround();
#endif
}
"""


def compiled(name: str, source: str, *flags: str) -> Path:
    """Return a shared library made from C; skip the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    folder = Path(_folder().name)
    library = folder / f"{name}.so"
    (folder / f"{name}.c").write_text(source, encoding="utf-8")
    command = [compiler, "-O1", "-shared", "-fPIC", str(folder / f"{name}.c"), "-o", str(library), *flags]
    subprocess.run(command, check=True)
    return library


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="bbcodec-tests-")


class Modes:
    """The library: `within` sets a mode of this thread for a block."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(compiled("float_modes", _SOURCE, "-lm")))
        self._library.state.restype = ctypes.c_ulong

    def state(self) -> int:
        """Return the mode of this thread as a number."""
        return int(self._library.state())

    @contextmanager
    def within(self, mode: str) -> Iterator[None]:
        """Set a mode; skip the test where the machine lacks it. The mode must be the same at the end."""
        before = self.state()
        is_there = self._library.enter(mode.encode())
        try:
            inside = self.state()
            if is_there:
                yield
            after = self.state()
        finally:
            self._library.leave()
        if not is_there:
            pytest.skip(f"this CPU has no mode {mode!r}")
        assert inside != before
        assert after == inside, "the mode of the caller was changed"


@cache
def float_modes() -> Modes:
    """Return the library, made once a process; skip the test where there is no compiler."""
    return Modes()
