# SPDX-License-Identifier: Apache-2.0
"""Bits-back coding: codecs of data with latent variables, one file per scheme, and their initial bits.

An encoder spends ``-log2 p(x, z)`` bits on data and latents. It gets ``-log2 q(z | x)`` bits back, because it
pops z from bits that are already on the stack. On average the difference is the negative ELBO. The stack must
hold enough bits to pop: :func:`initial_bits` measures how many.
"""

from __future__ import annotations

from bbcodec.coding.bits_back.bb_ans import BBANS
from bbcodec.coding.bits_back.bit_swap import BitSwap, MarkovBBANS
from bbcodec.coding.bits_back.initial import initial_bits

__all__ = ["BBANS", "BitSwap", "MarkovBBANS", "initial_bits"]
