# SPDX-License-Identifier: Apache-2.0
"""Zero every sector of an archive of 1,000 thumbnails, one at a time; count the pictures that come back.

    python tests/fuzz/sectors.py                   all sectors of all archives: some minutes each
    python tests/fuzz/sectors.py --every 20        every twentieth sector, and the first and the last one
    python tests/fuzz/sectors.py --recovery 5      archives with recovery data

Exit code 1 if a sector costs more than 2 percent of the pictures (with recovery data: any picture). A picture
that comes back is compared with its source. Where the repaired bytes are those of the intact archive, its
pictures are not decoded again.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from bbcodec import modelfile
from bbcodec.archive import Archive
from bbcodec.errors import BBCodecError

SECTOR: Final = 512  # bytes
MIN_SHARE: Final = 0.98  # of the pictures, without recovery data


def thumbnail(seed: int, side: int = 32) -> np.ndarray:
    """Return a picture like a photograph, uint8 ``[side, side, 3]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    light = 120 + 60 * np.sin(x / rng.uniform(4, 9) + seed) * np.cos(y / rng.uniform(4, 9))
    noise = rng.normal(0, 5, (side, side, 3))
    return np.clip(light[..., None] + noise, 0, 255).astype(np.uint8)


def flat(seed: int, side: int = 32) -> np.ndarray:
    """Return a picture like a drawing, which the classic method codes, uint8 ``[side, side, 3]``."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (3, 3), np.uint8)
    return few[rng.integers(0, 3, (side // 4, side // 4))].repeat(4, 0).repeat(4, 1)


def own_model(folder: Path) -> Path:
    """Write a model that is not a released one: the archive has to hold it."""
    model = modelfile.load_named("fast")
    path = folder / "own.bbm"
    path.write_bytes(
        modelfile.dump(model.family, model.config, model.graph, model.tensors, notes={"name": "own"})
    )
    return path


def content(kind: str, count: int) -> dict[str, np.ndarray]:
    """Return the pictures of an archive: ``learned``, ``mixed`` (half are flat) or ``large`` (64 x 64)."""
    side = 64 if kind == "large" else 32
    return {
        f"set/{i:04}.png": flat(i, side) if kind == "mixed" and i % 2 else thumbnail(i, side)
        for i in range(count)
    }


def packed(pictures: dict[str, np.ndarray], **options: Any) -> bytes:
    """Return an archive of pictures."""
    file = io.BytesIO()
    with Archive(file, "w", **{"model": "fast", "verify": False} | options) as archive:
        for name, image in pictures.items():
            archive[name] = image
    return file.getvalue()


def saved(data: bytes, whole: bytes, pictures: dict[str, np.ndarray]) -> int:
    """Return how many pictures come back exactly from a damaged archive."""
    try:
        archive = Archive(io.BytesIO(data), salvage=True, preload=False)
    except BBCodecError:
        return 0
    with archive:
        names, reader = set(archive), archive.reader
        found = 0
        for stored in reader.stored:
            size = reader.source.some(stored.at + 4, 8)
            end = stored.at + 16 + int.from_bytes(size, "little")
            entries = [entry for entry in stored.entries if entry.name in names]
            same = reader.source.some(stored.at, end - stored.at) == whole[stored.at : end]
            if same and reader.models and reader.model_facts(0)[0] in known_models(whole):
                found += len(entries)
                continue
            for entry in entries:
                try:
                    found += np.array_equal(archive[entry.name], pictures[entry.name])
                except BBCodecError:
                    continue
    return found


def known_models(whole: bytes) -> set[str]:
    """Return the ids of the models of an intact archive."""
    if whole not in _MODELS:
        with Archive(io.BytesIO(whole), preload=False) as archive:
            _MODELS[whole] = {archive.reader.model_facts(n)[0] for n in range(len(archive.reader.models))}
    return _MODELS[whole]


_MODELS: dict[bytes, set[str]] = {}


def zeroed(data: bytes, sector: int) -> bytes:
    """Return a file with one sector of zeros."""
    at = SECTOR * sector
    return data[:at] + bytes(len(data[at : at + SECTOR])) + data[at + SECTOR :]


def sweep(data: bytes, pictures: dict[str, np.ndarray], every: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the number of a zeroed sector, and how many pictures come back."""
    last = (len(data) - 1) // SECTOR
    for sector in sorted({*range(0, last + 1, every), 0, 1, last - 1, last}):
        yield sector, saved(zeroed(data, sector), data, pictures)


def main() -> int:
    """Sweep archives of all kinds, print the worst sector of each, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1, help="zero every n-th sector only")
    parser.add_argument("--recovery", type=float, default=0, help="percent of recovery data")
    parser.add_argument("--kinds", nargs="*", default=["learned", "mixed", "large", "own"])
    args = parser.parse_args()
    failed = False
    for kind in args.kinds:
        pictures = content(kind, args.pictures)
        options: dict[str, Any] = {"recovery": args.recovery} if args.recovery else {}
        if kind == "own":
            options["model"] = own_model(Path("/tmp"))
        data = packed(pictures, **options)
        started = time.perf_counter()
        found = list(sweep(data, pictures, args.every))
        worst = min(found, key=lambda pair: pair[1])
        bar = len(pictures) if args.recovery else MIN_SHARE * len(pictures)
        failed |= worst[1] < bar
        print(
            f"{kind}: {len(data)} bytes, {len(found)} of {-(-len(data) // SECTOR)} sectors zeroed one at a "
            f"time; worst sector {worst[0]}: {worst[1]} of {len(pictures)} pictures come back; "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
