# SPDX-License-Identifier: Apache-2.0
"""Bits-back coding: codecs for data with latent variables, one file per scheme, and their initial bits.

A sender who may choose among latents spends ``-log2 p(x, z)`` bits but gets ``-log2 q(z | x)`` back, by
popping z from bits that are already on the stack; on average the difference is the negative ELBO. The price
is that there must be bits to pop: :func:`initial_bits` measures how many.
"""

from __future__ import annotations

from bbcodec.coding.bits_back.bb_ans import BBANS
from bbcodec.coding.bits_back.bit_swap import BitSwap, MarkovBBANS
from bbcodec.coding.bits_back.initial import initial_bits

__all__ = ["BBANS", "BitSwap", "MarkovBBANS", "initial_bits"]
