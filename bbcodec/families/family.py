# SPDX-License-Identifier: Apache-2.0
"""What every model family implements, and the registry that finds the family of a model.

A new family is one package with a module ``family`` that defines ``FAMILY``, and one line in `MODULES`. No
other room asks a model for the name of its family.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Words
from bbcodec.container import Buffer
from bbcodec.errors import ModelError
from bbcodec.families.stats import EncodedPixels, Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Place, Window

__all__ = ["MODULES", "Family", "Fit", "families", "family_of"]

MODULES: Final = {
    "local": "bbcodec.families.local.family",
    "rvae": "bbcodec.families.latent.family",
    "markov": "bbcodec.families.latent.family",
    "flowpp": "bbcodec.families.latent.family",
}
"""Module of every family, by the name that model files have; imported when it is first needed."""


class Fit(Protocol):
    """What a file changes in its model and its picture (section ``FITT``)."""

    @property
    def view(self) -> int:
        """How the picture is turned before it is coded; see `bbcodec.picture.turn`."""
        ...

    def apply(self, model: Model) -> Model:
        """Return the changed model; FormatError where it cannot be changed so."""
        ...

    def pack(self) -> bytes:
        """Return the payload of the section."""
        ...

    def summary(self) -> dict[str, Any]:
        """Return what changes, in JSON values."""
        ...


class Family(Protocol):
    """One way to code pictures with the probabilities of a model.

    A *payload* is the smallest part that decodes alone; in files it is called a chain. Payloads of a picture
    depend on the picture and the model only.

    Attributes
    ----------
    max_side : pixels that a side of a picture may have in a batch.
    cost_unit : ``pixel`` or ``tile``, the smallest area whose cost `cost_map` tells.
    fitter : module that fits a model of the family to a picture, or None.
    """

    max_side: int
    cost_unit: str
    fitter: str | None

    def encode(self, image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
        """Encode uint8 [H, W, C], C of 1 (gray) or 3 (RGB)."""
        ...

    def decode(
        self,
        chains: Sequence[Buffer],
        height: int,
        width: int,
        channels: int,
        model: Model,
        execution: Execution,
        *,
        window: Window | None = None,
        lost: Lost | None = None,
    ) -> Pixels:
        """Decode what `encode` made: uint8 [height, width, channels], or a window of it.

        With `lost`, as many payloads as `places` tells are given; see `bbcodec.picture.loss.Lost`.

        Raises
        ------
        FormatError
            The number of payloads does not fit the size, or a payload is damaged.
        """
        ...

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]:
        """Return the rectangles of the picture that each payload holds."""
        ...

    def cost_map(
        self, image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
    ) -> NDArray[np.float32]:
        """Return the bits that each pixel of a decoded picture took: float32 [H, W]."""
        ...

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        """Return what payloads tell without decoding, in JSON values."""
        ...

    def estimate_bits(self, image: Pixels, model: Model, execution: Execution) -> float:
        """Return the net bits of a picture of at most 2^17 pixels in one piece, without its start."""
        ...

    def encode_batch(self, images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
        """Push pictures onto one message; return the number of parts without latents, and its words."""
        ...

    def decode_batch(
        self,
        plain: int,
        words: Words,
        shapes: Sequence[tuple[int, int]],
        channels: int,
        model: Model,
        execution: Execution,
    ) -> list[Pixels]:
        """Pop the pictures of the (height, width) in `shapes` off what `encode_batch` made.

        Raises
        ------
        FormatError
            The message is damaged, or the number of parts without latents is not possible.
        """
        ...

    def prepare(self, model: Model, execution: Execution) -> None:
        """Do what has to be done once for a model."""
        ...

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights of a model, and of all its other integers."""
        ...

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Return about how many bytes decoding takes beside samples and model."""
        ...

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Read a section ``FITT``; FormatError where it is damaged, or the family has no fits."""
        ...


def family_of(model: Model) -> Family:
    """Return the family of a model.

    Raises
    ------
    ModelError
        No family has this name.
    """
    if model.family not in MODULES:
        raise ModelError(
            f"model family {model.family!r:.60} is unknown, expected one of {', '.join(MODULES)}"
        )
    return _load(MODULES[model.family])


def families() -> Iterable[Family]:
    """Yield every family once."""
    return map(_load, dict.fromkeys(MODULES.values()))


def _load(module: str) -> Family:
    return cast(Family, importlib.import_module(module).FAMILY)
