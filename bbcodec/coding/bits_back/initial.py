# SPDX-License-Identifier: Apache-2.0
"""How many bits a bits-back codec needs on the stack before it can begin."""

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
    """Push ``data`` on a reservoir of random words and return the greatest depth that was popped, in bits.

    The head starts at ``2**31`` on every lane, which is empty, so all that is popped comes out of the
    reservoir word by word: the result is a multiple of 32, and every lane may hold up to 32 of those bits
    unused. A stack is last-in first-out, so what was never reached is still at the bottom at the end: the
    depth is the length of the reservoir less that of its longest suffix that is left (compared by value; a
    random word is mistaken with a chance of 2**-32).

    Parameters
    ----------
    codec : Codec
    data : symbol of the codec
    lanes : int or tuple of int
        Shape of the head. Few lanes make the unused bits few.
    seed : int
        Of the reservoir; latents are sampled from it, so the depth varies a little with it.
    limit_words : int
        Give up and raise MessageUnderflow when a reservoir of this size is too small.

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
    n = min(len(first), len(second))
    differs = np.flatnonzero(first[len(first) - n :] != second[len(second) - n :])
    return n - (int(differs[-1]) + 1 if len(differs) else 0)
