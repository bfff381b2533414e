# SPDX-License-Identifier: Apache-2.0
"""Compare a custom model with the released ones on given pictures, including the size of the model itself.

Pictures are coded in one batch, as archives code them. Of very many, only every n-th is coded, and the sizes
are scaled up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bbcodec import modelfile
from bbcodec.families import batch
from bbcodec.families.family import family_of
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model, delta, registry
from bbcodec.picture.raster import cut

__all__ = ["Gain", "coded_bytes", "gain"]

MAX_CODED_PIXELS: Final = 4_000_000  # the target; every n-th picture is coded to come near it


@dataclass(frozen=True)
class Gain:
    """Sizes of the pictures with the custom model and with the released ones.

    Attributes
    ----------
    pictures : number of pictures.
    pictures_coded : number of pictures that were coded.
    released_bytes : bytes of the pictures with each released model, by name.
    own_bytes : bytes of the pictures with the custom model.
    file_bytes, compressed_bytes, embedded_bytes : sizes of the model: its file, compressed by itself, and
        embedded.
    parent : name of the released model whose changes are embedded, or None.
    """

    pictures: int
    pictures_coded: int
    released_bytes: Mapping[str, int]
    own_bytes: int
    file_bytes: int
    compressed_bytes: int
    embedded_bytes: int
    parent: str | None

    @property
    def best_released(self) -> str:
        """Return the name of the released model with the smallest pictures."""
        return min(self.released_bytes, key=lambda name: self.released_bytes[name])

    @property
    def saved_bytes(self) -> int:
        """Return the bytes saved against the best released model, less the embedded model (< 0: a loss)."""
        return self.released_bytes[self.best_released] - self.own_bytes - self.embedded_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON values."""
        return {
            "pictures": self.pictures,
            "pictures_coded": self.pictures_coded,
            "released_bytes": dict(self.released_bytes),
            "own_bytes": self.own_bytes,
            "model_bytes": {
                "file": self.file_bytes,
                "compressed": self.compressed_bytes,
                "embedded": self.embedded_bytes,
            },
            "embedded_as_changes_of": self.parent,
            "best_released": self.best_released,
            "saved_bytes": self.saved_bytes,
            "worth_embedding": self.saved_bytes > 0,
        }

    def lines(self) -> list[str]:
        """Return the comparison as lines of text."""
        of = "" if self.pictures_coded == self.pictures else f", from {self.pictures_coded} of them"
        rows = [f"bytes of {self.pictures} pictures in one batch{of}:"]
        rows += [f"  {name:<22}{size:>12,}" for name, size in self.released_bytes.items()]
        how = f"as changes of {self.parent}; " if self.parent else ""
        total = self.own_bytes + self.embedded_bytes
        rows.append(f"  {'this model':<22}{self.own_bytes:>12,}")
        rows.append(
            f"  {'the model, embedded':<22}{self.embedded_bytes:>12,}  ({how}"
            f"{self.file_bytes:,} as a file, {self.compressed_bytes:,} compressed)"
        )
        rows.append(f"  {'both':<22}{total:>12,}")
        saved, best = self.saved_bytes, self.best_released
        share = 100 * abs(saved) / self.released_bytes[best]
        if saved > 0:
            rows.append(f"worth embedding: {saved:,} bytes ({share:.1f} %) less than with {best}")
        else:
            rows.append(f"not worth embedding: {-saved:,} bytes ({share:.1f} %) more than with {best}")
        return rows


def gain(pictures: Sequence[Pixels], data: bytes, *, threads: int = 1) -> Gain:
    """Code pictures with a custom model and with the released ones of its family.

    Parameters
    ----------
    pictures : uint8 [H, W, 3] each, at least one.
    data : bytes of the model file.
    threads : number of threads.

    Raises
    ------
    ModelError
        The model file is not valid.
    """
    total = sum(p.shape[0] * p.shape[1] for p in pictures)
    some = pictures[:: max(1, -(-total // MAX_CODED_PIXELS))]
    factor = total / sum(p.shape[0] * p.shape[1] for p in some)
    own = modelfile.load(data)
    released = {name: modelfile.load_named(name) for name in modelfile.released()}
    relatives = {name: model for name, model in released.items() if model.family == own.family}
    sizes = {name: round(factor * coded_bytes(some, model, threads)) for name, model in relatives.items()}
    short = registry.smallest(data)
    parent = delta.parent_of(short) if delta.is_delta(short) else None
    return Gain(
        pictures=len(pictures),
        pictures_coded=len(some),
        released_bytes=sizes,
        own_bytes=round(factor * coded_bytes(some, own, threads)),
        file_bytes=len(data),
        compressed_bytes=len(delta.make(data)),
        embedded_bytes=len(short),
        parent=next((name for name, model in relatives.items() if model.id == parent), None),
    )


def coded_bytes(pictures: Sequence[Pixels], model: Model, threads: int = 1) -> int:
    """Return the bytes of pictures as one batch. Pictures too large for a batch are cut into blocks."""
    parts, side = [], family_of(model).max_side
    for picture in pictures:
        places = cut(picture.shape[0], picture.shape[1], side)
        parts += [np.ascontiguousarray(picture[place]) for place in places]
    return len(batch.encode(parts, model, Execution(threads)))
