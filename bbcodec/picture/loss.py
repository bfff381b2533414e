# SPDX-License-Identifier: Apache-2.0
"""Types that all decoders of damaged data share: which parts are lost, and the value of their samples."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["GRAY", "OPAQUE", "Lost"]

Lost: TypeAlias = dict[int, str]
"""Lost parts (chains or tiles): number of the part -> reason why it cannot be decoded.

A decoder with such a dict skips the parts in it. It adds the parts that it finds damaged, instead of raising
an error. Samples of lost parts are `GRAY`.
"""

GRAY: Final = 128
"""Value of a lost sample."""

OPAQUE: Final = 255
"""Value of a lost sample of alpha that has a payload of its own."""
