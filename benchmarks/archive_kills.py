# SPDX-License-Identifier: Apache-2.0
"""Kill `pack` and `append` with SIGKILL at random moments; check that nothing is lost and that they resume.

    python benchmarks/archive_kills.py --kills 20

Pictures are generated from a seed. After each kill, the old archive or none must exist; `test` must pass on
it, and all its pictures must decode exactly. The same command must resume. In the end it must give the same
bytes as an uninterrupted run.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bbcodec import Archive
from bbcodec.archive.output import PART


def make(folder: Path, count: int, seed: int) -> None:
    """Write small pictures with noise, so that coding takes long enough to be interrupted."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(count):
        y, x = np.mgrid[:32, :32]
        light = 120 + 60 * np.sin(x / rng.uniform(3, 12) + i) * np.cos(y / rng.uniform(3, 12))
        pixels = light[..., None] + rng.normal(0, 6, (32, 32, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{seed}_{i:04}.png")


def command(*words: object) -> list[str]:
    """Return the command line of the program in this environment."""
    return [sys.executable, "-m", "bbcodec", *map(str, words)]


def run(*words: object) -> None:
    """Run the program, and wait until it succeeds."""
    subprocess.run(command(*words, "-q"), check=True)


def check(archive: Path, folders: list[Path]) -> int:
    """Check that an archive is valid and holds all pictures of the folders; return how many it holds."""
    run("test", archive)
    with Archive(archive) as pictures:
        for folder in folders:
            for path in folder.iterdir():
                if not np.array_equal(pictures[path.name], np.asarray(Image.open(path))):
                    raise AssertionError(f"{path.name} differs")
        return len(pictures)


def kill(words: list[object], after: float) -> bool:
    """Start the program, and kill it after some seconds; return whether it was still running."""
    process = subprocess.Popen(command(*words, "-q"), stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def main() -> None:
    """Run the trials of both commands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="kills of each of the two commands")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make(work / "first", args.pictures, 1)
        make(work / "more", args.pictures, 2)
        for what in ("pack", "append"):
            trial(what, work, args.model, args.kills, chance)


def trial(what: str, work: Path, model: str, kills: int, chance: random.Random) -> None:
    """Kill one command `kills` times, and check the archive after each kill.

    `append` adds to the archive that `pack` made.
    """
    first, more, archive = work / "first", work / "more", work / f"{what}.bb"
    whole, part = work / f"{what}-whole.bb", work / f"{what}.bb{PART}"
    old = (work / "pack-whole.bb").read_bytes() if what == "append" else None

    def words(target: Path) -> list[object]:
        files = ["append", target, more] if what == "append" else ["pack", first, "-o", target]
        return [*files, "--model", model]

    def restart(target: Path) -> None:
        target.unlink(missing_ok=True)
        if old is not None:
            target.write_bytes(old)

    restart(whole)
    begun = time.perf_counter()
    run(*words(whole))
    seconds = time.perf_counter() - begun
    restart(archive)
    killed = ends = 0
    while killed < kills:
        was_running = kill(words(archive), chance.uniform(0.05, 1) * seconds)
        if archive.exists() and archive.read_bytes() == whole.read_bytes():
            ends += 1
            restart(archive)
            continue
        if not was_running:
            raise AssertionError(f"{what}: the archive differs from that of an uninterrupted run")
        killed += 1
        if old is None:
            if archive.exists():
                raise AssertionError(f"{archive.name}: an unfinished archive has the final name")
            state = f"{part.stat().st_size if part.exists() else 0} bytes of {part.name}"
        else:
            if not archive.read_bytes().startswith(old):
                raise AssertionError(f"{archive.name}: append changed the old part of the archive")
            state = f"{check(archive, [first])} pictures, {archive.stat().st_size - len(old)} bytes behind"
        print(f"{what} {killed}: {state}", flush=True)
    run(*words(archive))
    if archive.read_bytes() != whole.read_bytes() or part.exists():
        raise AssertionError(f"{what}: the archive differs from that of an uninterrupted run")
    held = check(archive, [first, more] if what == "append" else [first])
    print(f"{what}: killed {killed} times, finished {ends + 1} times: each time {held} pictures")
    print("  and the same bytes as an uninterrupted run")


if __name__ == "__main__":
    main()
