# SPDX-License-Identifier: Apache-2.0
"""What a network is: one frozen dataclass that the checkpoint and the exported model file both carry."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

PRECISIONS = ("32/32", "1/32", "1/1")
NORMS = ("binary", "weight", "batch")


@dataclass(frozen=True)
class Recipe:
    """How residual layers are binarized (Bird, Kingma and Barber, ICLR 2021, section 3).

    Attributes
    ----------
    width : channels of the residual streams.
    units : residual units of a run; 0 gives the paper's "no residual" model.
    precision : weights/activations of the residual layers: ``32/32``, ``1/32`` or ``1/1``.
    bases : binary kernels whose weighted sum makes one weight (Lin et al. 2017); 1 is a plain binary layer.
    norm : what a binary kernel is multiplied with: ``binary``, g / sqrt(n), binary weight norm; ``weight``,
        g / |v|, weight norm (Salimans and Kingma 2016) of the real weights v; ``batch``, whatever batch norm
        (Ioffe and Szegedy 2015) makes of its outputs.
    stochastic : binarize weights at random, P(+1) = clip((v + 1) / 2, 0, 1) (Courbariaux 2015): anew each
        time in training, once out of training.
    clip : bound of the real weights behind the signs; 0 switches clipping off.
    """

    families: ClassVar[tuple[str, ...]] = ()

    family: str = ""
    width: int = 64
    units: int = 2
    precision: str = "1/1"
    bases: int = 1
    norm: str = "binary"
    stochastic: bool = False
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.family not in self.families:
            raise ValueError(f"family is {self.family!r}, expected one of {self.families}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {PRECISIONS}")
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, expected one of {NORMS}")
        if self.bases < 1 or self.units < 0:
            raise ValueError("bases must be positive, and units not negative")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Config(Recipe):
    """Architecture of a latent-variable model (Bird, Kingma and Barber, ICLR 2021, section 4).

    Attributes
    ----------
    family : ``rvae`` (bidirectional ResNet VAE, coded with BB-ANS) or ``markov`` (a chain of latents, coded
        with Bit-Swap).
    layers : latent layers at 1/2, 1/4, 1/8 ... of the image's resolution. ``(12,)`` is the paper's single
        scale. ``markov`` takes one layer a scale.
    latents : channels of each latent layer.
    whiten : change the low bits of the coder's heads before the latents of a tile are popped from them; see
        `bbcodec.families.latent.chains`.

    A run of residual units follows each latent layer, in each direction.
    """

    families: ClassVar[tuple[str, ...]] = ("rvae", "markov")

    family: str = "rvae"
    layers: tuple[int, ...] = (2, 1, 1, 1)
    latents: int = 12
    whiten: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.latents, len(self.layers), *self.layers) < 1:
            raise ValueError("latents and layers must be positive")
        if self.width < 12:
            raise ValueError(f"width is {self.width}, but a stream starts with 12 Haar coefficients")
        if self.family == "markov" and set(self.layers) != {1}:
            raise ValueError("a markov chain has one latent layer a scale, e.g. --layers 1,1,1")


@dataclass(frozen=True)
class FlowConfig(Recipe):
    """Architecture of a flow (Flow++: Ho et al. 2019), convolutions alone.

    Attributes
    ----------
    family : ``flowpp``.
    scales : halvings of the resolution; six couplings at each.
    mixtures : logistics in the mixture of a coupling.
    fraction_bits : of the integers that stand for dequantized samples, behind their eight.
    cell_bits : log2 of the steps over which an integer map is linear.
    """

    families: ClassVar[tuple[str, ...]] = ("flowpp",)

    family: str = "flowpp"
    width: int = 32
    scales: int = 3
    mixtures: int = 4
    fraction_bits: int = 12
    cell_bits: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.scales <= 6 or not 1 <= self.mixtures <= 8:
            raise ValueError("scales must be 1 to 6 and mixtures 1 to 8")
        if self.fraction_bits != 12 or not 6 <= self.cell_bits <= 12:
            raise ValueError("fraction_bits must be 12 and cell_bits 6 to 12: the coder has no other maps")
        if self.width < 4:
            raise ValueError(f"width is {self.width}, but couplings start with 4 predictions")


FAMILIES = (*Config.families, *FlowConfig.families)


def config_from_dict(values: dict[str, Any]) -> Recipe:
    """Inverse of `Recipe.to_dict`; keys that the family does not know are an error."""
    kind = FlowConfig if values.get("family") in FlowConfig.families else Config
    if unknown := set(values) - {f.name for f in fields(kind)}:
        raise ValueError(f"unknown configuration keys {sorted(unknown)}")
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
