# SPDX-License-Identifier: Apache-2.0
"""Find what the layer of a model starts with: the mean of what it ends with on pictures.

python -m bbcodec.models.loglinear.start photo own.bbm --photos photos --drawings graphics
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec import modelfile
from bbcodec.families.local.jit.state import group_of, tables_of
from bbcodec.families.local.order import Order
from bbcodec.families.local.reference import to_planes
from bbcodec.families.loglinear import jit, reference
from bbcodec.families.loglinear.model import LogLinearModel, loglinear_model
from bbcodec.families.loglinear.reference import ALL_PREDICTED
from bbcodec.families.loglinear.tables import (
    CHANNEL_KINDS,
    DECISION_KINDS,
    MAX_WEIGHT,
    PIXEL_KINDS,
    PIXEL_LINES,
    PLACE,
)
from bbcodec.families.stats import Pixels
from bbcodec.picture import files
from bbcodec.storage.atomic import atomic_write

from .build import Start, add_options, build

CROP: Final = 128  # side of a crop in pixels
MIN_VISITS: Final = 2000  # decisions of a kind that a picture must have for its weights to count
MIN_PIXEL_VISITS: Final = 200  # the same for whole pixels
MIN_EVIDENCE: Final = 8  # visits, over all pictures, below which a value stays 0
ROUNDS: Final = 2


class End(NamedTuple):
    """What the layer ends a picture with."""

    weights: NDArray[np.int64]  # [C, 8, N]
    visits: NDArray[np.int64]  # [C, 8]: decisions of each kind, or 0
    pixel_weights: NDArray[np.int64]  # [8, 8]
    pixel_visits: NDArray[np.int64]  # [8]
    pixel_lines: NDArray[np.int64]  # [256, 7]: value << 4 | count


def end_of(image: Pixels, model: LogLinearModel, neighbours: int) -> End:
    """Code a picture, and return what the layer ends with."""
    planes = to_planes([image])
    shapes = [(image.shape[0], image.shape[1])]
    streams = reference.recording(shapes, planes.size)
    layer = reference.layer_of(model, shapes, len(planes))
    pixels = reference.pixels_of(model, shapes, planes, neighbours)
    group = group_of(shapes, planes, model.base, None)
    jit.run(tables_of(model.base), group, layer, pixels, streams, Order(shapes).slots, np.empty(0, np.int64))
    kinds = [3] if len(planes) == 1 else [0, 1, 2]
    moved = np.abs(layer.weights - model.mix[kinds]).sum(2) > 0
    pixel_moved = np.abs(pixels.layer.weights[0] - model.pixel_mix).sum(1) > 0
    lines = np.zeros((PIXEL_LINES, PIXEL_KINDS), np.int64)
    if neighbours != ALL_PREDICTED:
        lines[:] = pixels.layer.tables[0, 0].reshape(-1, PLACE)[:PIXEL_LINES, :PIXEL_KINDS]
    return End(
        layer.weights,
        np.where(moved, layer.visits[:, None], 0),
        pixels.layer.weights[0],
        np.where(pixel_moved, pixels.layer.visits[0], 0),
        lines,
    )


def mean_end(photos: list[Pixels], drawings: list[Pixels], model: LogLinearModel) -> Start:
    """Return the mean of what photographs and drawings end with. What no picture uses keeps its start.

    Each is coded in colour and in gray: its alpha channel, or green if it has none.
    """
    total = np.zeros((CHANNEL_KINDS, DECISION_KINDS, model.contexts))
    count = np.zeros((CHANNEL_KINDS, DECISION_KINDS, 1))
    pixel_total, pixel_count = np.zeros(model.pixel_mix.shape), np.zeros((DECISION_KINDS, 1))
    value, evidence = np.zeros((PIXEL_LINES, PIXEL_KINDS)), np.zeros((PIXEL_LINES, PIXEL_KINDS))
    cases = [(picture, ALL_PREDICTED) for picture in photos] + [(picture, 0) for picture in drawings]
    for picture, neighbours in cases:
        gray = picture[:, :, 3:] if picture.shape[2] == 4 else picture[:, :, 1:2]
        for image in (picture[:, :, :3], gray):
            end = end_of(np.ascontiguousarray(image), model, neighbours)
            kinds = [3] if image.shape[2] == 1 else [0, 1, 2]
            enough = (end.visits >= MIN_VISITS)[..., None]
            total[kinds] += end.weights * enough
            count[kinds] += enough
            enough = (end.pixel_visits >= MIN_PIXEL_VISITS)[:, None]
            pixel_total += end.pixel_weights * enough
            pixel_count += enough
            visits = end.pixel_lines & 15
            value += visits * (end.pixel_lines >> 4)
            evidence += visits
    mix = np.where(count > 0, total / np.maximum(count, 1), model.mix)
    pixel_mix = np.where(pixel_count > 0, pixel_total / np.maximum(pixel_count, 1), model.pixel_mix)
    start = np.where(evidence >= MIN_EVIDENCE, value / np.maximum(evidence, 1) / 16, model.pixel_start)
    return Start(
        _integers(mix, MAX_WEIGHT, np.int32),
        _integers(pixel_mix, MAX_WEIGHT, np.int32),
        _integers(start, 127, np.int8),
    )


def _integers(values: NDArray[np.float64], most: int, dtype: type) -> NDArray[Any]:
    return np.clip(np.rint(values), -most, most).astype(dtype)


def crops(folder: Path, count: int, seed: int = 0) -> list[Pixels]:
    """Return crops of colour pictures, one of each, uint8 [h, w, C] of at most CROP a side, C of 3 or 4."""
    rng = np.random.default_rng(seed)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".webp"))
    found: list[Pixels] = []
    for index in rng.permutation(len(paths)):
        image = files.read_image(paths[index]).array
        if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
            continue
        top, left = (int(rng.integers(max(1, side - CROP + 1))) for side in image.shape[:2])
        found.append(np.ascontiguousarray(image[top : top + CROP, left : left + CROP]))
        if len(found) == count:
            break
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("base", help="a released model of the family local, or the path of one")
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True, nargs="+", help="folders of photographs")
    parser.add_argument("--drawings", type=Path, default=[], nargs="*", help="folders of graphics and icons")
    parser.add_argument("--crops", type=int, default=100, help="of each folder")
    add_options(parser)
    args = parser.parse_args()
    base = modelfile.load_named(args.base)
    photos, drawings = (
        [crop for folder in folders for crop in crops(folder, args.crops)]
        for folders in (args.photos, args.drawings)
    )

    def built(start: Start | None) -> bytes:
        return build(base, start, args.contexts, args.plain)

    start = None
    for _ in range(ROUNDS):
        start = mean_end(photos, drawings, loglinear_model(modelfile.load(built(start))))
    data = built(start)
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, {modelfile.load(data).id}")


if __name__ == "__main__":
    main()
