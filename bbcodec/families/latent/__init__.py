# SPDX-License-Identifier: Apache-2.0
"""The model families as codecs of tiles: exact graphs below, bits-back schemes above.

One file per family; `pixels` is what they share, `causal` codes tiles without latents. No training code here.
"""

from __future__ import annotations

from typing import Protocol

from bbcodec.coding.codecs import Codec
from bbcodec.errors import ModelError
from bbcodec.families.latent.flowpp import Flowpp
from bbcodec.families.latent.markov import Markov
from bbcodec.families.latent.rvae import Rvae
from bbcodec.modelfile import Model

__all__ = ["FAMILIES", "Flowpp", "Markov", "Net", "Rvae", "load"]

FAMILIES: dict[str, type[Rvae] | type[Markov] | type[Flowpp]] = {
    "rvae": Rvae,
    "markov": Markov,
    "flowpp": Flowpp,
}


class Net(Protocol):
    """What `bbcodec.families.family` needs of a family."""

    multiple: int
    depth: int

    def tile_codec(self, height: int, width: int, channels: int) -> Codec:
        """Codec of one tile uint8 [height, width, channels]."""
        ...

    def latent_counts(self, height: int, width: int) -> list[int]:
        """Latents of a tile in each layer, from the finest."""
        ...


def load(model: Model, backend: str | None = None) -> Net:
    """The family's codecs for a model file.

    Raises
    ------
    ModelError
        The family is unknown, or the file lacks what it needs.
    """
    if model.family not in FAMILIES:
        raise ModelError(f"model family {model.family!r} is unknown, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[model.family](model, backend)
