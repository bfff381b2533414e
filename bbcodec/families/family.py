# SPDX-License-Identifier: Apache-2.0
"""The protocol of a model family, and the registry that finds the family of a model.

A new family is a package with a module ``family`` that defines ``FAMILY``, and one line in `MODULES`. Other
packages call `family_of` and never ask a model for the name of its family.
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
    "deep": "bbcodec.families.deep.family",
    "local": "bbcodec.families.local.family",
    "loglinear": "bbcodec.families.loglinear.family",
    "rvae": "bbcodec.families.latent.family",
    "markov": "bbcodec.families.latent.family",
    "flowpp": "bbcodec.families.latent.family",
}
"""Module of every family, by the family name in model files. It is imported on first use."""


class Fit(Protocol):
    """Changes of a model and the view of the picture, as stored in one file (section ``FITT``)."""

    @property
    def view(self) -> int:
        """Return how the picture is turned before it is coded; see `bbcodec.picture.turn`."""
        ...

    def apply(self, model: Model) -> Model:
        """Return the changed model.

        Raises
        ------
        FormatError
            The changes do not apply to this model.
        """
        ...

    def pack(self) -> bytes:
        """Return the payload of the section."""
        ...

    def summary(self) -> dict[str, Any]:
        """Return the changes in JSON values."""
        ...


class Family(Protocol):
    """A way to code pictures with the probabilities of a model.

    A *payload* is the smallest part that decodes alone; in files it is called a chain. The payloads of a
    picture depend only on the picture and the model.

    Attributes
    ----------
    max_side : largest side of a picture in a batch, in pixels.
    cost_unit : ``pixel`` or ``tile``, the smallest area whose cost `cost_map` knows.
    fitter : name of the module that fits a model of the family to a picture, or None.
    universal : true if its models are good for drawings, alpha, palettes and bits too, not for photographs
        alone: encoders code all these with them.
    deep : true if its models code arrays of samples of up to 16 bits (`bbcodec.families.deep.family`), and no
        pictures of 8 bits: methods that would do so raise `ModelError`.
    """

    max_side: int
    cost_unit: str
    fitter: str | None
    universal: bool
    deep: bool

    def encode(self, image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
        """Encode a picture, uint8 [H, W, C], contiguous, where C is 1 (gray) or 3 (RGB)."""
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
        """Decode a picture or a window of it: uint8 [height, width, channels].

        With `lost`, there must be as many payloads as `places` returns; see `bbcodec.picture.loss.Lost`.

        Raises
        ------
        FormatError
            The number of payloads does not fit the size, or a payload is damaged.
        """
        ...

    def payloads(self, height: int, width: int, model: Model) -> int:
        """Return the number of payloads of a picture, without listing what they code."""
        ...

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]:
        """Return the rectangles of the picture that each payload codes."""
        ...

    def cost_map(
        self, image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
    ) -> NDArray[np.float32]:
        """Return the cost of each pixel of a decoded picture in bits: float32 [H, W]."""
        ...

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        """Return facts about payloads that need no decoding, in JSON values."""
        ...

    def estimate_bits(self, image: Pixels, model: Model, execution: Execution) -> float:
        """Return the net bits of a picture of at most 2^17 pixels in one piece, without its base state."""
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
        """Pop the pictures that `encode_batch` pushed.

        Parameters
        ----------
        plain : number of parts without latents.
        words : words of the message.
        shapes : (height, width) of each picture, in pixels.
        channels : 1 (gray) or 3 (RGB).
        model, execution : see `encode`.

        Raises
        ------
        FormatError
            The message is damaged, or `plain` is impossible for these pictures.
        """
        ...

    def prepare(self, model: Model, execution: Execution) -> None:
        """Build what every coding with the model shares, such as tables."""
        ...

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights of a model, and the number of its other integers."""
        ...

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model."""
        ...

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Read a section ``FITT``.

        Raises
        ------
        FormatError
            The section is damaged, or the family has no fits.
        """
        ...


def family_of(model: Model) -> Family:
    """Return the family of a model.

    Raises
    ------
    ModelError
        The family of the model is unknown.
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
