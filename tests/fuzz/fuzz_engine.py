# SPDX-License-Identifier: Apache-2.0
"""The fuzz loop: mutate inputs, run them, and keep those that end at a new place in the code.

A random seed determines everything. The loop limits processor time and the growth of the peak memory of each
execution. If a process dies or hangs, its input remains in shared memory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import random
import resource
import signal
import struct
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from fuzz_forms import mutate
from fuzz_surfaces import SURFACES, Surface

from bbcodec.errors import BBCodecError

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT_BYTES = 1 << 18
MAX_POOL_INPUTS = 300  # inputs of a surface that are kept, the seeds included
EXECUTIONS_PER_TURN = 25  # before the loop chooses a surface again
_HEAD = struct.Struct("<QIId")  # executions, surface, bytes of the input, processor seconds at its start


class Late(BaseException):
    """An execution takes too long. It is not an `Exception`, so that no parser can catch it by accident."""


@dataclass
class Bounds:
    """Limits of one execution.

    Attributes
    ----------
    seconds : processor time.
    memory : growth of the process in bytes.
    """

    seconds: float = 2.0
    memory: int = 64 << 20


@dataclass
class Find:
    """An input whose execution ended with neither a result nor a `BBCodecError`."""

    surface: str
    kind: str
    text: str
    data: bytes

    def write(self, folder: Path, seed: int) -> Path:
        """Write input and report; return the path of the input."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.surface}-{self.kind}-{hashlib.sha256(self.data).hexdigest()[:12]}"
        path = folder / f"{name}.bin"
        path.write_bytes(self.data)
        note = {"surface": self.surface, "kind": self.kind, "seed": seed}
        path.with_suffix(".txt").write_text(f"{json.dumps(note)}\n{self.text}\n")
        return path


class Shared:
    """The current input of a process, in shared memory that survives the process."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _HEAD.size + MAX_INPUT_BYTES)

    def put(self, count: int, surface: int, data: bytes) -> None:
        """Record an execution that begins now."""
        _HEAD.pack_into(self._map, 0, count, surface, len(data), time.process_time())
        self._map[_HEAD.size : _HEAD.size + len(data)] = data

    def get(self) -> tuple[int, int, bytes, float]:
        """Return the number of executions, the number of the surface, the input, and its start.

        The start is in seconds of processor time.
        """
        count, surface, size, began = _HEAD.unpack_from(self._map, 0)
        return count, surface, self._map[_HEAD.size : _HEAD.size + size], began


def seeds(surface: str) -> list[bytes]:
    """Return the corpus of a surface."""
    return [path.read_bytes() for path in sorted((CORPUS / surface).iterdir())]


def _late(number: int, frame: FrameType | None) -> NoReturn:
    raise Late


def attempt(name: str, data: bytes, bounds: Bounds) -> tuple[Find | None, tuple[object, ...]]:
    """Run one input.

    Returns
    -------
    The find, or None; and the place where it ended: the type of the error and the lines that raised it.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    place: tuple[object, ...] = ("fine",)
    kind, text = "", ""
    old = signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, bounds.seconds)
    try:
        try:
            SURFACES[name].run(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except BBCodecError as error:
        place = _place(error)
    except Late:
        kind, text = "late", traceback.format_exc()
    except Exception as error:
        kind, text, place = "crash", traceback.format_exc(), _place(error)
    finally:
        signal.signal(signal.SIGPROF, old)
    took = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if not kind and took > bounds.seconds:
        kind, text = "late", f"{took:.2f} s of processor time"
    if not kind and grown > bounds.memory:
        kind, text = "memory", f"the process grew by {grown >> 20} MiB"
    return (Find(name, kind, text, data) if kind else None), place


def _place(error: BaseException) -> tuple[object, ...]:
    lines: list[object] = []
    trace = error.__traceback__
    while trace is not None:
        lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    return (type(error), *lines[-3:])


@dataclass
class _Pool:
    surface: Surface
    seeds: list[bytes]
    places: set[tuple[object, ...]] = field(default_factory=set)


class Loop:
    """Executions on some surfaces, one after the other.

    Parameters
    ----------
    names : names of the surfaces.
    seed : random seed.
    bounds : limits of each execution.
    shared : where each input is recorded, or None.
    """

    def __init__(
        self, names: list[str], seed: int, bounds: Bounds | None = None, shared: Shared | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._bounds, self._shared = bounds or Bounds(), shared
        self._pools = {name: _Pool(SURFACES[name], seeds(name)) for name in names}
        self._numbers = {name: number for number, name in enumerate(SURFACES)}
        self.counts = dict.fromkeys(names, 0)
        self.executions = self._turn = 0
        for name, pool in self._pools.items():  # modules loaded once must not count as growth later
            for data in pool.seeds:
                self._note(name, data)
                attempt(name, data, Bounds(20, 1 << 60))

    def finds(self, seconds: float | None = None, executions: int | None = None) -> Iterator[Find]:
        """Run for some seconds or some executions, and yield the finds."""
        end = None if seconds is None else time.monotonic() + seconds
        goal = None if executions is None else self.executions + executions
        names = list(self._pools)
        shares = [pool.surface.share for pool in self._pools.values()]
        while True:
            # Begin with one turn of each surface, so that a short run includes all of them.
            first = self._turn < len(names)
            name = names[self._turn] if first else self._rng.choices(names, shares)[0]
            self._turn += 1
            for _ in range(EXECUTIONS_PER_TURN):
                if (end is not None and time.monotonic() >= end) or self.executions == goal:
                    return
                if found := self._one(name):
                    yield found

    def each(self, executions: int) -> Iterator[Find]:
        """Run every surface `executions` times, and yield the finds."""
        for name in self._pools:
            for _ in range(executions):
                if found := self._one(name):
                    yield found

    def _note(self, name: str, data: bytes) -> None:
        if self._shared is not None:
            self._shared.put(self.executions, self._numbers[name], data)

    def _one(self, name: str) -> Find | None:
        pool, rng = self._pools[name], self._rng
        data = mutate(rng, pool.surface.form, rng.choice(pool.seeds), rng.choice(pool.seeds))[
            :MAX_INPUT_BYTES
        ]
        self._note(name, data)
        found, place = attempt(name, data, self._bounds)
        self.executions += 1
        self.counts[name] += 1
        if place not in pool.places:
            pool.places.add(place)
            if len(pool.seeds) < MAX_POOL_INPUTS and len(data) < 1 << 14:
                pool.seeds.append(data)
        return found


def strict_warnings() -> None:
    """Turn warnings that users would see into errors, except deprecations of other packages."""
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", DeprecationWarning)
