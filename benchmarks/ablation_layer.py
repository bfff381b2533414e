# SPDX-License-Identifier: Apache-2.0
"""Measure what each part of the family `loglinear` pays, by kind of picture.

    python benchmarks/ablation_layer.py > layer.md

Every row codes the same crops with a model that differs from `standard` in one thing; blocks are never coded
plainly. Every byte of the payloads counts, and every round trip is verified. The photographs are of
`photos/train`: none of the sets of `rates.py` is used, but for the drawings, which are of `graphics`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bbcodec.models.loglinear.build import DIRECT, FIRST_PIXEL_WEIGHT, FIRST_WEIGHT, PHASE
from numpy.typing import NDArray
from PIL import Image

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.families import learned
from bbcodec.families.loglinear import blocks as coding_of_blocks
from bbcodec.families.loglinear.coding import CONTEXTS, coding_for, evenness
from bbcodec.modelfile import Model

Pixels = NDArray[np.uint8]

SIDE = 192  # of a crop, pixels
PICTURES = 5  # of each kind
TRACED_BELOW, CLEAN_ABOVE = 0.25, 0.7  # evenness


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    data = Path(__file__).resolve().parents[2] / "shared/data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the sets [%(default)s]")
    parser.add_argument("--count", type=int, default=PICTURES, help="pictures of each kind [%(default)s]")
    args = parser.parse_args()
    kinds = pictures(args.data, args.count)
    names = "; ".join(f"{kind}: {', '.join(name for name, _ in found)}" for kind, found in kinds.items())
    print(f"Crops of at most {SIDE} × {SIDE} pixels. {names}.\n")
    print("| model | " + " | ".join(kinds) + " |\n" + "|---" * (1 + len(kinds)) + "|")
    first: list[float] = []
    for title, row in rows():
        sizes = [math.log(row(image)) for found in kinds.values() for _, image in found]
        means = [float(np.mean(part)) for part in np.split(np.array(sizes), len(kinds))]
        first = first or means
        cells = [f"{100 * math.expm1(mean - own):+.2f} %" for mean, own in zip(means, first, strict=True)]
        print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def pictures(data: Path, count: int) -> dict[str, list[tuple[str, Pixels]]]:
    """Return names and crops of pictures by kind."""
    traced: list[tuple[str, Pixels]] = []
    clean: list[tuple[str, Pixels]] = []
    for name, crop in crops(data / "photos/train", "*.webp"):
        share = evenness([crop])
        if share < TRACED_BELOW and len(traced) < count:
            traced.append((name, crop))
        elif share > CLEAN_ABOVE and len(clean) < count:
            clean.append((name, crop))
    drawings = [found for _, found in zip(range(count), crops(data / "graphics", "*.png"), strict=False)]
    return {
        "once JPEG": traced,
        "traces of PhotoCD": [(name, photo_cd(crop)) for name, crop in clean],
        "no traces": clean,
        "drawings": drawings,
    }


def crops(folder: Path, pattern: str) -> Iterator[tuple[str, Pixels]]:
    """Yield name and middle of the pictures of a folder, every fourth of them."""
    for path in sorted(folder.glob(pattern))[::4]:
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        if min(image.shape[:2]) >= SIDE:
            top, left = ((size - SIDE) // 4 * 2 for size in image.shape[:2])
            yield path.stem, np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])


def photo_cd(image: Pixels) -> Pixels:
    """Return a picture with traces of PhotoCD: luma and two chromas of half the size, of 8 bits each."""
    red, green, blue = (image[:, :, channel] / 255.0 for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    height, width = luma.shape

    def halved(chroma: NDArray[np.float64], scale: float, offset: int) -> NDArray[np.float32]:
        small = np.round(scale * chroma.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) + offset)
        large = Image.fromarray(small.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        return np.round(np.asarray(large)) - np.float32(offset)

    base = 1.3584 * np.round(255 / 1.402 * luma)
    first, second = 2.2179 * halved(blue - luma, 111.4, 156), 1.8215 * halved(red - luma, 135.64, 137)
    rgb = np.stack([base + second, base - 0.194 * first - 0.509 * second, base + first], axis=2)
    return np.clip(np.round(rgb * 255 / (1.3584 * 182)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Row:
    """A model, and whether whole pixels are looked for."""

    model: Model
    whole_pixels: bool = True

    def __call__(self, image: Pixels) -> int:
        """Return the bytes of a picture; raise AssertionError if it does not come back."""
        choose: Callable[..., int] = coding_for if self.whole_pixels else lambda blocks, plain: CONTEXTS
        coding_of_blocks.coding_for = choose
        chains = learned.encode(image, self.model).chains
        assert np.array_equal(learned.decode(chains, *image.shape, self.model), image)
        return sum(map(len, chains))


def rows() -> Iterator[tuple[str, Row]]:
    """Yield title and model of every row."""
    standard, best = (changed(modelfile.load_named(name), plain=256) for name in ("standard", "best"))
    tensors = standard.tensors
    terms, direct = tensors["terms"], tensors["direct"]
    hashed = terms.shape[1] - int(direct[0].sum())
    yield "`standard`", Row(standard)
    yield "no layer: `photo`", Row(modelfile.load_named("photo"))
    yield "twelve contexts: `best`", Row(best)
    yield "no direct contexts", Row(changed(standard, terms=without(terms, range(hashed, terms.shape[1]))))
    for number, start in enumerate(DIRECT[: terms.shape[1] - hashed]):
        what = {0: "values", 1: "W"}.get(start, "the prediction")
        yield (
            f"no direct context from {what}",
            Row(changed(standard, terms=without(terms, [hashed + number]))),
        )
    yield "direct contexts alone", Row(changed(standard, terms=without(terms, range(hashed))))
    for number in range(hashed):
        yield f"no hashed context {number + 1}", Row(changed(standard, terms=without(terms, [number])))
    yield "mixers do not learn", Row(changed(standard, mix_shift=20))
    yield "mixers start with equal weights", Row(equal(standard))
    yield "no whole pixels", Row(standard, whole_pixels=False)
    for skip in (4, 6, 10, 20):
        yield f"decisions surer than 2^-{skip} without contexts", Row(changed(standard, skip=skip))


def without(terms: NDArray[Any], numbers: Any) -> NDArray[Any]:
    """Return terms in which contexts know nothing but the phase of the pixel."""
    out = terms.copy()
    out[:, list(numbers)] = 0
    out[:, list(numbers), 0] = PHASE
    return out


def equal(model: Model) -> Model:
    """Return a model that starts as one does whose start was not trained."""
    tensors = model.tensors
    return changed(
        model,
        mix=np.full_like(tensors["mix"], round(FIRST_WEIGHT * 2**20)),
        pixel_mix=np.full_like(tensors["pixel_mix"], round(FIRST_PIXEL_WEIGHT * 2**20)),
        pixel_start=np.zeros_like(tensors["pixel_start"]),
    )


def changed(model: Model, **changes: Any) -> Model:
    """Return a model with other numbers and tensors. A context without its terms is not direct."""
    config = dict(model.config) | {k: v for k, v in changes.items() if not isinstance(v, np.ndarray)}
    tensors = dict(model.tensors) | {k: v for k, v in changes.items() if isinstance(v, np.ndarray)}
    if "terms" in changes:
        tensors["direct"] = np.where(tensors["terms"][:, :, 0] == PHASE, 0, tensors["direct"]).astype(np.int8)
    return modelfile.load(modelfile.dump(model.family, config, Graph({}, {}), tensors))


if __name__ == "__main__":
    sys.exit(main())
