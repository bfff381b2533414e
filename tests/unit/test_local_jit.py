# SPDX-License-Identifier: Apache-2.0
"""The loops of the numba backend: floats rounded one by one, fits of any number of lanes, and its cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
import numba

from bbcodec.families.local import least_squares as reference
from bbcodec.families.local.jit import least_squares, walk
from bbcodec.families.local.jit.state import CHUNK, njit


@njit
def _subtract_products(x: Any, y: Any, z: Any) -> None:
    for i in range(len(x)):
        z[i] -= x[i] * y[i]


@numba.njit
def _remainders(x: Any, y: Any, z: Any) -> None:
    _subtract_products(x, y, z)


@numba.njit
def _solve(a: Any, n: int, ridge: Any, count: int, r: Any, f: Any) -> None:
    least_squares._solve(a, n, ridge, count, r, f)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_rounded_after_every_operation(dtype: Any) -> None:
    """A fused operation leaves what the rounding of the product took away."""
    x, y = np.random.default_rng(0).normal(size=(2, 1000)).astype(dtype)
    z = x * y
    _remainders(x, y, z)
    assert not z.any()


@pytest.mark.parametrize("lanes", [1, 5, 8, 31, CHUNK])
@pytest.mark.parametrize("n", [2, 7, 34])
def test_fits_are_those_of_the_reference(n: int, lanes: int) -> None:
    rng = np.random.default_rng(n)
    d = rng.integers(-40, 41, (n + 1, 3 * n, lanes)).astype(np.float32)
    a = np.einsum("ipl,jpl->ijl", d[:n], d).astype(np.float32)
    a[:, :, 0] = 0  # nothing but the ridge
    ridge = np.float32(64)
    expected = a.copy()
    expected[np.arange(n), np.arange(n)] += ridge
    weights = reference._solve(expected, ridge)
    room = np.zeros((n, n + 1, CHUNK), np.float32)
    room[:, :, :lanes] = a
    pivots, factors = np.zeros((n, CHUNK), np.float32), np.zeros(CHUNK, np.float32)
    _solve(room, n, ridge, lanes, pivots, factors)
    assert np.array_equal(room[:, n, :lanes], weights)


def test_the_cache_knows_every_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A change of any file of the package is another key of the compiled code."""
    (version,) = walk.run.py_func.__closure__
    assert version.cell_contents == walk._fingerprint()
    for name in ("walk.py", "network.py"):
        (tmp_path / name).write_text("first")
    monkeypatch.setattr(walk, "__file__", str(tmp_path / "walk.py"))
    before = walk._fingerprint()
    (tmp_path / "network.py").write_text("other")
    assert walk._fingerprint() != before
