# SPDX-License-Identifier: Apache-2.0
"""Find the weights that the mixer of a model starts with: the mean of those that it ends with.

python -m bbcodec.models.loglinear.start photo own.bbm --data photos --crops 200
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import modelfile
from bbcodec.families.local.jit.state import group_of, tables_of
from bbcodec.families.local.order import Order
from bbcodec.families.local.reference import to_planes
from bbcodec.families.loglinear import jit, reference
from bbcodec.families.loglinear.model import LogLinearModel, loglinear_model
from bbcodec.families.loglinear.tables import CHANNEL_KINDS, DECISION_KINDS, MAX_WEIGHT
from bbcodec.families.stats import Pixels
from bbcodec.picture import files
from bbcodec.storage.atomic import atomic_write

from .build import build

CROP: Final = 128  # side of a crop in pixels
MIN_VISITS: Final = 2000  # decisions of a kind that a picture must have for its weights to count


def final_weights(image: Pixels, model: LogLinearModel) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Code a picture; return the weights [C, 8, N] at its end, and the decisions [C, 8] of each kind."""
    planes = to_planes([image])
    shapes = [(image.shape[0], image.shape[1])]
    streams = reference.recording(shapes, planes.size)
    layer = reference.layer_of(model, shapes, len(planes))
    group = group_of(shapes, planes, model.base, None)
    visits = np.zeros((len(planes), DECISION_KINDS), np.int64)
    jit.run(tables_of(model.base), group, layer, streams, Order(shapes).slots, np.empty(0, np.int64))
    moved = np.abs(layer.weights - model.mix[[3] if len(planes) == 1 else [0, 1, 2]]).sum(2)
    visits[:] = np.where(moved > 0, layer.visits[:, None], 0)
    return layer.weights.astype(np.float64), visits


def mean_weights(pictures: list[Pixels], model: LogLinearModel) -> NDArray[np.int32]:
    """Return the mean of the final weights: int32 [4, 8, N]. Kinds that no picture uses keep their start."""
    total = np.zeros((CHANNEL_KINDS, DECISION_KINDS, model.contexts))
    count = np.zeros((CHANNEL_KINDS, DECISION_KINDS, 1))
    for picture in pictures:
        for image in (picture, np.ascontiguousarray(picture[:, :, 1:2])):
            weights, visits = final_weights(image, model)
            kinds = [3] if image.shape[2] == 1 else [0, 1, 2]
            counts = (visits >= MIN_VISITS)[..., None]
            total[kinds] += weights * counts
            count[kinds] += counts
    mean = np.where(count > 0, total / np.maximum(count, 1), model.mix)
    return np.clip(np.rint(mean), -MAX_WEIGHT, MAX_WEIGHT).astype(np.int32)


def crops(folder: Path, count: int, seed: int = 0) -> list[Pixels]:
    """Return crops of pictures of a folder, one of each picture, uint8 [CROP, CROP, 3]."""
    rng = np.random.default_rng(seed)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".webp"))
    found: list[Pixels] = []
    for index in rng.permutation(len(paths)):
        image = files.read_image(paths[index]).array
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < CROP:
            continue
        top, left = (int(rng.integers(side - CROP + 1)) for side in image.shape[:2])
        found.append(np.ascontiguousarray(image[top : top + CROP, left : left + CROP]))
        if len(found) == count:
            break
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("base", help="a released model of the family local, or the path of one")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders of pictures")
    parser.add_argument("--crops", type=int, default=200, help="of each folder")
    args = parser.parse_args()
    base = modelfile.load_named(args.base)
    pictures = [crop for folder in args.data for crop in crops(folder, args.crops)]
    mix = None
    for _ in range(2):
        model = loglinear_model(modelfile.load(build(base, mix)))
        mix = mean_weights(pictures, model)
    data = build(base, mix)
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, {modelfile.load(data).id}")


if __name__ == "__main__":
    main()
