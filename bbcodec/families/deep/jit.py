# SPDX-License-Identifier: Apache-2.0
"""The numba implementation: the text of `scalar`, compiled and cached.

Importing this module imports numba (half a second): only `bbcodec.families.deep.codec` does so. One thread
computes a chain, without the GIL, so that several chains run at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words
from bbcodec.families.deep import reference, scalar
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes, Symbols
from bbcodec.families.deep.reference import Samples
from bbcodec.families.deep.scalar.function import COMPILED
from bbcodec.families.local.jit.state import njit


def plan(
    samples: Samples, planes: Planes, model: DeepModel, threads: int = 1, *, traced: bool = False
) -> Symbols:
    """Return the symbols of a chain; as in `bbcodec.families.deep.reference`."""
    return reference.plan(samples, planes, model, traced=traced, code_plane=code_plane)


def decode(
    head: Head, words: Words, shape: tuple[int, int], planes: Planes, model: DeepModel, threads: int = 1
) -> tuple[NDArray[np.uint16], Head, int]:
    """Return samples, head, and number of words taken; as in `bbcodec.families.deep.reference`."""
    return reference.decode(head, words, shape, planes, model, code_plane=code_plane)


def _load() -> Any:
    """Return `code_plane` of the text of `scalar`, compiled: the same files under another name."""
    spec = importlib.util.spec_from_file_location(
        COMPILED, scalar.__file__, submodule_search_locations=list(scalar.__path__)
    )
    assert spec is not None
    sys.modules[COMPILED] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{COMPILED}.coding").code_plane


# A name of the module: a function that `run` closes over would keep numba from finding it in its cache.
_code_plane = _load()


def _compiled(version: int) -> Any:
    """`code_plane`, of this version of the package."""

    def run(net: Any, heads: Any, chain: Any, p: int, state: Any, coder: Any, slopes: Any) -> Any:
        _ = version
        return _code_plane(net, heads, chain, p, state, coder, slopes)

    return njit(cache=True, nogil=True, forceinline=False, no_cpython_wrapper=False)(run)


def _fingerprint() -> int:
    """Checksum of the text that is compiled."""
    files = [*sorted(Path(scalar.__path__[0]).glob("*.py")), Path(__file__)]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


code_plane = _compiled(_fingerprint())
