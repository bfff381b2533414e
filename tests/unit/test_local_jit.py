# SPDX-License-Identifier: Apache-2.0
"""Vectors of lanes in numba: every operation against NumPy, floats rounded one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import njit

from bbcodec.families.local.jit import walk
from bbcodec.families.local.jit.vectors import (
    View,
    any_of,
    exact_sum,
    floats,
    floor,
    from_unsigned,
    gather,
    load,
    moved,
    root,
    select,
    store,
    to_doubles,
    to_floats,
    to_ints,
    to_shorts,
    transpose,
)


@njit
def _floats(a: Any, to: Any) -> None:
    x, y, z = load(a, 0), load(a, 16), load(a, 32)
    store(to, 0, z - x * y)
    store(to, 16, x + 0.1)
    store(to, 32, x / y)
    store(to, 48, root(select(x < 0, 0 - x, x)))
    store(to, 64, exact_sum(floats(3), floats(5), 1))


def test_floats_are_rounded_after_every_operation() -> None:
    rng = np.random.default_rng(0)
    a, to = rng.normal(size=(3, 16)).astype(np.float32), np.zeros((5, 16), np.float32)
    x, y = a[:2]
    a[2] = x * y  # a fused operation leaves what the rounding of the product took away
    _floats(View(a), View(to))
    assert not to[0].any()
    assert (x.astype(np.float64) * y - a[2]).any()
    assert np.array_equal(to[1], x + np.float32(0.1))
    assert np.array_equal(to[2], x / y)
    assert np.array_equal(to[3], np.sqrt(np.abs(x)))
    assert (to[4] == 16).all()


@njit
def _integers(a: Any, to: Any, short: Any, real: Any) -> int:
    x, y = load(a, 0), load(a, 16)
    store(to, 0, (x * 3 - y) >> 5)
    store(to, 16, select((x <= y) & (x > -100), x, y))
    store(to, 32, gather(a, 1, x & 15))
    store(to, 48, moved(x, 7))
    store(short, 0, to_shorts(x))
    store(to, 64, from_unsigned(load(short, 0)))
    store(to, 80, to_ints(floor(to_doubles(x) * 0.25)))
    store(real, 0, to_floats(x) * 0.5)
    return a[20] + any_of(x > 1 << 20) + 2 * any_of(x > -(1 << 20))


def test_integers_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(-70000, 70000, (2, 16)).astype(np.int32)
    a[0, 3], a[1, 3] = 5, 5
    to, short, real = np.zeros((6, 16), np.int32), np.zeros(16, np.int16), np.zeros(16, np.float32)
    found = _integers(*map(View, (a, to, short, real)))
    x, y = a
    assert found == y[4] + 2
    assert np.array_equal(to[0], (x * 3 - y) >> 5)
    assert np.array_equal(to[1], np.where((x <= y) & (x > -100), x, y))
    assert np.array_equal(to[2], a.reshape(-1)[1 + (x & 15)])
    assert np.array_equal(to[3], [7, *x[:-1]])
    assert np.array_equal(short, x.astype(np.int16))
    assert np.array_equal(to[4], x.astype(np.uint16))
    assert np.array_equal(to[5], x >> 2)
    assert np.array_equal(real, x.astype(np.float32) * np.float32(0.5))


@njit
def _transpose(a: Any, to: Any) -> None:
    transpose(a, 0, to, 2, 20)


def test_transposed_rows_have_their_stride() -> None:
    a, to = np.arange(256, dtype=np.int32).reshape(16, 16), np.zeros((16, 20), np.float32)
    _transpose(View(a), View(to))
    assert np.array_equal(to[:, 2:18], a.T)
    assert not to[:, [0, 1, 18, 19]].any()


def test_only_contiguous_memory_is_viewed() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        View(np.zeros((4, 4))[:, ::2])


def test_the_cache_knows_every_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A change of any file of the package is another key of the compiled code."""
    (version,) = walk.run.py_func.__closure__
    assert version.cell_contents == walk._fingerprint()
    for name in ("walk.py", "fits.py"):
        (tmp_path / name).write_text("first")
    monkeypatch.setattr(walk, "__file__", str(tmp_path / "walk.py"))
    before = walk._fingerprint()
    (tmp_path / "fits.py").write_text("other")
    assert walk._fingerprint() != before
