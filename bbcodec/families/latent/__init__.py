# SPDX-License-Identifier: Apache-2.0
"""The model families with latents, each as a codec of tiles: bits-back coding over exact integer graphs.

Each family has one module. `pixels` holds what they share; `causal` codes tiles without latents. No training
code belongs here.
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
    """What `bbcodec.families.latent.chains` needs of a family: the codec of a tile, and its latents."""

    multiple: int
    depth: int

    def tile_codec(self, height: int, width: int, channels: int) -> Codec:
        """Return the codec of one tile, uint8 [height, width, channels]."""
        ...

    def latent_counts(self, height: int, width: int) -> list[int]:
        """Return the number of latents of a tile in each layer, finest first."""
        ...


def load(model: Model, backend: str | None = None) -> Net:
    """Return the codecs of a model.

    Raises
    ------
    ModelError
        The family is unknown, or the model lacks a function, tensor or value that its family needs.
    """
    if model.family not in FAMILIES:
        raise ModelError(f"model family {model.family!r} is unknown, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[model.family](model, backend)
