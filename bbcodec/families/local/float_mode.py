# SPDX-License-Identifier: Apache-2.0
"""Check how this thread computes with floats, before NumPy or numba do so for the format.

The format asks for rounding to nearest and for subnormal numbers. Any library in the process may have changed
either for a thread, and new threads inherit it. Files that were written so could be read nowhere else, and
their proof, which runs in the same way, would not find it. The native module sets the right mode itself
(``native/core/float_mode.hpp``). Python cannot, so it refuses.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FloatModeError

__all__ = ["check"]


def _floats(*patterns: int) -> NDArray[np.float32]:
    """Return floats from their bits, which depend on no mode."""
    return np.array(patterns, np.uint32).view(np.float32)


_ONE, _MINUS_ONE = 0x3F800000, 0xBF800000
_HALF, _TWO_TO_24 = 0x3F000000, 0x4B800000
_LITTLE, _MINUS_LITTLE = 0x32800000, 0xB2800000  # 2^-26, far less than half a unit in the last place of 1
_SMALLEST_NORMAL, _SUBNORMAL = 0x00800000, 0x00400000  # 2^-126 and 2^-127
# Arrays, so that NumPy computes at each call and nobody does in advance.
_TERMS: Final = _floats(_ONE, _ONE, _MINUS_ONE), _floats(_LITTLE, _MINUS_LITTLE, _MINUS_LITTLE)
_FACTORS: Final = _floats(_SMALLEST_NORMAL, _SUBNORMAL), _floats(_HALF, _TWO_TO_24)
_SUMS: Final = _floats(_ONE, _ONE, _MINUS_ONE).tobytes()
_PRODUCTS: Final = _floats(_SUBNORMAL, 0x0C000000).tobytes()  # 2^-127, 2^-103


def check() -> None:
    """Check that this thread rounds floats to nearest and keeps subnormal numbers. It takes 2 µs.

    Raises
    ------
    FloatModeError
        It does not.
    """
    with np.errstate(all="ignore"):
        sums, products = np.add(*_TERMS), np.multiply(*_FACTORS)
    if sums.tobytes() != _SUMS:
        up, down, away = (sums.view(np.uint32) != np.frombuffer(_SUMS, np.uint32)).tolist()
        mode = "up" if up else "down" if away else "towards zero" if down else "in an unknown way"
        raise FloatModeError(
            f"this thread rounds floats {mode} (fesetround), and the model needs rounding to nearest; "
            "reset it, or use the backend native"
        )
    if products.tobytes() != _PRODUCTS:
        raise FloatModeError(
            "this thread treats subnormal floats as zero (torch.set_flush_denormal or a library built with "
            "-ffast-math), and the model needs them; reset it, or use the backend native"
        )
