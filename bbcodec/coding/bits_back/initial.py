# SPDX-License-Identifier: Apache-2.0
"""Measure the initial bits of a bits-back codec: the bits on the stack that it needs to begin."""

from __future__ import annotations

from typing import Any

import numpy as np

from bbcodec.coding import ans
from bbcodec.coding.ans import Words
from bbcodec.coding.codecs import Codec
from bbcodec.errors import MessageUnderflow


def initial_bits(
    codec: Codec, data: Any, lanes: ans.Shape = 1, seed: int = 0, limit_words: int = 1 << 24
) -> int:
    """Push ``data`` on a reservoir of random words, and return the greatest depth of the pops in bits.

    Every lane of the head starts at ``2**31``, which holds no bits. All popped bits therefore come from the
    reservoir, word by word. The result is a multiple of 32, and every lane may hold up to 32 of these bits
    unused. A stack is last-in first-out, so words that were never popped are still at the bottom at the end.
    The depth is the length of the reservoir minus the length of its longest remaining suffix. The suffix is
    compared by value, which mistakes a random word with a probability of 2**-32.

    Parameters
    ----------
    codec : Codec
    data : symbol of the codec
    lanes : int or tuple of int
        Shape of the head. With fewer lanes, fewer bits are unused.
    seed : int
        Seed of the reservoir. Latents are sampled from it, so the depth varies a little with the seed.
    limit_words : int
        Largest size of the reservoir, in words.

    Raises
    ------
    MessageUnderflow
        A reservoir of ``limit_words`` is too small.

    >>> from bbcodec.coding.codecs import Codec, uniform
    >>> q = uniform(16)
    >>> wasteful = Codec(lambda m, x: q.push(q.pop(q.pop(m)[0])[0], x), None)  # pops 32 bits, pushes 16
    >>> initial_bits(wasteful, 5)
    32
    """
    size = 1 << 10
    while True:
        reservoir = np.random.default_rng(seed).integers(1 << 32, size=size, dtype=np.uint32)
        head, _ = ans.base_message(lanes)
        try:
            message, *_ = codec.push((head, (reservoir, ())), data)
        except MessageUnderflow:
            if size >= limit_words:
                raise
            size = min(size * 8, limit_words)
        else:
            return 32 * (size - _common_suffix(reservoir, ans.flatten(message)))


def _common_suffix(first: Words, second: Words) -> int:
    """Return the length of the longest common suffix, in words."""
    n = min(len(first), len(second))
    differs = np.flatnonzero(first[len(first) - n :] != second[len(second) - n :])
    return n - (int(differs[-1]) + 1 if len(differs) else 0)
