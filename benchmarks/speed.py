# SPDX-License-Identifier: Apache-2.0
"""Measure the speed of bbcodec, WebP, JPEG XL and PNG: in one process, as whole processes, and start-up.

    python benchmarks/speed.py --threads 1,2 --thumbs 10000 --plot speed.svg > docs/results/speed.md
    python benchmarks/speed.py --backends native,native:portable,numba --fast-peers      compare backends
    python benchmarks/speed.py --count 1 --runs 1 --fast-peers --profiles photo          a trial

Every round trip is verified, and wrong pixels end the run. The runs of all rows are interleaved, round by
round, so that noise of the machine affects all equally. A result is the median of its runs. The peers use one
thread: compare them with the rows of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import speed_thumbs
from rates import available, machine
from rates_peers import Pixels, exact
from rates_sets import SETS, ImageSet
from speed_codecs import Backend, Codec, RoundTripError, ours, theirs
from speed_plot import svg
from speed_process import Process, decoding, heavy_imports, round_trip, run
from speed_report import WAYS, Measured, Row, figures, panel, process_figures, report

from bbcodec import modelfile
from bbcodec.errors import OptionError

FAST, SLOW = ("png", "jxl3", "jxl7"), ("webp", "jxl9")
START_SIDE = 64  # side of the picture of the start-up rows, pixels


def in_process(row: Row, images: list[Pixels]) -> None:
    """Encode and decode all pictures once in this process.

    Raises
    ------
    RoundTripError
        The pixels differ, or the bytes differ from those of an earlier run.
    """
    start = time.perf_counter()
    files = [row.codec.encode(image) for image in images]
    middle = time.perf_counter()
    decoded = [row.codec.decode(data) for data in files]
    end = time.perf_counter()
    if not all(map(exact, images, decoded)):
        raise RoundTripError(f"{row.codec.label}: the decoded pictures differ")
    nbytes = sum(map(len, files))
    if row.nbytes not in (0, nbytes):
        raise RoundTripError(f"{row.codec.label}: {nbytes} bytes, but {row.nbytes} in an earlier run")
    row.nbytes = nbytes
    for way, seconds in zip(WAYS, (middle - start, end - middle), strict=True):
        row.seconds[way].append(seconds)


def as_processes(row: Row, image: Pixels, folder: Path) -> None:
    """Encode and decode one picture once, each in its own process."""
    for way, process in zip(WAYS, round_trip(row.codec, image, folder), strict=True):
        row.whole[way].append(process)


def measure(codecs: list[Codec], pictures: ImageSet, runs: int, folder: Path) -> list[Row]:
    """Measure the rows of a set. The error of a codec is reported in its row; wrong pixels end the run."""
    rows = [Row(codec) for codec in codecs]

    def attempt(row: Row, what: str, work: Callable[[], None]) -> None:
        if row.error:
            return
        try:
            work()
        except RoundTripError:
            raise
        except row.codec.refusals as error:
            row.error = " ".join(str(error).split()) or type(error).__name__
        progress = f"{pictures.name}: {what}: {row.codec.label}{row.error and ': ' + row.error}"
        print(progress, file=sys.stderr, flush=True)

    small = picture_of_start()
    for row in rows:  # imports, models and compilation are not timed
        attempt(row, "warm-up", partial(in_process, Row(row.codec), [small]))
    for i in range(runs):
        for row in rows:
            attempt(row, f"run {i + 1}", partial(in_process, row, pictures.images))
        for row in rows:
            attempt(row, f"processes {i + 1}", partial(as_processes, row, pictures.images[0], folder))
    return rows


def picture_of_start() -> Pixels:
    """Return a small picture with gradients, an edge and noise."""
    y, x = np.mgrid[:START_SIDE, :START_SIDE]
    base = np.stack([60 + 2 * x, 200 - y, 90 + 60 * (x > y)], axis=2)
    return np.clip(base + np.random.default_rng(0).normal(0, 4, base.shape), 0, 255).astype(np.uint8)


def start_up(codecs: list[Codec], runs: int, folder: Path) -> list[dict[str, Any]]:
    """Measure start-up: Python alone, the help text, and a small picture with each codec."""
    bbcodec, image = [sys.executable, "-m", "bbcodec"], picture_of_start()
    size = f"{START_SIDE} × {START_SIDE}"
    decoders = {f"`bbcodec decompress`, {size}: {codec.label}": codec for codec in codecs}
    imports: dict[str, list[str] | None] = {"`python -c pass`": None}
    imports["`bbcodec --help`"] = heavy_imports(["--help"])
    processes: dict[str, list[Process]] = {name: [] for name in (*imports, *decoders)}
    coded, decoded = folder / "start.coded", folder / "decoded.ppm"
    for i in range(runs):
        processes["`python -c pass`"].append(run([sys.executable, "-c", "pass"]))
        processes["`bbcodec --help`"].append(run([*bbcodec, "--help"]))
        for name, codec in decoders.items():
            coded.write_bytes(codec.encode(image))
            processes[name].append(decoding(codec, coded, image))
            if i == 0:
                words = codec.command("decode", coded, decoded)[len(bbcodec) :]
                imports[name] = heavy_imports(words, codec.variables)
    return [
        {"start": name, "imports": imports[name], **process_figures("", runs_of_it)}
        for name, runs_of_it in processes.items()
    ]


def conditions(
    profiles: list[str], backends: list[Backend], settings: list[str], load: float | None
) -> list[str]:
    """Return the conditions of the run, one line each: versions, settings and model ids."""
    lines = [f"bbcodec {version('bbcodec')}; Python {platform.python_version()}, NumPy {np.__version__}"]
    lines.append(machine() + ("" if load is None else f"; load when the run began {load:.1f}"))
    for profile in profiles:
        model = modelfile.load_named(profile)
        name = Path(profile).stem
        lines.append(f"bbcodec {name}: method=learned, model {model.id} ({model.nbytes:,} bytes)")
    return lines + [backend.facts() for backend in backends if profiles] + settings


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    data = Path(__file__).resolve().parents[2] / "shared/data"
    p.add_argument("--data", type=Path, default=data, help="folder of the sets [%(default)s]")
    p.add_argument("--set", default="kodak", help=f"sets among {','.join(SETS)} [%(default)s]")
    p.add_argument(
        "--count", type=int, default=4, help="use only the first pictures of a set; 0: all [%(default)s]"
    )
    p.add_argument("--profiles", help="names or .bbm paths; 'none': only peers [released ones of `local`]")
    p.add_argument(
        "--threads", default="1", help="threads of bbcodec, such as 1,2; peers use 1 [%(default)s]"
    )
    p.add_argument(
        "--backends",
        default="native",
        help="such as native,native:portable,numba; `native` uses BBCODEC_TARGET [%(default)s]",
    )
    p.add_argument("--runs", type=int, default=3, help="runs; the median is reported [%(default)s]")
    p.add_argument("--fast-peers", action="store_true", help="leave out WebP and JPEG XL e9")
    p.add_argument(
        "--thumbs", type=int, default=0, metavar="N", help="also measure N pictures of 32 x 32 in one batch"
    )
    p.add_argument("--json", type=Path, metavar="PATH", help="also write the results of every run as JSON")
    p.add_argument("--plot", type=Path, metavar="PATH.svg", help="write a plot of size against speed")
    return p


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line, and exit with an error if an option is not valid."""
    p = parser()
    options = p.parse_args(argv)
    if unknown := [name for name in options.set.split(",") if name not in SETS]:
        p.error(f"unknown set {', '.join(unknown)}, expected {', '.join(SETS)}")
    if options.runs < 1 or options.count < 0 or options.thumbs < 0:
        p.error(
            "--runs must be at least 1, --count and --thumbs at least 0 "
            f"(got {options.runs}, {options.count}, {options.thumbs})"
        )
    try:
        options.thread_counts = [int(count) for count in options.threads.split(",")]
        options.chosen = [Backend.parse(text) for text in options.backends.split(",")]
    except (ValueError, OptionError) as error:
        p.error(str(error))
    if min(options.thread_counts) < 1:
        p.error(f"--threads must be at least 1 each (got {options.threads})")
    return options


def command(options: argparse.Namespace) -> str:
    """Return the command with those options that affect the results."""
    words = ["python benchmarks/speed.py"]
    for name in ("set", "count", "profiles", "threads", "backends", "runs", "fast_peers", "thumbs"):
        value = getattr(options, name)
        if value != parser().get_default(name):
            if name == "profiles":  # reports must not contain paths of this machine
                value = ",".join(Path(profile).name for profile in value.split(","))
            words.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    return " ".join(words)


def chosen_profiles(wanted: str | None) -> tuple[list[str], list[str]]:
    """Return the profiles to measure, and why others are skipped. Default: those of the family `local`."""
    profiles, skipped = available(wanted)
    if wanted is None:
        profiles = [name for name in profiles if modelfile.load_named(name).family == "local"]
    return profiles, skipped


def thumbs_of(options: argparse.Namespace, skipped: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the batch, or none if they are not requested or not possible."""
    if not options.thumbs:
        return []
    if missing := set(speed_thumbs.PROFILES) - set(modelfile.released()):
        skipped.append(f"thumbs: no profile {', '.join(sorted(missing))}")
        return []
    try:
        images = speed_thumbs.pictures(options.data, options.thumbs)
    except (FileNotFoundError, ValueError) as error:
        skipped.append(f"thumbs: {error}")
        return []
    return speed_thumbs.rows(images, options.thread_counts, options.chosen, options.runs)


def main(argv: list[str] | None = None) -> None:
    """Measure, and print a report in Markdown."""
    options = arguments(argv)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    profiles, skipped = chosen_profiles(options.profiles)
    peers, settings, missing = theirs(list(FAST if options.fast_peers else (*FAST, *SLOW)))
    skipped += missing
    rows = [
        ours(p, n, backend) for p in profiles for backend in options.chosen for n in options.thread_counts
    ]
    first = [ours(p, options.thread_counts[0], backend) for p in profiles for backend in options.chosen]
    sets: Measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.set.split(","):
            try:
                pictures = SETS[name](options.data, options.count or None)
            except FileNotFoundError as error:
                skipped.append(f"set {name}: {error}")
                continue
            measured = measure(rows + peers, pictures, options.runs, Path(folder))
            sets[name] = (pictures, [figures(row, pictures) for row in measured])
        starts = start_up(first, options.runs, Path(folder))
    thumbs = thumbs_of(options, skipped)
    used = [*profiles, *(sorted(set(speed_thumbs.PROFILES) - set(profiles)) if thumbs else ())]
    lines = conditions(used, options.chosen, settings, load)
    print(report(command(options), options.runs, lines, skipped, sets, starts, thumbs))
    if options.plot is not None:
        panels = [panel(*measured) for measured in sets.values()]
        options.plot.write_text(svg([p for p in panels if p is not None]), encoding="utf-8")
    if options.json is not None:
        content = {
            "command": command(options),
            "conditions": lines,
            "skipped": skipped,
            "sets": {
                name: {"pictures": len(p.images), "pixels": p.pixels, "dims": p.dims, "rows": found}
                for name, (p, found) in sets.items()
            },
            "starts": starts,
            "thumbs": thumbs,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
