# SPDX-License-Identifier: Apache-2.0
"""The 48 context features of a pixel, which are the inputs of the network, and the slow activity.

Differences are scaled by the local error (``ks``) or by the local contrast (``kt``), so that one network
works in smooth and in busy regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.local.model import FEATURES
from bbcodec.families.local.order import Lanes, Order
from bbcodec.families.local.tables import qlog, r1_table, r2_table

Integers = NDArray[np.int64]

ERROR_WEIGHTS: Final = np.array([2, 2, 1, 1, 1, 1])[:, None]


class Earlier(NamedTuple):
    """Errors and samples of a channel coded before, for n lanes.

    Attributes
    ----------
    error, sample : [n], at the pixel itself.
    errors : [2, n], at S0 and S1.
    samples : [6, n], at S0 to S5.
    """

    error: Integers
    sample: Integers
    errors: Integers
    samples: Integers


class Activity:
    """Slow activity of one channel of a group: absolute errors averaged along rows and down columns."""

    def __init__(self, order: Order):
        self._row = np.zeros(order.slots, np.int64)
        self._column = np.zeros(order.columns, np.int64)

    def of(self, lanes: Lanes) -> Integers:
        """Return ``z`` of every lane, before its sample is known."""
        self._row[lanes.slot[lanes.x == 0]] = 0
        ahead = np.minimum(lanes.x + 2, lanes.width - 1) - lanes.x
        result: Integers = ((self._column[lanes.column + ahead] + 4 * self._row[lanes.slot]) >> 4) + 64
        return result

    def update(self, lanes: Lanes, error: Integers) -> None:
        """Update the averages with the errors E of the lanes."""
        h, v = self._row[lanes.slot], self._column[lanes.column]
        h = h + np.abs(error) - (h >> 4)
        self._row[lanes.slot] = h
        self._column[lanes.column] = v + h - (v >> 3)


def error_scale(errors: Integers) -> Integers:
    """Return ``ks``, given the errors [6, n] of the own channel at S0 to S5."""
    return qlog(64 + (ERROR_WEIGHTS * np.abs(errors)).sum(0))


def features(
    samples: Integers,
    errors: Integers,
    predictions: Integers,
    ks: Integers,
    z: Integers,
    earlier: Sequence[Earlier],
    first: NDArray[np.bool_],
) -> Integers:
    """Return the features of n lanes.

    Parameters
    ----------
    samples : [16, n], samples of the own channel at S0 to S15.
    errors : [6, n], errors of the own channel at S0 to S5.
    predictions : [2, n], ``P_0`` and ``P_1``.
    ks : [n], see `error_scale`.
    z : [n], slow activity.
    earlier : the channels coded before, in order.
    first : [n], true where the lane is pixel (0, 0).

    Returns
    -------
    int64 [n, 48], all within ±127
    """
    p = (predictions[0] + predictions[1]) >> 1
    b = 64 * samples - p
    kt = qlog(64 + np.abs(b[:10]).sum(0))
    r1, r2 = r1_table()[ks], r2_table()[kt]
    out = np.zeros((FEATURES, len(p)), np.int64)
    out[0:16] = _norm(b, r2)
    out[16:22] = _norm(errors, r1)
    out[22] = _norm(predictions[0] - predictions[1], r1)
    out[23] = _c8(3 * (ks - 48))
    out[24] = _c8(3 * (kt - 48))
    out[25] = _c8(3 * (qlog(z) - 40))
    out[26] = _c8((p >> 7) - 64)
    for k, other in enumerate(earlier):
        part = out[27 + 10 * k : 37 + 10 * k]
        part[0] = _norm(other.error, r1)
        part[1:3] = np.where(first, 0, _norm(other.errors, r1))
        part[3] = _c8(3 * (qlog(64 + 8 * np.abs(other.error)) - ks))
        part[4:10] = np.where(first, 0, _norm(64 * (other.samples - other.sample), r2))
    return out.T


def _c8(v: Integers) -> Integers:
    return np.clip(v, -127, 127)


def _norm(v: Integers, r: Integers) -> Integers:
    return _c8((v * r + (1 << 13)) >> 14)
