# SPDX-License-Identifier: Apache-2.0
"""The one place that chooses who computes.

Backends are ``numpy`` (the reference), ``numba`` and ``native``.  All give the same integers, so that the
choice is about speed alone.  ``BBCODEC_BACKEND`` forces a backend, ``BBCODEC_TARGET`` (portable, avx2,
avx512, avx512vnni) the instruction set of the native one.  Modules are imported when chosen and not before:
numba alone costs half a second.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any, Final

from bbcodec.errors import OptionError

BACKENDS: Final = ("native", "numba", "numpy")
TARGETS: Final = ("portable", "avx2", "avx512", "avx512vnni")


def backend_name(name: str | None = None) -> str:
    """Name of the backend to use.

    Parameters
    ----------
    name : a backend, or None for ``BBCODEC_BACKEND``, or else the fastest one that is installed

    Raises
    ------
    OptionError
        The name is unknown, or that backend or target is not available here.
    """
    wanted = name or os.environ.get("BBCODEC_BACKEND") or None
    if wanted is None:
        return next(candidate for candidate in BACKENDS if _available(candidate))
    if wanted not in BACKENDS:
        raise OptionError(f"backend {wanted!r}: expected one of {', '.join(BACKENDS)}")
    if not _available(wanted):
        raise OptionError(f"backend {wanted!r} is not installed")
    return wanted


def available() -> list[str]:
    """Names of the backends that can be used here, best first."""
    return [candidate for candidate in BACKENDS if _available(candidate)]


def native_target() -> str | None:
    """Instruction set that the native backend uses, or None where there is no native backend."""
    if not _available("native"):
        return None
    return str(_native().target())


def obey_target() -> None:
    """Tell the native module what ``BBCODEC_TARGET`` says, where that has changed.

    Raises
    ------
    OptionError
        The target is unknown or not available here.
    """
    _available("native")


def _available(name: str) -> bool:
    if name == "native":
        return _native_serves(os.environ.get("BBCODEC_TARGET") or None)
    return name == "numpy" or _installed("numba")


@cache
def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def _native() -> Any:
    """The native module, or None where it is not built."""
    try:
        return importlib.import_module("bbcodec._native")
    except ImportError:
        return None


# Value of the variable that the native module was last told; at import it takes the best target.
_told: str | None = None


def _native_serves(target: str | None) -> bool:
    """Is there a native module? Where ``BBCODEC_TARGET`` has changed, tell it; None is the best target."""
    global _told
    if target is not None and target not in TARGETS:
        raise OptionError(f"BBCODEC_TARGET={target!r}: expected one of {', '.join(TARGETS)}")
    native = _native()
    if native is None:
        return False
    if target != _told:
        offered = native.targets()
        if target is not None and target not in offered:
            raise OptionError(f"BBCODEC_TARGET={target!r}: this CPU offers {', '.join(offered)}")
        native.set_target(target or max(offered, key=TARGETS.index))
        _told = target
    return True
