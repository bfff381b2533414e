# SPDX-License-Identifier: Apache-2.0
"""benchmarks/paper_table.py on made-up pictures: rows are trained once, coded, and stand in the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROWS = ("rvae-none", "flowpp-none")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import paper_table

    threads = torch.get_num_threads()
    yield paper_table
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    y, x = np.mgrid[:32, :32]
    noise = np.random.default_rng(0).normal(0, 12, (3524, 32, 32, 3))
    light = (120 + 60 * np.sin(x / 7 + y / 9))[None, ..., None] + noise
    np.savez(path / "cifar10_first4000.npz", x=np.clip(light, 0, 255).astype(np.uint8))
    for part in ("train", "valid"):
        (path / "photos" / part).mkdir(parents=True)
        for i in range(24):
            pixels = np.random.default_rng(i).integers(0, 256, (33, 32, 3), np.uint8)
            Image.fromarray(pixels).save(path / "photos" / part / f"{i}.png")
    return path


def test_rows_are_trained_once_and_stand_in_the_page(
    table: ModuleType,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plot = tmp_path / "curves.svg"
    arguments = ["--data", str(data), "--work", str(tmp_path), "--steps", "1", "--images", "24"]
    arguments += ["--rows", ",".join(ROWS), "--plot", str(plot)]
    monkeypatch.setattr(sys, "argv", ["paper_table.py", *arguments])
    table.main()
    first = capsys.readouterr().out
    lines = [line for line in first.splitlines() if line.startswith(("| ResNet VAE | no", "| Flow++ | no"))]
    assert len(lines) == 2
    for line, published in zip(lines, ("3.78", "3.54"), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[2] == published
        assert all(0 < float(cells[i]) < 60 for i in (3, 4, 6, 7))  # bounds and coded sizes
        assert abs(float(cells[5])) < 0.5  # excess of what was coded with latents
    labels = [e.text for e in ElementTree.parse(plot).iter("{http://www.w3.org/2000/svg}text")]
    assert set(ROWS) < set(labels)

    def no_training(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("subprocess.run", no_training)
    table.main()
    assert capsys.readouterr().out == first


def test_an_average_of_networks(table: ModuleType) -> None:
    """One sure network and one that knows nothing: the average takes one bit more than the sure one."""
    from paper_report import average

    assert average([[2.0, 3.0], [500.0, 500.0]], 8) == pytest.approx(2.5 + 1 / 8)
    assert average([[2.0, 3.0], [3.0, 2.0]], 1000) == pytest.approx(2.0 + 1 / 1000)


def test_the_papers_sizes(table: ModuleType) -> None:
    """About the paper's parameters; 90 to 94 % smaller."""
    wanted = {"ResNet VAE": (56e6, 0.971), "Flow++": (34e6, 0.901)}
    for name, config in table.SIZES.items():
        sizes = table.residual_sizes(table.build(config))
        parameters, share = wanted[name]
        assert sizes["parameters"] == pytest.approx(parameters, rel=0.15)
        assert sizes["binary"] / sizes["parameters"] == pytest.approx(share, abs=0.08)
        assert sizes["packed_bytes"] < 0.1 * sizes["float32_bytes"]
