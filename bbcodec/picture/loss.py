# SPDX-License-Identifier: Apache-2.0
"""What decoders of damaged data share: which parts are lost, and the value of their samples."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["GRAY", "Lost"]

Lost: TypeAlias = dict[int, str]
"""Why parts (chains or tiles) cannot be decoded, by their numbers.

A decoder that is given one leaves out the parts in it, and adds those that turn out to be damaged instead of
raising. Their samples are `GRAY`.
"""

GRAY: Final = 128
"""Value of a sample that is lost."""
