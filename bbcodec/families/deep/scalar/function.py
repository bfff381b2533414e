# SPDX-License-Identifier: Apache-2.0
"""What makes a function of the text: nothing, or numba's compiler where the text is loaded for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

COMPILED: Final = "bbcodec.families.deep.compiled"
"""The name of the package where the text is compiled."""


def function(f: F) -> F:
    """Return a function of the text, as it stands or compiled."""
    if not __name__.startswith(COMPILED):
        return f
    from bbcodec.families.local.jit.state import njit

    compiled: F = njit(f)
    return compiled
