# SPDX-License-Identifier: Apache-2.0
"""Compress and decompress in several processes for minutes; check that memory and bytes do not change.

    python benchmarks/load.py --processes 4 --minutes 10

Pictures are generated from a seed. One thread of the parent computes the expected SHA-256 of each file once.
Then every process repeats all cases in random order, with one or two threads in turn, and compares bytes and
pixels. Memory is the resident set of each process. Its median in the last fifth of the time may exceed that
of the second fifth by at most ``--growth``. The first fifth, in which models and caches are loaded, does not
count. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import bbcodec

Pixels: TypeAlias = np.ndarray[Any, Any]
Work: TypeAlias = Callable[[int], bytes]  # number of threads -> a file, after a verified round trip
Sample: TypeAlias = tuple[float, float]  # seconds since the start, MB

FIFTHS = 5


def picture(height: int, width: int, channels: int, seed: int) -> Pixels:
    """Return waves, an edge and noise: uint8 [H, W, C], or [H, W] for one channel."""
    y, x = np.mgrid[:height, :width]
    light = 110 + 60 * np.sin(x / (7 + seed)) * np.cos(y / 11) + 40 * (x > y)
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, channels))
    pixels = np.clip(light[..., None] + 9 * np.arange(channels) + noise, 0, 255).astype(np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def one(image: Pixels, **options: Any) -> Work:
    """Return a case: one picture in a file."""

    def work(threads: int) -> bytes:
        data = bbcodec.compress(image, threads=threads, verify=False, **options)
        if not np.array_equal(bbcodec.decompress(data, threads=threads), image):
            raise AssertionError("the pixels differ")
        return data

    return work


def many(images: Mapping[str, Pixels], **options: Any) -> Work:
    """Return a case: pictures in an archive."""

    def work(threads: int) -> bytes:
        file = io.BytesIO()
        with bbcodec.Archive(file, "w", threads=threads, verify=False, **options) as archive:
            for name, image in images.items():
                archive[name] = image
        with bbcodec.Archive(file, threads=threads) as archive:
            for name, image in images.items():
                if not np.array_equal(archive[name], image):
                    raise AssertionError(f"the pixels of {name} differ")
        return file.getvalue()

    return work


def cases() -> dict[str, Work]:
    """Return all cases by name: every profile, the classic methods, and archives."""
    deep = picture(90, 110, 3, 1).astype(np.uint16) * 257 + 3
    small = {f"{i}": picture(20 + i, 32, 3, i) for i in range(12)}
    found: dict[str, Work] = {
        "photo": one(picture(120, 140, 3, 2), method="learned"),
        "photo, alpha": one(picture(60, 77, 4, 3), method="learned"),
        "fast, blocks": one(picture(90, 700, 3, 4), method="learned", model="fast"),
        "rvae": one(picture(130, 90, 3, 5), method="learned", model="rvae"),
        "markov": one(picture(64, 140, 1, 6), method="learned", model="markov"),
        "flowpp": one(picture(40, 40, 3, 7), method="learned", model="flowpp"),
        "auto": one(picture(150, 150, 3, 8)),
        "classic": one(picture(300, 400, 3, 9), method="classic"),
        "16 bits": one(deep),
        "archive, photo": many(small),
        "archive, thumb": many(small, model="thumb", method="learned"),
    }
    return found


def resident() -> float:
    """Return the resident set of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def loop(job: int, digests: Mapping[str, str], seconds: float, pipe: Connection) -> None:
    """Work until the time is over; send the number of rounds, samples of memory, and the failure or ""."""
    order, work = random.Random(job), cases()
    names, samples, count = list(work), [], 0
    start = time.monotonic()
    failure = ""
    while not failure and time.monotonic() - start < seconds:
        order.shuffle(names)
        for name in names:
            try:
                found = hashlib.sha256(work[name](1 + count % 2)).hexdigest()
            except Exception as error:  # any error is a failure of the test
                failure = f"{name}: {type(error).__name__}: {error}"
                break
            if found != digests[name]:
                failure = f"{name}: the bytes differ from those of the first run"
                break
            count += 1
            samples.append((time.monotonic() - start, resident()))
    pipe.send((count, samples, failure))


def part(samples: list[Sample], number: int, seconds: float) -> float:
    """Return the median of the memory in a fifth of the time, in MB."""
    first, last = seconds * number / FIFTHS, seconds * (number + 1) / FIFTHS
    is_last = number == FIFTHS - 1  # it includes work that began in time and ended late
    return statistics.median(mb for at, mb in samples if first <= at and (at < last or is_last))


def main() -> int:
    """Run the processes, and print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--growth", type=float, default=4, help="allowed growth of a process, MB [%(default)s]"
    )
    args = parser.parse_args()
    digests = {name: hashlib.sha256(work(1)).hexdigest() for name, work in cases().items()}
    context = multiprocessing.get_context("spawn")
    processes, pipes = [], []
    for job in range(args.processes):
        ours, theirs = context.Pipe(False)
        process = context.Process(target=loop, args=(job, digests, 60 * args.minutes, theirs))
        process.start()
        theirs.close()
        processes.append(process)
        pipes.append(ours)
    print(f"`python benchmarks/load.py --processes {args.processes} --minutes {args.minutes:g}`\n")
    print(
        "| process | round trips | MB, second fifth | MB, last fifth | |\n| --- | ---: | ---: | ---: | --- |"
    )
    failures, open_pipes = 0, list(pipes)
    while open_pipes:
        for pipe in wait(open_pipes):
            open_pipes.remove(pipe)  # type: ignore[arg-type]
            failures += not row(pipes.index(pipe), pipe, 60 * args.minutes, args.growth)  # type: ignore[arg-type]
    for process in processes:
        process.join()
    return 1 if failures else 0


def row(job: int, pipe: Connection, seconds: float, growth: float) -> bool:
    """Print the row of a process; return whether the process passed."""
    try:
        count, samples, failure = pipe.recv()
    except EOFError:
        print(f"| {job + 1} | | | | ended too early |", flush=True)
        return False
    if failure:
        print(f"| {job + 1} | {count:,} | | | {failure} |", flush=True)
        return False
    early, late = part(samples, 1, seconds), part(samples, FIFTHS - 1, seconds)
    is_flat = late <= early + growth
    result = "same bytes, same pixels" + ("" if is_flat else f"; memory grew by {late - early:.1f} MB")
    print(f"| {job + 1} | {count:,} | {early:.1f} | {late:.1f} | {result} |", flush=True)
    return is_flat


if __name__ == "__main__":
    sys.exit(main())
