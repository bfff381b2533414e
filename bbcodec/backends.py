# SPDX-License-Identifier: Apache-2.0
"""Choose the implementation that computes: the only place that does.

The backends are ``numpy`` (the reference), ``numba`` and ``native`` (C++). All return the same integers, so
that the choice affects speed only. ``BBCODEC_BACKEND`` forces a backend. ``BBCODEC_TARGET`` (portable, avx2,
avx512, avx512vnni) forces the instruction set of the native one. A backend is imported when it is chosen:
numba alone takes half a second.
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
    """Return the name of the backend to use.

    Parameters
    ----------
    name : a backend, or None for the one in ``BBCODEC_BACKEND``, or else the fastest installed one.

    Raises
    ------
    OptionError
        The name is unknown, or that backend or target is not available here.
    """
    wanted = name or os.environ.get("BBCODEC_BACKEND") or None
    if wanted is None:
        return next(candidate for candidate in BACKENDS if _available(candidate))
    if wanted not in BACKENDS:
        raise OptionError(f"backend {wanted!r} is unknown; expected one of {', '.join(BACKENDS)}")
    if not _available(wanted):
        raise OptionError(f"backend {wanted!r} is not installed; installed are {', '.join(available())}")
    return wanted


def available() -> list[str]:
    """Return the names of the installed backends, the fastest first."""
    return [candidate for candidate in BACKENDS if _available(candidate)]


def native_target() -> str | None:
    """Return the instruction set of the native backend, or None if it is not installed."""
    if not _available("native"):
        return None
    return str(_native().target())


def obey_target() -> None:
    """Set the target of the native module if ``BBCODEC_TARGET`` has changed.

    Raises
    ------
    OptionError
        The target is unknown or not available here.
    """
    _available("native")


def _available(name: str) -> bool:
    if name == "native":
        return _native_is_ready(os.environ.get("BBCODEC_TARGET") or None)
    return name == "numpy" or _installed("numba")


@cache
def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def _native() -> Any:
    """Return the native module, or None if it is not built."""
    try:
        return importlib.import_module("bbcodec._native")
    except ImportError:
        return None


# Value of BBCODEC_TARGET that was last set. At import the native module takes the best target.
_applied_target: str | None = None


def _native_is_ready(target: str | None) -> bool:
    """Return whether the native module is there, after setting its target; None is the best target."""
    global _applied_target
    if target is not None and target not in TARGETS:
        raise OptionError(f"BBCODEC_TARGET={target!r} is unknown; expected one of {', '.join(TARGETS)}")
    native = _native()
    if native is None:
        return False
    if target != _applied_target:
        offered = native.targets()
        if target is not None and target not in offered:
            raise OptionError(
                f"BBCODEC_TARGET={target!r}: expected a target of this CPU: {', '.join(offered)}"
            )
        native.set_target(target or max(offered, key=TARGETS.index))
        _applied_target = target
    return True
