# SPDX-License-Identifier: Apache-2.0
"""The numba implementation: the text of `scalar`, compiled and cached.

Importing this module imports numba (half a second): only `bbcodec.families.deep.codec` does so. One thread
computes a chain, without the GIL, so that several chains run at once.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words
from bbcodec.families.deep import reference, scalar
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes
from bbcodec.families.deep.reference import Samples, Symbols
from bbcodec.families.local.jit.state import njit


def plan(samples: Samples, planes: Planes, model: DeepModel, threads: int = 1) -> Symbols:
    """Return the symbols of a chain; as in `bbcodec.families.deep.reference`."""
    return reference.plan(samples, planes, model, code_plane=code_plane)


def decode(
    head: Head, words: Words, shape: tuple[int, int], planes: Planes, model: DeepModel, threads: int = 1
) -> tuple[NDArray[np.uint16], Head, int]:
    """Return the samples, the head, and how many words were taken; as in `bbcodec.families.deep.reference`."""
    return reference.decode(head, words, shape, planes, model, code_plane=code_plane)


def _load() -> ModuleType:
    """Return the text of `scalar` with compiled functions."""
    spec = importlib.util.spec_from_file_location("bbcodec.families.deep._compiled", scalar.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["function"] = njit
    sys.modules[spec.name] = module  # what is loaded from numba's cache imports it by name
    spec.loader.exec_module(module)
    return module


_text = _load()
_code_plane = _text.code_plane


def _compiled(version: int) -> Any:
    """`code_plane`, of this version of the package."""

    @njit(cache=True, nogil=True, forceinline=False, no_cpython_wrapper=False)
    def run(net: Any, heads: Any, chain: Any, p: int, state: Any, coder: Any, slopes: Any) -> bool:
        _ = version
        return _code_plane(net, heads, chain, p, state, coder, slopes)

    return run


def _fingerprint() -> int:
    """Checksum of the text that is compiled."""
    return zlib.crc32(b"".join(Path(str(file)).read_bytes() for file in (scalar.__file__, __file__)))


code_plane = _compiled(_fingerprint())
