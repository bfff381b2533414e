# SPDX-License-Identifier: Apache-2.0
"""Configurations of networks: frozen dataclasses that checkpoints and exported model files both carry.

A configuration decides the shape of a network. Options of a training run are not part of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

Values = dict[str, Any]  # a configuration as JSON has it

PRECISIONS = ("32/32", "1/32", "1/1")
NORMS = ("binary", "weight", "batch")


@dataclass(frozen=True)
class Recipe:
    """Describe how residual layers are binarized (Bird, Kingma and Barber, ICLR 2021, section 3).

    Attributes
    ----------
    families : families that the class describes.
    family : name of the family.
    width : channels of the residual streams.
    units : residual units of a run. 0 gives the paper's "no residual" model.
    precision : bits of weights/activations of the residual layers: ``32/32``, ``1/32`` or ``1/1``.
    bases : binary kernels whose weighted sum makes one weight (Lin et al. 2017). 1 is a plain binary layer.
    norm : factor of a binary kernel. ``binary``: g / sqrt(n), binary weight norm. ``weight``: g / |v|, weight
        norm (Salimans and Kingma 2016) of the real weights v. ``batch``: batch norm of its outputs (Ioffe and
        Szegedy 2015).
    stochastic : binarize weights at random, P(+1) = clip((v + 1) / 2, 0, 1) (Courbariaux 2015). Training
        draws anew at every step; evaluation uses one draw.
    clip : bound of the real weights behind the signs; 0 switches clipping off.

    Raises
    ------
    ValueError
        A value is out of its range.
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
            raise ValueError(f"family must be one of {self.families} (got {self.family!r})")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS} (got {self.precision!r})")
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {NORMS} (got {self.norm!r})")
        if self.bases < 1 or self.units < 0:
            raise ValueError(
                f"bases must be at least 1 and units at least 0 (got {self.bases} and {self.units})"
            )

    def to_dict(self) -> Values:
        """Return the values as JSON types; tuples become lists."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Config(Recipe):
    """Describe a latent-variable model (Bird, Kingma and Barber, ICLR 2021, section 4).

    A run of residual units follows each latent layer, in each direction.

    Attributes
    ----------
    family : ``rvae`` (bidirectional ResNet VAE, coded with BB-ANS) or ``markov`` (a chain of latents, coded
        with Bit-Swap).
    layers : latent layers at 1/2, 1/4, 1/8 ... of the image's resolution. ``(12,)`` is the paper's single
        scale. ``markov`` takes one layer per scale.
    latents : channels of each latent layer.
    whiten : change the low bits of the coder's heads before the latents of a tile are popped from them; see
        `bbcodec.families.latent.chains`.
    """

    families: ClassVar[tuple[str, ...]] = ("rvae", "markov")

    family: str = "rvae"
    layers: tuple[int, ...] = (2, 1, 1, 1)
    latents: int = 12
    whiten: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.latents, len(self.layers), *self.layers) < 1:
            raise ValueError(f"latents and layers must be at least 1 (got {self.latents} and {self.layers})")
        if self.width < 12:
            raise ValueError(f"width must be at least 12, the number of Haar coefficients (got {self.width})")
        if self.family == "markov" and set(self.layers) != {1}:
            raise ValueError(
                f"markov needs one latent layer per scale, as in --layers 1,1,1 (got {self.layers})"
            )


@dataclass(frozen=True)
class FlowConfig(Recipe):
    """Describe a flow of convolutions only (Flow++: Ho et al. 2019).

    Attributes
    ----------
    family : ``flowpp``.
    scales : number of halvings of the resolution, with six couplings each.
    mixtures : logistics in the mixture of a coupling.
    fraction_bits : bits of a dequantized sample below its eight whole bits.
    cell_bits : log2 of the number of steps over which an integer map is linear.
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
            raise ValueError(
                f"scales must be 1 to 6 and mixtures 1 to 8 (got {self.scales} and {self.mixtures})"
            )
        if self.fraction_bits != 12 or not 6 <= self.cell_bits <= 12:
            raise ValueError(
                "fraction_bits must be 12 and cell_bits 6 to 12, the maps of the coder "
                f"(got {self.fraction_bits} and {self.cell_bits})"
            )
        if self.width < 4:
            raise ValueError(f"width must be at least 4, the predictions of a coupling (got {self.width})")


FAMILIES = (*Config.families, *FlowConfig.families)


def config_from_dict(values: Values) -> Recipe:
    """Return the configuration that `Recipe.to_dict` was called on.

    Raises
    ------
    ValueError
        The family does not know one of the keys, or a value is out of its range.
    """
    kind = FlowConfig if values.get("family") in FlowConfig.families else Config
    if unknown := set(values) - {f.name for f in fields(kind)}:
        raise ValueError(f"unknown configuration keys {sorted(unknown)} for {kind.__name__}")
    known: Values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return kind(**known)
