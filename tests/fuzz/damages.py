# SPDX-License-Identifier: Apache-2.0
"""Damage files and archives at random, 5,000 of them: each read gives the right picture or an error.

    python tests/fuzz/damages.py                   5,000 damages: some minutes
    python tests/fuzz/damages.py --count 500 --seed 7

A damage flips bits, writes noise or zeros, cuts, removes, inserts, moves, or brings bytes of another file.
Files are read with `decompress_picture`, archives picture by picture, opened as they are and with
``salvage=True``. `salvage` may leave parts of a file's picture out, but what it does not call lost must be
right. Exit code 1 for a wrong picture, or for an error that is not a `BBCodecError`.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
import warnings
from collections import Counter
from typing import Any, Final

import numpy as np

import bbcodec
from bbcodec.errors import BBCodecError

SECTOR: Final = 512  # bytes
MAX_PIXELS: Final = 1 << 20  # a damaged size must not make anybody allocate


def picture(seed: int, height: int, width: int, channels: int) -> np.ndarray:
    """Return waves and noise, uint8 ``[height, width, channels]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 120 + 70 * np.sin(x / rng.uniform(4, 30) + seed) * np.cos(y / rng.uniform(4, 30))
    return np.clip(light[..., None] + rng.normal(0, 4, (height, width, channels)), 0, 255).astype(np.uint8)


def files() -> dict[str, tuple[bytes, bbcodec.Picture]]:
    """Return sound files of all kinds by name, with their pictures."""
    rgb, deep = picture(1, 90, 120, 3), picture(2, 40, 50, 3).astype(np.uint16) * 251
    made: dict[str, Any] = {
        "classic": (rgb, {"method": "classic"}),
        "classic, 16 bits": (deep, {"method": "classic"}),
        "auto, alpha": (picture(3, 50, 60, 4), {}),
        "photo": (rgb, {"method": "learned", "model": "photo"}),
        "fast, blocks": (picture(4, 600, 24, 3), {"method": "learned", "model": "fast"}),
        "gray": (picture(5, 70, 60, 1)[..., 0], {"method": "learned", "model": "fast"}),
        "rvae": (picture(6, 64, 64, 3), {"method": "learned", "model": "rvae"}),
        "flowpp": (picture(7, 40, 70, 3), {"method": "learned", "model": "flowpp"}),
        "recovery": (rgb, {"method": "learned", "model": "fast", "recovery": 10}),
        "metadata": (rgb, {"metadata": {"icc": bytes(999), "text": {"a": "b" * 99}}}),
    }
    data = {name: bbcodec.compress(image, **options) for name, (image, options) in made.items()}
    return {name: (whole, bbcodec.decompress_picture(whole)) for name, whole in data.items()}


def archives() -> dict[str, tuple[bytes, dict[str, np.ndarray]]]:
    """Return sound archives by name, with their pictures."""
    few = {f"{i}.png": picture(i, 24 + i % 3, 30, 3) for i in range(12)}
    few["gray"], few["deep"] = picture(40, 20, 21, 1)[..., 0], picture(41, 9, 9, 3).astype(np.uint16) * 257
    kinds: dict[str, dict[str, Any]] = {
        "archive": {},
        "archive, thumb": {"model": "thumb", "method": "learned", "batch": 4},
        "archive, classic": {"method": "classic"},
        "archive, recovery": {"model": "fast", "recovery": 5},
    }
    return {name: (_packed(few, options), few) for name, options in kinds.items()}


def _packed(content: dict[str, np.ndarray], options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with bbcodec.Archive(file, "w", **options) as archive:
        for name, image in content.items():
            archive[name] = image
    return file.getvalue()


def damaged(rng: random.Random, whole: bytes, other: bytes) -> tuple[str, bytes]:
    """Return the name of a damage, and the bytes after it."""
    data, size = bytearray(whole), len(whole)
    kind = rng.choice(["bit", "bits", "noise", "zeros", "cut", "remove", "insert", "move", "other", "twice"])
    at = rng.randrange(size)
    length = min(rng.choice([1, 4, 30, SECTOR, 4096]), size - at)
    if kind == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "bits":
        for _ in range(rng.randrange(2, 20)):
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif kind == "noise":
        data[at : at + length] = rng.randbytes(length)
    elif kind == "zeros":
        at -= at % SECTOR if rng.random() < 0.5 else 0
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "cut":
        del data[at:]
    elif kind == "remove":
        del data[at : at + length]
    elif kind == "insert":
        data[at:at] = rng.randbytes(length)
    elif kind == "move":
        part = data[at : at + length]
        del data[at : at + length]
        to = rng.randrange(len(data) + 1)
        data[to:to] = part
    elif kind == "other":
        from_ = rng.randrange(len(other))
        data[at : at + length] = other[from_ : from_ + length]
    else:
        first, second = sorted((at, rng.randrange(size)))
        data[second:second] = data[first:second]
    return kind, bytes(data)


def read_file(data: bytes, right: bbcodec.Picture) -> str:
    """Return what came of a file: ``right``, ``refused``, ``salvaged``, ``lost`` or ``WRONG``."""
    try:
        found = bbcodec.decompress_picture(data, limits=MAX_PIXELS, threads=1)
        return "right" if found.same(right) and found.metadata == right.metadata else "WRONG"
    except BBCodecError:
        pass
    try:
        saved = bbcodec.salvage(data, limits=MAX_PIXELS, threads=1)
    except BBCodecError:
        return "lost"
    return "salvaged" if _kept_is_right(saved, right) else "WRONG"


def _kept_is_right(saved: bbcodec.Salvaged, right: bbcodec.Picture) -> bool:
    lost = np.zeros(right.pixels.shape[:2], bool)
    for loss in saved.lost:
        for x, y, width, height in loss.regions:
            lost[y : y + height, x : x + width] = True
    if saved.picture.pixels.shape != right.pixels.shape:
        return False
    return bool(np.array_equal(saved.picture.pixels[~lost], right.pixels[~lost]))


def read_archive(data: bytes, right: dict[str, np.ndarray]) -> str:
    """Return what came of an archive: ``right`` if it was read, ``lost`` if not, or ``WRONG``."""
    outcome = "lost"
    for salvage in (False, True):
        try:
            with bbcodec.Archive(io.BytesIO(data), salvage=salvage, limits=MAX_PIXELS) as archive:
                names = list(archive)
                for name in names:
                    try:
                        found = archive[name]
                    except BBCodecError:
                        continue
                    if name not in right or not np.array_equal(found, right[name]):
                        return "WRONG"
                outcome = "right"
        except BBCodecError:
            continue
    return outcome


def main() -> int:
    """Run the command line; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of what an archive repaired
    rng, began = random.Random(args.seed), time.monotonic()
    sound_files, sound_archives = files(), archives()
    everything = [whole for whole, _ in (*sound_files.values(), *sound_archives.values())]
    names = [*sound_files, *sound_archives]
    outcomes: Counter[tuple[str, str]] = Counter()
    bad = 0
    for number in range(args.count):
        name = names[number % len(names)]
        whole = sound_files[name][0] if name in sound_files else sound_archives[name][0]
        kind, data = damaged(rng, whole, rng.choice(everything))
        try:
            if name in sound_files:
                outcome = read_file(data, sound_files[name][1])
            else:
                outcome = read_archive(data, sound_archives[name][1])
        except Exception as error:
            outcome = f"WRONG: {type(error).__name__}: {error}"
        if outcome.startswith("WRONG"):
            bad += 1
            print(f"{name}, damage {number} ({kind}, seed {args.seed}): {outcome}", flush=True)
        outcomes[name, outcome.split(":")[0]] += 1
    for name in names:
        found = ", ".join(f"{n} {what}" for (of, what), n in sorted(outcomes.items()) if of == name)
        print(f"{name:18} {found}")
    print(f"{args.count} damages, {bad} wrong pictures or errors, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
