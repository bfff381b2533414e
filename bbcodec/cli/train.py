# SPDX-License-Identifier: Apache-2.0
"""`bbcodec train`: a custom model, made from a released one for the user's own pictures."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.interrupt import stop_on_interrupt
from bbcodec.cli.model_choice import check_model, complete_model
from bbcodec.cli.report import Reporter, refuse, shown

if TYPE_CHECKING:
    from bbcodec.families.stats import Pixels

__all__ = ["train"]

DEFAULT_MINUTES: Final = 5.0


def train(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder of pictures (and those below), .npz with x, or .bb archive."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE.bbm", help="Model file to write.")],
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", help="Time to train. [default: 5, or no limit with --steps]"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="Training steps of 1,536 pixels each.")
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME|PATH",
            autocompletion=complete_model,
            help="Model to begin with: photo, fast, or one of yours.",
        ),
    ] = "photo",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with random weights in the form of --from.")
    ] = False,
    what: Annotated[
        Literal["all", "head"],
        typer.Option("--what", help="What may change: all, or the last layer, biases and gains."),
    ] = "all",
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the training.")] = 0,
    threads: options.Threads = 0,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing file.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Train a model for your own pictures and measure what it saves, including its own size.

    Training begins with a released model. It changes what saves more bytes of these pictures than the change
    takes inside an archive. An eighth of the pictures is held out for validation; training ends when they
    no longer improve. Ctrl-C ends it too. The best model so far is written. Needs PyTorch.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        refuse(f"--minutes must be greater than 0 (got {minutes:g})")
    if fresh and what != "all":
        refuse("--fresh and --what exclude each other")
    check_model(start)
    _need_torch()
    if minutes is None and steps is None:
        minutes = DEFAULT_MINUTES
    how = _Training(output, start, minutes, steps, fresh, what, seed, threads, force)
    reporter = Reporter(quiet, verbose, as_json)
    reporter.finish(reporter.each([source], str, partial(_train_on, how=how, reporter=reporter)))


@dataclass(frozen=True)
class _Training:
    """The options of a training."""

    output: str
    start: str
    minutes: float | None
    steps: int | None
    fresh: bool
    what: str
    seed: int
    threads: int
    force: bool


def _train_on(name: str, how: _Training, reporter: Reporter) -> dict[str, Any]:
    """Train a model on pictures, write it, print what it saves, and return the record."""
    from bbcodec import jobs, modelfile
    from bbcodec.families import gain
    from bbcodec.models.local import own
    from bbcodec.storage.atomic import atomic_write, place_of

    begun = time.perf_counter()
    try:
        place_of(how.output, overwrite=how.force)
    except FileExistsError:
        raise FileExistsError(17, "exists already; use --force to overwrite it", how.output) from None
    parent = modelfile.load_named(how.start)
    own.check(parent)
    pictures = _pictures(name)
    pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
    reporter.note(f"{len(pictures)} pictures, {pixels / 1e6:.2f} megapixels", shown(name))
    limits = {"steps": how.steps if how.steps is None else float(how.steps), "minutes": how.minutes}
    budget: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
    cores = jobs.Execution(how.threads).workers
    plan = own.Plan(**budget, seed=how.seed, what=how.what, fresh=how.fresh, threads=cores)
    with stop_on_interrupt(reporter, "training ends; the best model so far is kept") as stopped:
        data = own.train(pictures, parent, plan, say=reporter.note, stopped=stopped)
    with atomic_write(how.output, overwrite=how.force) as file:
        file.write(data)
    model = modelfile.load(data)
    reporter.note(f"{len(data):,} bytes, id {model.id[:16]}", shown(how.output))
    found = gain.gain(pictures, data, threads=cores)
    for line in found.lines():
        reporter.note(line)
    seconds = time.perf_counter() - begun
    record = {"input": name, "output": how.output, "id": model.id, "valid": model.notes.get("valid")}
    return {**record, **found.as_dict(), "seconds": seconds}


def _need_torch() -> None:
    import importlib.util

    from bbcodec import backends

    if importlib.util.find_spec("torch") is None:
        refuse("training needs PyTorch: pip install 'bbcodec[train]'")
    if "native" not in backends.available():
        refuse(
            "training needs the C++ module, which is not built here; install bbcodec with a C++17 compiler"
        )


def _pictures(name: str) -> list[Pixels]:
    """Return pictures as RGB of 8 bits: of a folder and those below it, an array file, or an archive."""
    import numpy as np

    from bbcodec.errors import FormatError
    from bbcodec.models import data

    path = Path(name)
    if path.is_dir():
        folder: list[Pixels] = data.load_folder(path)
        return folder
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            x: Any = arrays["x"] if "x" in arrays else np.zeros(0)
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or not x.size:
            raise FormatError(f"{name}: expected an array x of uint8 [N, H, W, 3]")
        return list(x)
    import bbcodec

    package: Any = bbcodec
    found: list[Pixels] = []
    with package.Archive(name) as archive:
        for item in archive.values():
            pixels = item if item.ndim == 3 else item[..., None]
            if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3, 4):
                colours = pixels[..., :3] if pixels.shape[2] > 1 else np.repeat(pixels, 3, 2)
                found.append(np.ascontiguousarray(colours))
    if not found:
        raise FormatError(f"{name}: no pictures of 8 bits")
    return found
