# SPDX-License-Identifier: Apache-2.0
"""`bbcodec train`: a model of one's own, made from a released one for the pictures at hand."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.report import Reporter, refuse, shown

if TYPE_CHECKING:
    from bbcodec.families.stats import Pixels

__all__ = ["train"]

_MINUTES = 5.0


def train(
    source: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Folder of pictures (all below it), .npz with x, or .bb archive."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE.bbm", help="Model file to write.")],
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", help="Time to learn. [default: 5, or no end with --steps]"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="Steps to learn, of 1,536 pixels each.")
    ] = None,
    start: Annotated[
        str,
        typer.Option("--from", metavar="NAME|PATH", help="Model to begin with: photo, fast, one of yours."),
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
    """Train a model of your own on pictures, and tell whether it pays: mine.bbm, for --model mine.bbm.

    It begins with a released model and changes what saves more bytes of these pictures than the change takes
    inside of an archive. An eighth of the pictures is held out for validation; learning ends when that no
    longer improves. Ctrl-C ends it too, and what was best so far is written. Needs PyTorch.
    """
    if minutes is not None and not 0 < minutes < float("inf"):
        refuse(f"--minutes is {minutes}, expected more than 0")
    if fresh and what != "all":
        refuse("--fresh and --what exclude each other")
    _need_torch()
    reporter = Reporter(quiet, verbose)

    def one(name: str) -> dict[str, Any]:
        from bbcodec import jobs, modelfile
        from bbcodec.families import gain
        from bbcodec.models.local import own
        from bbcodec.storage.atomic import atomic_write

        begun = time.perf_counter()
        if os.path.lexists(output) and not force:
            raise FileExistsError(17, "exists already; --force overwrites it", output)
        parent = modelfile.load_named(start)
        own.check(parent)
        pictures = _pictures(name)
        pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
        reporter.note(f"{shown(name)}: {len(pictures)} pictures, {pixels / 1e6:.2f} megapixels")
        budget = {} if steps is None else {"steps": float(steps)}
        if minutes is not None or steps is None:
            budget["minutes"] = _MINUTES if minutes is None else minutes
        cores = threads or jobs.cpus()
        plan = own.Plan(**budget, seed=seed, what=what, fresh=fresh, threads=cores)
        with _stopping(reporter) as stopped:
            data = own.train(pictures, parent, plan, say=reporter.note, stopped=stopped)
        with atomic_write(output, overwrite=force) as file:
            file.write(data)
        model = modelfile.load(data)
        reporter.note(f"{shown(output)}: {len(data):,} bytes, id {model.id[:16]}")
        found = gain.gain(pictures, data, threads=cores)
        for line in found.lines():
            reporter.note(line)
        seconds = time.perf_counter() - begun
        record = {"input": name, "output": output, "id": model.id, "valid": model.notes.get("valid")}
        return {**record, **found.as_dict(), "seconds": seconds}

    reporter.finish(reporter.each([source], str, one), as_json)


def _need_torch() -> None:
    import importlib.util

    from bbcodec import backends

    if importlib.util.find_spec("torch") is None:
        refuse("training needs PyTorch: pip install 'bbcodec[train]'")
    if "native" not in backends.available():
        refuse("training needs the C++ module, which is not built here")


def _pictures(name: str) -> list[Pixels]:
    """Pictures as RGB8: of a folder and all below it, of an array, or of an archive."""
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


@contextlib.contextmanager
def _stopping(reporter: Reporter) -> Iterator[Callable[[], bool]]:
    """While the block runs, the first interrupt asks training to end; the next is what it ever was."""
    asked = False
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        reporter.note("training ends; what was best so far is kept")

    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
