# SPDX-License-Identifier: Apache-2.0
"""Integer tables of docs/loglinear.md, and its constants.

The values are rounded from exact ones. No value is close to a half, so every math library gives the same.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

CHANNEL_KINDS: Final = 4
"""Kinds of channels: first, second and third channel of RGB in coding order; gray."""
DECISION_KINDS: Final = 8
"""Kinds of decisions: first, up, down, four levels within a place, between places."""
TERMS: Final = 33
TERMS_OF_CONTEXT: Final = 4
PLACE: Final = 16
"""Values of a place, and entries of a line."""
LOGS: Final = 2048
LOGIT_LIMIT: Final = 12288
"""Logits in 2^-10 are within this."""
COUNTS: Final = 16
MAX_VALUE: Final = 2047
"""Largest value of an entry: logits in 2^-8."""
MAX_WEIGHT: Final = (1 << 22) - 1
MAX_STREAMS: Final = 8
LANES_OF_STREAM: Final = 32
MIN_TABLE_BITS: Final = 12
PIXEL_CONTEXTS: Final = 8
"""Contexts of the decisions about whole pixels."""
PIXEL_KINDS: Final = 7
"""Kinds of these decisions: four neighbours, three colours that are recalled."""
PIXEL_LINES: Final = 256
"""Lines of the first of these contexts, whose values a model may give."""
START_COUNT: Final = 8
"""Count of the values that a model gives."""
RECALL_BITS: Final = 16

_LAST_RATE: Final = 20  # an entry that was visited often moves by 4 / 20 of an error


@lru_cache(maxsize=1)
def log_table() -> NDArray[np.int32]:
    """Return ``round(2^10 ln x)`` of 0 (unused), 1 .. 2047, then of 2^0 .. 2^15: int32 [2064]."""
    small = [0, *(round(1024 * math.log(x)) for x in range(1, LOGS))]
    return _read_only([*small, *(round(1024 * math.log(2) * shift) for shift in range(16))])


@lru_cache(maxsize=1)
def squash_table() -> NDArray[np.int32]:
    """Return the probabilities in 2^-16 of logits in steps of 2^-7: int32 [3072], values 1 to 65535.

    Entry i is ``round(2^16 / (1 + exp(-x)))``, ``x = (8 i + 4 - 12288) / 2^10``, kept within 1 .. 65535.
    """
    logits = [(8 * i + 4 - LOGIT_LIMIT) / 1024 for i in range(LOGIT_LIMIT // 4)]
    return _read_only([min(max(round(65536 / (1 + math.exp(-x))), 1), 65535) for x in logits])


@lru_cache(maxsize=1)
def rate_table() -> NDArray[np.int32]:
    """Return ``round(2^14 / n)`` for the counts 0 .. 15: n = count + 3, for the last 20; int32 [16]."""
    steps = [*(count + 3 for count in range(COUNTS - 1)), _LAST_RATE]
    return _read_only([round(16384 / n) for n in steps])


def table_bits(pixels: int, largest: int) -> int:
    """Return the index bits of a table: the least b >= 12 with 2^(b - 2) >= pixels, but at most `largest`."""
    return min(max(MIN_TABLE_BITS, (pixels - 1).bit_length() + 2), largest)


def _read_only(values: list[int]) -> NDArray[np.int32]:
    table = np.array(values, np.int32)
    table.flags.writeable = False
    return table
