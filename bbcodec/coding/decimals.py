# SPDX-License-Identifier: Apache-2.0
"""Arithmetic with 50 decimal digits, for the tables that need an exponential or a logarithm.

A program may change the context of ``decimal`` for a thread, or the one that contexts are copied from. Tables
are part of the format, so that they use a context of their own for every operation, and no operators.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

__all__ = ["context", "to_int"]


def context() -> Context:
    """Return a new context of 50 digits that depends on nothing; halves are rounded up."""
    return Context(
        prec=50,
        rounding=ROUND_HALF_UP,
        Emin=-999999,
        Emax=999999,
        capitals=1,
        clamp=0,
        flags=[],
        traps=[InvalidOperation, DivisionByZero, Overflow],
    )


def to_int(value: Decimal) -> int:
    """Return the nearest integer; halves are rounded up."""
    return int(context().to_integral_value(value))
