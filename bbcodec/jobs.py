# SPDX-License-Identifier: Apache-2.0
"""What the learned coders share: results and their statistics, progress, and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Message

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]

Lost = dict[int, str]
"""Chains that cannot be decoded, and why. A decoder that is given one leaves out those that are in it, and
adds those that turn out to be damaged, where it would raise otherwise; their pixels are `GRAY`."""

GRAY = 128
"""What a sample that is lost becomes."""

_PATIENCE = 0.2  # seconds until a signal is answered


@dataclass(frozen=True, slots=True)
class ChainStats:
    """How a picture was coded, all chains together; bits are of the message, tiles are counts.

    Attributes
    ----------
    tiles, causal_tiles : all, and those coded without latents.
    causal_bits, latent_bits : net bits of either kind of tile. The causal tiles lend the latents their
        initial bits and get them back.
    lost_bits : what is not got back: the base state of the first lanes, and the folding into words.
    """

    tiles: int
    causal_tiles: int
    causal_bits: float
    latent_bits: float
    lost_bits: float


@dataclass(frozen=True, slots=True)
class EncodedPixels:
    """Payload of every chain, in order, and how they came about."""

    chains: list[bytes]
    stats: ChainStats


def size_bits(message: Message) -> int:
    """Bits of a message to within one a lane, in integers: decisions made with it are the same everywhere."""
    head, tail = message
    bits = sum(int(lane).bit_length() for lane in head)
    while tail:
        words, tail = tail
        bits += 32 * len(words)
    return bits


class Report:
    """Counts tiles for a progress callback."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def tile(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> list[Any]:
    """What a function returns for every job, in order; 0 threads are one per CPU.

    The calling thread does nothing but wait, even for a single job, so that it answers signals at once while
    others are deep in native code. Once something is raised, no further job begins; an interruption
    (KeyboardInterrupt, SystemExit) does not wait for those at work either.
    """
    pool = ThreadPoolExecutor(max(1, min(threads or cpus(), len(jobs))))
    futures = [pool.submit(function, job) for job in jobs]
    results: list[Any] = []
    try:
        for future in futures:
            # The system may give a signal to a worker, and then nothing but the time ends a wait.
            while not future.done():
                wait([future], _PATIENCE)
            results.append(future.result())
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return results
