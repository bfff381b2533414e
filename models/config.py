# SPDX-License-Identifier: Apache-2.0
"""What a network is: one frozen dataclass that the checkpoint and the exported model file both carry."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

FAMILIES = ("rvae", "markov")
PRECISIONS = ("32/32", "1/32", "1/1")


@dataclass(frozen=True)
class Config:
    """Architecture of a latent-variable model (Bird, Kingma and Barber, ICLR 2021, section 4).

    Attributes
    ----------
    family : ``rvae`` (bidirectional ResNet VAE, coded with BB-ANS) or ``markov`` (a chain of latents, coded
        with Bit-Swap).
    width : channels of the residual streams.
    layers : latent layers at 1/2, 1/4, 1/8 ... of the image's resolution. ``(12,)`` is the paper's single
        scale. ``markov`` takes one layer a scale.
    latents : channels of each latent layer.
    units : residual units after each latent layer, per direction. 0 gives the paper's "no residual" model.
    precision : weights/activations of the residual layers: ``32/32``, ``1/32`` or ``1/1``.
    bases : binary kernels whose weighted sum makes one weight (Lin et al. 2017); 1 is a plain binary layer.
    stochastic : binarize weights at random in training, P(+1) = clip((v + 1) / 2, 0, 1) (Courbariaux 2015).
    clip : bound of the real weights behind the signs; 0 switches clipping off.
    """

    family: str = "rvae"
    width: int = 64
    layers: tuple[int, ...] = (2, 1, 1, 1)
    latents: int = 12
    units: int = 2
    precision: str = "1/1"
    bases: int = 1
    stochastic: bool = False
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family is {self.family!r}, expected one of {FAMILIES}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {PRECISIONS}")
        if min(self.latents, self.bases, len(self.layers), *self.layers) < 1 or self.units < 0:
            raise ValueError("latents, bases and layers must be positive")
        if self.width < 12:
            raise ValueError(f"width is {self.width}, but a stream starts with 12 Haar coefficients")
        if self.family == "markov" and set(self.layers) != {1}:
            raise ValueError("a markov chain has one latent layer a scale, e.g. --layers 1,1,1")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self) | {"layers": list(self.layers)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Inverse of `to_dict`; keys it does not know are an error."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown configuration keys {sorted(unknown)}")
        return cls(**(values | {"layers": tuple(values["layers"])}))
