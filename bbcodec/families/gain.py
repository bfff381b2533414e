# SPDX-License-Identifier: Apache-2.0
"""Whether a model of one's own pays: what pictures take with it and with released ones, its bytes counted.

The pictures are coded as archives code them, in one batch; of very many, every n-th stands for all.
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

MOST: Final = 4_000_000  # pixels that are coded


@dataclass(frozen=True)
class Gain:
    """What the pictures take.

    Attributes
    ----------
    pictures : how many there are.
    sampled : how many of them were coded.
    released : bytes with each released model, by name.
    own : bytes with the model.
    whole, alone, embedded : bytes of the model as its file, compressed by itself, and as it is embedded.
    parent : name of the released model that it is embedded as changes of, or None.
    """

    pictures: int
    sampled: int
    released: Mapping[str, int]
    own: int
    whole: int
    alone: int
    embedded: int
    parent: str | None

    @property
    def best(self) -> str:
        """Name of the released model with which the pictures are smallest."""
        return min(self.released, key=lambda name: self.released[name])

    @property
    def saved(self) -> int:
        """Bytes that the model saves against the best released one, itself counted; negative for a loss."""
        return self.released[self.best] - self.own - self.embedded

    def as_dict(self) -> dict[str, Any]:
        """All of it in JSON values."""
        return {
            "pictures": self.pictures,
            "pictures_coded": self.sampled,
            "released_bytes": dict(self.released),
            "own_bytes": self.own,
            "model_bytes": {"file": self.whole, "compressed": self.alone, "embedded": self.embedded},
            "embedded_as_changes_of": self.parent,
            "best_released": self.best,
            "saved_bytes": self.saved,
            "worth_embedding": self.saved > 0,
        }

    def lines(self) -> list[str]:
        """All of it for people."""
        of = "" if self.sampled == self.pictures else f", from {self.sampled} of them"
        rows = [f"bytes of {self.pictures} pictures in one batch{of}:"]
        rows += [f"  {name:<22}{size:>12,}" for name, size in self.released.items()]
        how = f"as changes of {self.parent}; " if self.parent else ""
        total = self.own + self.embedded
        rows.append(f"  {'this model':<22}{self.own:>12,}")
        rows.append(
            f"  {'the model, embedded':<22}{self.embedded:>12,}  ({how}"
            f"{self.whole:,} as a file, {self.alone:,} compressed)"
        )
        rows.append(f"  {'both':<22}{total:>12,}")
        best = self.released[self.best]
        share = 100 * abs(self.saved) / best
        if self.saved > 0:
            rows.append(f"it pays: {self.saved:,} bytes ({share:.1f} %) less than with {self.best}")
        else:
            rows.append(f"it does not pay: {-self.saved:,} bytes ({share:.1f} %) more than with {self.best}")
        return rows


def gain(pictures: Sequence[Pixels], data: bytes, *, threads: int = 1) -> Gain:
    """Code pictures with a model and with the released ones of its family.

    Parameters
    ----------
    pictures : uint8 [H, W, 3] each, at least one.
    data : model file.
    threads : that share the work.
    """
    total = sum(p.shape[0] * p.shape[1] for p in pictures)
    some = pictures[:: max(1, -(-total // MOST))]
    factor = total / sum(p.shape[0] * p.shape[1] for p in some)
    own = modelfile.load(data)
    released = {name: modelfile.load_named(name) for name in modelfile.released()}
    alike = {name: model for name, model in released.items() if model.family == own.family}
    sizes = {name: round(factor * coded_bytes(some, model, threads)) for name, model in alike.items()}
    short = registry.smallest(data)
    parent = delta.parent_of(short) if delta.is_delta(short) else None
    return Gain(
        pictures=len(pictures),
        sampled=len(some),
        released=sizes,
        own=round(factor * coded_bytes(some, own, threads)),
        whole=len(data),
        alone=len(delta.make(data)),
        embedded=len(short),
        parent=next((name for name, model in alike.items() if model.id == parent), None),
    )


def coded_bytes(pictures: Sequence[Pixels], model: Model, threads: int = 1) -> int:
    """Bytes of pictures as one batch; those with sides too long for one are cut into blocks."""
    parts, side = [], family_of(model).max_side
    for picture in pictures:
        places = cut(picture.shape[0], picture.shape[1], side)
        parts += [np.ascontiguousarray(picture[place]) for place in places]
    return len(batch.encode(parts, model, Execution(threads)))
