# SPDX-License-Identifier: Apache-2.0
"""Several processes compress and decompress at once, for minutes: memory stays flat, every byte is the same.

    python benchmarks/load.py --processes 4 --minutes 10

The pictures are made up from a seed. What each case must give (the SHA-256 of the file) is found once, by one
thread of the parent; then every process goes through all cases in an order of its own, again and again, with
one or two threads in turn, and compares bytes and pixels. Memory is the resident set of each process: the
median of the last fifth of the time must not be above that of the second fifth by more than ``--growth``; the
first fifth, in which models and caches are loaded, does not count. Exit code 1 where anything is amiss.
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
Work: TypeAlias = Callable[[int], bytes]  # threads to a file, which was decoded and compared
Sample: TypeAlias = tuple[float, float]  # seconds since the start, MB

FIFTHS = 5


def picture(height: int, width: int, channels: int, seed: int) -> Pixels:
    """Waves, an edge and noise, uint8 [H, W, C], or [H, W] for one channel."""
    y, x = np.mgrid[:height, :width]
    light = 110 + 60 * np.sin(x / (7 + seed)) * np.cos(y / 11) + 40 * (x > y)
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, channels))
    pixels = np.clip(light[..., None] + 9 * np.arange(channels) + noise, 0, 255).astype(np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def one(image: Pixels, **options: Any) -> Work:
    """A picture through a file."""

    def work(threads: int) -> bytes:
        data = bbcodec.compress(image, threads=threads, verify=False, **options)
        if not np.array_equal(bbcodec.decompress(data, threads=threads), image):
            raise AssertionError("the pixels differ")
        return data

    return work


def many(images: Mapping[str, Pixels], **options: Any) -> Work:
    """Pictures through an archive."""

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
    """Every profile, the classic methods, and archives."""
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
    """Resident set of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def loop(job: int, digests: Mapping[str, str], seconds: float, pipe: Connection) -> None:
    """Work until the time is up; send rounds, samples of memory, and what went wrong."""
    order, work = random.Random(job), cases()
    names, samples, count = list(work), [], 0
    start = time.monotonic()
    failure = ""
    while not failure and time.monotonic() - start < seconds:
        order.shuffle(names)
        for name in names:
            try:
                found = hashlib.sha256(work[name](1 + count % 2)).hexdigest()
            except Exception as error:  # whatever it is, it is what this looks for
                failure = f"{name}: {type(error).__name__}: {error}"
                break
            if found != digests[name]:
                failure = f"{name}: other bytes than at first"
                break
            count += 1
            samples.append((time.monotonic() - start, resident()))
    pipe.send((count, samples, failure))


def part(samples: list[Sample], number: int, seconds: float) -> float:
    """Median of the memory in a fifth of the time."""
    first, last = seconds * number / FIFTHS, seconds * (number + 1) / FIFTHS
    is_last = number == FIFTHS - 1  # in which what was begun in time may end late
    return statistics.median(mb for at, mb in samples if first <= at and (at < last or is_last))


def main() -> int:
    """Run the processes; print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--growth", type=float, default=4, help="MB that a process may grow [%(default)s]")
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
    amiss, open_pipes = 0, list(pipes)
    while open_pipes:
        for pipe in wait(open_pipes):
            open_pipes.remove(pipe)  # type: ignore[arg-type]
            amiss += not row(pipes.index(pipe), pipe, 60 * args.minutes, args.growth)  # type: ignore[arg-type]
    for process in processes:
        process.join()
    return 1 if amiss else 0


def row(job: int, pipe: Connection, seconds: float, growth: float) -> bool:
    """Print what a process sends; return whether all is well."""
    try:
        count, samples, failure = pipe.recv()
    except EOFError:
        print(f"| {job + 1} | | | | ended before its time |", flush=True)
        return False
    if failure:
        print(f"| {job + 1} | {count:,} | | | {failure} |", flush=True)
        return False
    early, late = part(samples, 1, seconds), part(samples, FIFTHS - 1, seconds)
    flat = late <= early + growth
    told = "same bytes, same pixels" + ("" if flat else f"; memory grew by {late - early:.1f} MB")
    print(f"| {job + 1} | {count:,} | {early:.1f} | {late:.1f} | {told} |", flush=True)
    return flat


if __name__ == "__main__":
    sys.exit(main())
