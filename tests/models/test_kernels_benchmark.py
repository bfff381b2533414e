# SPDX-License-Identifier: Apache-2.0
"""benchmarks/kernels.py on small maps: every row is there, a wrong result ends it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
pytest.importorskip("bbcodec._native", exc_type=ImportError)

from bbcodec import _native

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = __import__("kernels")
    monkeypatch.setattr(module, "MIN_SECONDS", 0.0)
    return module


def test_every_row_is_there(kernels: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    before = _native.target()
    kernels.main(["--side", "5", "--images", "2", "--channels", "8,70", "--kernels", "1,3", "--rounds", "1"])
    assert _native.target() == before
    text = capsys.readouterr().out
    for kernel in (1, 3):
        part = text.split(f"## {kernel} x {kernel}")[1].split("##")[0]
        rows = {
            line.split("|")[1].strip(): line.split("|")[2:-1] for line in part.splitlines() if "|" in line
        }
        for target in _native.targets():
            for name in ("bits x bits to bits", "bits x bits to int16", "bits x bits to int32"):
                assert len(rows[f"{name}, {target}"]) == 2
            assert {f"1 bit x int16 to int32, {target}", f"int8 x int16 to int32, {target}"} <= set(rows)
        assert {*kernels.FP32} <= set(rows)
        assert any(name.startswith("torch int8") for name in rows)
        base = [
            max(float(rows[name][c].split()[0].replace(",", "")) for name in kernels.FP32) for c in range(2)
        ]
        assert min(base) >= 0
        assert f"{kernels.xnor_net(8, kernel):.1f}" in rows["XNOR-Net's count of operations, bits x bits"][0]


def test_the_count_of_operations_is_the_papers(kernels: ModuleType) -> None:
    assert round(kernels.xnor_net(256, 3), 2) == 62.27


def test_a_wrong_result_ends_it(kernels: ModuleType) -> None:
    out = np.zeros(3)
    row = kernels.Row("some kernel", lambda: out.fill(2), None, out, np.full(3, 2.0))
    row.run()
    assert len(row.seconds) == 1
    row.expected = np.array([2.0, 2.0, 3.0])
    with pytest.raises(kernels.WrongResultError, match="some kernel"):
        row.run()
