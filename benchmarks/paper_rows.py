# SPDX-License-Identifier: Apache-2.0
"""Rows of the paper's table: their networks, and the training of each for `paper_table.py`."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bbcodec.models.config import Config, FlowConfig, Recipe

__all__ = ["ABLATION", "AVERAGE", "ORDER", "PAPER", "ROWS", "SIZES", "Row", "Stopped", "Training", "train"]

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
    """One network of the table.

    Attributes
    ----------
    name : name of the row and of its folder.
    system, label : first two columns of the table.
    options : options of ``bbcodec.models.latent.train``.
    published : bits/dim of CIFAR-10 in the paper's row (Bird, Kingma and Barber 2021, table 1).
    seed : seed of the training.
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
# More networks like `rvae-1-1` with other seeds, to average their distributions.
AVERAGE = [replace(PAPER[2], name=f"rvae-1-1-seed-{seed}", seed=seed) for seed in (1, 2)]
ROWS = {row.name: row for row in (*PAPER, *ABLATION, *AVERAGE)}


# Order of the trainings: first the rows that the README quotes.
ORDER = [
    "flowpp-1-32", "rvae-1-32", "rvae-32-32", "rvae-1-1", "flowpp-32-32", "flowpp-1-1", "rvae-wide-1-32",
    "rvae-wide-1-1", "rvae-none", "flowpp-none", *(row.name for row in (*ABLATION, *AVERAGE)),
]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """Training of every row, as options of ``bbcodec.models.latent.train``.

    Attributes
    ----------
    data, weights : sources, and the share of each among the crops. Without weights, shares follow the area.
    valid : source of the pictures to validate on.
    steps : number of steps of 32 pictures.
    ema : decay of the average of the weights.
    minutes : time limit of a row; 0: none.
    threads : threads of PyTorch.
    """

    data: str
    weights: str | None
    valid: str
    steps: int
    ema: float
    minutes: float
    threads: int

    def options(self) -> list[str]:
        """Return the words of the command line."""
        words = ["--data", self.data, "--valid", self.valid, "--valid-pictures", "300", "--crop", "32"]
        words += ["--batch", "32", "--lr", "0.002", "--mirror", "--ema", str(self.ema), "--by-steps"]
        words += ["--steps", str(self.steps), "--minutes", str(self.minutes), "--validate-steps", "250"]
        words += ["--threads", str(self.threads)]
        return words + (["--weights", self.weights] if self.weights else [])


STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal stopped a training; the next run goes on from its checkpoint."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into `SystemExit`, so that the child process is stopped, too."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def train(row: Row, recipe: Training, folder: Path) -> None:
    """Train a row to its end or to its time limit; go on from its checkpoint if there is one.

    Raises
    ------
    Stopped
        The training was stopped before its end.
    subprocess.CalledProcessError
        The training failed.
    """
    out = folder / row.name
    if (out / "done").exists():
        return
    command = [sys.executable, "-m", "bbcodec.models.latent.train", *recipe.options()]
    command += ["--seed", str(row.seed), "--out", str(out)]
    for option, value in row.options.items():
        command += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    if (out / "checkpoint.pt").exists():
        command += ["--resume", str(out / "checkpoint.pt")]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log, _terminable():
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            status = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if status - 128 in STOPPING or -status in STOPPING:  # negative: stopped before its first step
        raise Stopped(f"{row.name}: stopped; run the same command to go on from {out / 'checkpoint.pt'}")
    if status:
        raise subprocess.CalledProcessError(status, command)
    (out / "done").touch()
