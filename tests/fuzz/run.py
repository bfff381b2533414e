# SPDX-License-Identifier: Apache-2.0
"""Run damaged and hostile inputs on every surface::

    python tests/fuzz/run.py --seconds 600 --jobs 2
    python tests/fuzz/run.py --surface model,delta --executions 100000 --seed 7
    python tests/fuzz/run.py --replay finds/*.bin
    python tests/fuzz/run.py --surface container --engine atheris --seconds 600  # if installed

Prints the number of executions by surface. Finds are written to the folder ``--finds``, input and report, and
the exit code is 1. An execution may take 2 s of processor time, and may raise the peak memory by 64 MiB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

_EXTRA_ADDRESS_BYTES = 1 << 30  # address space for a process beyond that after its seeds
_MAX_PROCESSOR_SECONDS = 30.0  # of one execution; then its process is killed
_MAX_IDLE_SECONDS = 300.0  # without a new execution and without processor time; then the process is killed
_MAX_EQUAL_FINDS = 3  # finds of one kind and place that are written


def main() -> int:
    """Run the command line; return 1 if anything was found."""
    options = _arguments()
    if options.engine == "atheris":
        return _atheris(options)
    import fuzz_engine

    names = options.surface.split(",") if options.surface else list(fuzz_engine.SURFACES)
    if wrong := [name for name in names if name not in fuzz_engine.SURFACES]:
        raise SystemExit(
            f"--surface: unknown surface {', '.join(wrong)}, expected {', '.join(fuzz_engine.SURFACES)}"
        )
    bounds = fuzz_engine.Bounds(options.time_limit, options.memory_limit << 20)
    if options.replay:
        return _replay(options.replay, bounds)
    crews = [_Crew(names, options, job, bounds) for job in range(options.jobs)]
    started = time.monotonic()
    try:
        going = crews
        while going:
            going = [crew for crew in going if crew.watch()]
            time.sleep(0.2)
    except KeyboardInterrupt:
        for crew in crews:
            crew.end()
    counts: Counter[str] = sum((crew.counts for crew in crews), Counter())
    finds: Counter[tuple[str, str]] = sum((crew.finds for crew in crews), Counter())
    for name in names:
        print(f"{name:12}{counts[name]:>12,}")
    print(f"{'all':12}{sum(counts.values()):>12,} executions in {time.monotonic() - started:.0f} s")
    for (kind, place), count in finds.items():
        print(f"found {count} times: {kind}: {place}")
    return 1 if finds else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("::")[0])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--executions", type=int, help="executions of every job")
    parser.add_argument("--surface", help="names, separated by commas; default: all")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finds", type=Path, default=Path("finds"))
    parser.add_argument("--replay", type=Path, nargs="+")
    parser.add_argument("--engine", choices=("own", "atheris"), default="own")
    parser.add_argument("--time-limit", type=float, default=2.0, help="seconds of processor time")
    parser.add_argument("--memory-limit", type=int, default=64, help="MiB")
    parser.add_argument("--report", type=float, default=60.0, help="seconds between progress lines")
    options = parser.parse_args()
    if options.seconds is None and options.executions is None:
        options.seconds = 60.0
    return options


def _sanitized() -> bool:
    return "asan" in os.environ.get("LD_PRELOAD", "")


def _work(names: list[str], seed: int, options: Any, bounds: Any, shared: Any, pipe: Connection) -> None:
    """Fuzz in a child process: send finds and counts, and None at the end."""
    import fuzz_engine

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    fuzz_engine.strict_warnings()
    loop = fuzz_engine.Loop(names, seed, bounds, shared)
    if not _sanitized():  # the shadow memory of sanitizers takes terabytes of address space
        space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = space + _EXTRA_ADDRESS_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    left = options.executions
    end = None if options.seconds is None else time.monotonic() + options.seconds
    parent = os.getppid()
    while (left is None or left > 0) and (end is None or time.monotonic() < end):
        if os.getppid() != parent:  # the parent was killed
            return
        step = 500 if left is None else min(500, left)
        seconds = None if end is None else end - time.monotonic()
        for found in loop.finds(seconds, step):
            pipe.send(found)
        left = None if left is None else left - step
        pipe.send(dict(loop.counts))
    pipe.send(None)


class _Crew:
    """A process that fuzzes, and is started again when it dies."""

    def __init__(self, names: list[str], options: Any, job: int, bounds: Any) -> None:
        import fuzz_engine

        self._names, self._options, self._bounds = names, options, bounds
        self._surfaces = list(fuzz_engine.SURFACES)
        self._seed = options.seed * 1000 + job * 100
        self._before: Counter[str] = Counter()
        self._now: dict[str, int] = {}
        self.finds: Counter[tuple[str, str]] = Counter()
        self._end = None if options.seconds is None else time.monotonic() + options.seconds
        self._start()

    @property
    def counts(self) -> Counter[str]:
        """Return the number of executions by surface."""
        return self._before + Counter(self._now)

    def _start(self) -> None:
        import fuzz_engine

        if self._end is not None:
            self._options = argparse.Namespace(**vars(self._options))
            self._options.seconds = max(0.0, self._end - time.monotonic())
        context = multiprocessing.get_context("fork")
        self._shared = fuzz_engine.Shared()
        self._pipe, theirs = context.Pipe(False)
        self._process = context.Process(
            target=_work,
            args=(self._names, self._seed, self._options, self._bounds, self._shared, theirs),
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._seen = -1, time.monotonic()
        self._last_report = time.monotonic()

    def watch(self) -> bool:
        """Receive what the process sent; return whether it is still running."""
        try:
            while self._pipe.poll():
                message = self._pipe.recv()
                if message is None:
                    self._process.join()
                    return False
                if isinstance(message, dict):
                    self._now = message
                else:
                    self._found(message)
        except EOFError:
            self._process.join()
            return self._died(f"ended with code {self._process.exitcode}")
        if time.monotonic() - self._last_report > self._options.report:
            self._last_report = time.monotonic()
            state = f"{self.counts.total():,} executions, {self.finds.total()} finds"
            print(state, file=sys.stderr, flush=True)
        count, _, _, began = self._shared.get()
        used = _processor_seconds(self._process.pid)
        if self._seen[0] != count:
            self._seen = count, time.monotonic()
        elif used - began > _MAX_PROCESSOR_SECONDS or (
            time.monotonic() - self._seen[1] > _MAX_IDLE_SECONDS and used - began < _MAX_PROCESSOR_SECONDS / 2
        ):
            self._process.kill()
            self._process.join()
            return self._died("hangs in native code, or waits forever")
        return True

    def end(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.join()

    def _died(self, text: str) -> bool:
        import fuzz_engine

        count, surface, data, _ = self._shared.get()
        if not count and not self._now:
            raise SystemExit(f"surface {self._surfaces[surface]}: a seed kills the process: {text}")
        self._found(fuzz_engine.Find(self._surfaces[surface], "dead", text, data))
        self._before, self._now = self.counts, {}
        self._before[self._surfaces[surface]] += 1
        self._seed += 1
        if self._options.executions is not None:
            self._options.executions -= count
            if self._options.executions <= 0:
                return False
        if self._end is not None and time.monotonic() > self._end:
            return False
        self._start()
        return True

    def _found(self, found: Any) -> None:
        lines = [line.strip() for line in found.text.splitlines() if line.strip()]
        where = next((line for line in reversed(lines) if line.startswith("File ")), "")
        key = f"{found.surface} {found.kind}", f"{where} {lines[-1][:200] if lines else ''}"
        self.finds[key] += 1
        if self.finds[key] <= _MAX_EQUAL_FINDS:
            path = found.write(self._options.finds, self._seed)
            print(f"found: {key[0]}: {key[1]} ({path})", file=sys.stderr, flush=True)


def _processor_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _replay(paths: list[Path], bounds: Any) -> int:
    """Run files again. The surface is the start of the file name, or the name of the folder."""
    import fuzz_engine

    fuzz_engine.strict_warnings()
    bad = 0
    for path in paths:
        name = path.name.split("-")[0]
        name = name if name in fuzz_engine.SURFACES else path.parent.name
        found, place = fuzz_engine.attempt(name, path.read_bytes(), bounds)
        bad += found is not None
        print(f"{path}: {f'{found.kind}: {found.text}' if found else place[0]}")
    return 1 if bad else 0


def _atheris(options: argparse.Namespace) -> int:
    """Run one surface under libFuzzer, which uses code coverage."""
    import random

    import atheris
    import fuzz_engine

    name = options.surface
    if name not in fuzz_engine.SURFACES:
        raise SystemExit(f"--engine atheris needs exactly one --surface (got {name})")
    surface = fuzz_engine.SURFACES[name]
    pool = fuzz_engine.seeds(name)
    for data in pool:  # import modules that are imported late
        fuzz_engine.attempt(name, data, fuzz_engine.Bounds(20, 1 << 60))
    for function in _functions("bbcodec"):
        atheris.instrument_func(function)

    def one(data: bytes) -> None:
        found, _ = fuzz_engine.attempt(name, data, fuzz_engine.Bounds())
        if found:
            found.write(options.finds, options.seed)
            raise RuntimeError(found.text)

    def changed(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return fuzz_engine.mutate(rng, surface.form, data, rng.choice(pool))[:max_size]

    limits = [f"-max_total_time={options.seconds:.0f}"] if options.seconds else []
    limits += [f"-runs={options.executions}"] if options.executions else []
    folder = options.finds / "atheris" / name  # libFuzzer writes new inputs into the first folder
    folder.mkdir(parents=True, exist_ok=True)
    corpus = [str(folder), str(fuzz_engine.CORPUS / name)]
    atheris.Setup([sys.argv[0], *limits, "-rss_limit_mb=4096", *corpus], one, custom_mutator=changed)
    atheris.Fuzz()
    return 0


def _functions(package: str) -> Iterator[FunctionType]:
    """Yield the functions and methods of the imported modules of a package.

    An editable install has its own importer, so modules cannot be instrumented while they are imported.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != package:
            continue
        for value in list(vars(module).values()):
            inner = list(vars(value).values()) if isinstance(value, type) else [value]
            for found in inner:
                if isinstance(found, FunctionType) and found.__module__ == name:
                    yield found


if __name__ == "__main__":
    sys.exit(main())
