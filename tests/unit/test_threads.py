# SPDX-License-Identifier: Apache-2.0
"""Threads: no more than the work has parts, fewer where the system gives no more, always the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_modes import compiled

from bbcodec import backends, jobs
from bbcodec.jobs import MAX_THREADS, Execution, Pool, parallel

HELPERS = Path(__file__).resolve().parents[1] / "helpers"

# ---------------------------------------------------------------------------------- the pool


@pytest.fixture
def thread_limit(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let Python start no more than ``left`` threads."""
    limit = {"left": 0}
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if limit["left"] < 1:
            raise RuntimeError("can't start new thread")
        limit["left"] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return limit


@pytest.mark.parametrize("left", [0, 1, 2])
def test_parallel_goes_on_with_fewer_threads(thread_limit: dict[str, int], left: int) -> None:
    thread_limit["left"] = left
    seen = []

    def square(n: int) -> int:
        seen.append(threading.get_ident())
        time.sleep(0.01)
        return n * n

    assert parallel(square, range(20), 8) == [n * n for n in range(20)]
    assert len(seen) == 20, "every item is done once"
    assert len(set(seen)) <= left + 1
    assert threading.get_ident() in seen, "the calling thread works too"


@pytest.mark.parametrize("left", [0, 1, 8])
def test_after_an_error_no_further_item_starts(thread_limit: dict[str, int], left: int) -> None:
    thread_limit["left"] = left
    started = []

    def fails(n: int) -> None:
        started.append(n)
        if n == 2:
            raise ValueError("two")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="two"):
        parallel(fails, range(100), 2)
    assert len(started) < 10


def test_an_interrupt_on_the_calling_thread_is_not_lost(thread_limit: dict[str, int]) -> None:
    started = []

    def interrupted(n: int) -> None:
        started.append(n)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel(interrupted, range(3), 2)
    assert started == [0]


def test_a_pool_that_is_shut_down_takes_no_calls() -> None:
    pool = Pool(1)
    assert pool.submit(int, "7").result() == 7
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(int, "7")


def test_threads_are_limited() -> None:
    assert Execution(100_000).workers == MAX_THREADS
    assert Execution(3).workers == 3
    assert Execution().workers == min(jobs.cpus(), MAX_THREADS)
    assert parallel(abs, [], 5) == []

    lock, most = threading.Lock(), [0]

    def count(_: int) -> None:
        with lock:
            most[0] = max(most[0], threading.active_count())
        time.sleep(0.02)

    before = threading.active_count()
    parallel(count, range(3), 100_000)
    assert most[0] <= before + 3
    pool = Pool(100_000)
    for n in range(2 * MAX_THREADS):
        pool.submit(count, n)
    pool.shutdown()
    assert most[0] <= before + MAX_THREADS


# ---------------------------------------------------------------------------------- a system without threads

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_int left = 1 << 30, created;

void limit_threads(int n) { left = n, created = 0; }
int threads_created(void) { return created; }

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_fetch_sub(&left, 1) < 1) return EAGAIN;
    atomic_fetch_add(&created, 1);
    return real(thread, attr, start, arg);
}
"""

_PROGRAM = r"""
import ctypes, sys, tempfile
from pathlib import Path
import numpy as np
import bbcodec
from bbcodec.families import batch
from bbcodec.jobs import Execution
from bbcodec.modelfile import registry
from small_pictures import pictures

library = ctypes.CDLL(sys.argv[1])
backend, side = sys.argv[2], int(sys.argv[3])
picture = pictures(1, side, side + 5, seed=3)[0]
group = pictures(6, 12, 9, seed=1)
folder = Path(tempfile.mkdtemp())

def everything(threads):
    files = [bbcodec.compress(picture, method="learned", model=model, backend=backend, threads=threads)
             for model in ("fast", "rvae")]
    for data in files:
        assert np.array_equal(bbcodec.decompress(data, backend=backend, threads=threads), picture)
    found, execution = registry.find("thumb"), Execution(threads, backend)
    files.append(batch.encode(group, found, execution))
    assert np.array_equal(batch.decode(files[-1], found, execution), group)
    files.append(bbcodec.compress(picture, method="classic", threads=threads))
    path = folder / "a.bb"
    options = {"model": "fast", "method": "learned", "backend": backend, "threads": threads, "batch": 2}
    with bbcodec.Archive(path, "w", **options) as archive:
        for n, image in enumerate(group):
            archive[f"{n}.png"] = image
    files.append(path.read_bytes())
    return files

expected = everything(1)
for left in (0, 1, 3):
    library.limit_threads(left)
    assert everything(4) == expected, left
    assert library.threads_created() <= left
library.limit_threads(1 << 30)
assert everything(100000) == expected
print(library.threads_created())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="preloading a library is tested on Linux")
@pytest.mark.parametrize("backend", backends.available())
def test_a_system_without_threads(backend: str, tmp_path: Path) -> None:
    """Neither the pools of Python nor the crew of the native module need more than the calling thread."""
    library = compiled("no_threads", _SOURCE, "-ldl", "-pthread")
    side = "9" if backend == "numpy" else "70"
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "PYTHONPATH": os.pathsep.join([str(HELPERS), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(library), backend, side],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100, "100,000 threads were asked for"


@pytest.mark.skipif("native" not in backends.available(), reason="the native module is not built")
def test_a_crew_is_no_larger_than_its_work() -> None:
    from bbcodec.families.local import native
    from bbcodec.families.local.model import LocalModel
    from bbcodec.modelfile.registry import find

    model = LocalModel.from_model(find("fast"))
    picture: Any = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    expected = native.plan([picture], model)
    assert np.array_equal(native.plan([picture], model, threads=2**31 - 1), expected)
    assert np.array_equal(native.plan([picture], model, threads=-5), expected)
