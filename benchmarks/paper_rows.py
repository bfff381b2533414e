# SPDX-License-Identifier: Apache-2.0
"""Rows of the paper's table for `paper_table.py`: the networks, and how each is trained."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bbcodec.models.config import Config, FlowConfig, Recipe

__all__ = ["ABLATION", "AVERAGE", "PAPER", "ROWS", "SIZES", "Row", "train"]

# Networks of about the paper's sizes, 56 M and 34 M parameters.
SIZES: dict[str, Recipe] = {
    "ResNet VAE": Config(width=256, layers=(12,), latents=32, units=4),
    "Flow++": FlowConfig(width=224, scales=3, mixtures=8, units=3),
}

RVAE = {"family": "rvae", "width": 48, "layers": "1,1,1", "latents": 12, "units": 2}
FLOWPP = {"family": "flowpp", "width": 32, "scales": 3, "mixtures": 4, "units": 1}
WIDE = {"width": 64}


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes
    ----------
    name : name of its folder.
    system, label : columns of the table.
    options : options of ``bbcodec.models.latent.train``.
    published : bits per dim on CIFAR-10 in the paper (Bird, Kingma and Barber 2021, table 1), or None.
    seed : random seed of the training.
    """

    name: str
    system: str
    label: str
    options: dict[str, object]
    published: float | None = None
    seed: int = 0


def _rvae(name: str, label: str, published: float | None = None, **changes: object) -> Row:
    return Row(f"rvae-{name}", "ResNet VAE", label, RVAE | changes, published)


def _flowpp(name: str, label: str, published: float | None = None, **changes: object) -> Row:
    return Row(f"flowpp-{name}", "Flow++", label, FLOWPP | changes, published)


PAPER = [
    _rvae("32-32", "32/32", 3.45, precision="32/32"),
    _rvae("1-32", "1/32", 3.60, precision="1/32"),
    _rvae("1-1", "1/1", 3.73, precision="1/1"),
    _rvae("wide-1-32", "wide, 1/32", 3.56, precision="1/32", **WIDE),
    _rvae("wide-1-1", "wide, 1/1", 3.68, precision="1/1", **WIDE),
    _rvae("none", "no residual", 3.78, units=0),
    _flowpp("32-32", "32/32", 3.21, precision="32/32"),
    _flowpp("1-32", "1/32", 3.29, precision="1/32"),
    _flowpp("1-1", "1/1", 3.43, precision="1/1"),
    _flowpp("none", "no residual", 3.54, units=0),
]
ABLATION = [
    _rvae("batch-norm", "1/1, batch norm", precision="1/1", norm="batch"),
    _rvae("weight-norm", "1/1, weight norm of the real weights", precision="1/1", norm="weight"),
    _rvae("stochastic", "1/1, stochastic binarization", precision="1/1", stochastic=True),
    _rvae("bases-2", "1/1, two bases", precision="1/1", bases=2),
    _rvae("bases-3", "1/1, three bases", precision="1/1", bases=3),
]
# Further networks like `rvae-1-1`, for the average of several.
AVERAGE = [replace(PAPER[2], name=f"rvae-1-1-seed-{seed}", seed=seed) for seed in (1, 2)]
ROWS = {row.name: row for row in (*PAPER, *ABLATION, *AVERAGE)}


def train(row: Row, data: str, valid: str, folder: Path, steps: int, minutes: float, threads: int) -> None:
    """Train a row until its steps or its minutes are used up; resume from its checkpoint if there is one.

    Raises
    ------
    subprocess.CalledProcessError
        The training failed.
    """
    out = folder / row.name
    if (out / "done").exists():
        return
    command = [
        sys.executable,
        "-m",
        "bbcodec.models.latent.train",
        "--data",
        data,
        "--valid",
        valid,
        "--crop",
        "32",
    ]
    command += ["--batch", "32", "--lr", "0.002", "--steps", str(steps), "--minutes", str(minutes)]
    command += ["--seed", str(row.seed), "--threads", str(threads), "--validate-every", "1"]
    command += ["--out", str(out)]
    for option, value in row.options.items():
        command += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    if (out / "checkpoint.pt").exists():
        command += ["--resume", str(out / "checkpoint.pt")]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
    (out / "done").touch()
