# SPDX-License-Identifier: Apache-2.0
"""benchmarks/paper_table.py on made-up pictures: rows are trained once, coded, and stand in the page."""

from __future__ import annotations

import signal
import subprocess
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

    def no_training(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("subprocess.Popen", no_training)
    table.main()
    assert capsys.readouterr().out == first


def test_a_row_that_was_stopped_goes_on(
    table: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe reaches the training; a stopped row ends the command, and goes on with the next one."""
    import paper_rows

    arguments = [
        "--data",
        str(data),
        "--work",
        str(tmp_path),
        "--rows",
        "rvae-1-1,flowpp-1-1",
        "--train-only",
    ]
    monkeypatch.setattr(sys, "argv", ["paper_table.py", *arguments])
    commands: list[list[str]] = []
    statuses = [128 + signal.SIGTERM, 0, 0]

    class Child:
        """Leaves a checkpoint, and ends with the first status that is left."""

        def __init__(self, command: list[str], **_: object):
            commands.append(command)
            (Path(command[command.index("--out") + 1]) / "checkpoint.pt").touch()

        def wait(self) -> int:
            return statuses.pop(0)

    monkeypatch.setattr(paper_rows.subprocess, "Popen", Child)
    with pytest.raises(SystemExit, match="rvae-1-1: stopped"):
        table.main()
    assert not (tmp_path / "rvae-1-1" / "done").exists()
    table.main()
    rows = [Path(command[command.index("--out") + 1]).name for command in commands]
    assert rows == ["rvae-1-1", "rvae-1-1", "flowpp-1-1"]
    assert ["--resume" in command for command in commands] == [False, True, False]
    assert all((tmp_path / name / "done").exists() for name in rows)
    wanted = {"--steps": "10000", "--ema": "0.999", "--minutes": "0.0", "--weights": "8,2,2,1.5,1,1,0.5"}
    for option, value in wanted.items():
        assert commands[0][commands[0].index(option) + 1] == value
    assert {"--mirror", "--by-steps"} < set(commands[0])
    table.main()  # nothing is left to do
    assert len(commands) == 3


def test_a_training_that_fails_is_not_done(
    table: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paper_rows

    recipe = paper_rows.Training(str(tmp_path / "nothing"), None, str(data), 1, 0.0, 0.0, 1)
    with pytest.raises(subprocess.CalledProcessError):
        paper_rows.train(paper_rows.ROWS["rvae-none"], recipe, tmp_path)
    assert not (tmp_path / "rvae-none" / "done").exists()
    assert "Error" in (tmp_path / "rvae-none" / "log.txt").read_text()


def test_rows_have_an_order_and_names(
    table: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paper_rows

    assert sorted(paper_rows.ORDER) == sorted(paper_rows.ROWS)
    arguments = ["--data", str(data), "--work", str(tmp_path), "--rows", "rvae-2-2"]
    monkeypatch.setattr(sys, "argv", ["paper_table.py", *arguments])
    with pytest.raises(SystemExit):
        table.main()


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
