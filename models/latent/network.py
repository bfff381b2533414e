# SPDX-License-Identifier: Apache-2.0
"""What training and export need of a network, whatever its family."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from ..config import Recipe
from .graph_builder import GraphBuilder


class Bound(Protocol):
    """Variational bound of a batch of images, as a network's `forward` returns it."""

    def bits_per_dim(self) -> Tensor:
        """Return the negative bound in bits per sub-pixel, mean over the batch."""

    def kl_bits_per_dim(self) -> list[float]:
        """Return the KL of each latent layer in bits per sub-pixel of the image."""

    def loss(self, free_bits: float) -> Tensor:
        """Return what training minimises, in bits per sub-pixel."""


class Network(nn.Module):
    """Network of a family; `forward` takes images x [N, 3, H, W] in 0..255 and returns a `Bound`.

    Attributes
    ----------
    config : configuration that the network was built from.
    multiple : H and W must be multiples of it, in pixels.
    """

    config: Recipe
    multiple: int

    def export(self, b: GraphBuilder) -> None:
        """Add the functions and tensors of the network to a graph."""
        raise NotImplementedError
