# SPDX-License-Identifier: Apache-2.0
"""Functions that have a gradient of their own: signs, rounding and clamping, for both kinds of networks.

Their real derivative is zero almost everywhere, so that training needs a straight-through estimate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Sign(torch.autograd.Function):
    """Sign of an activation; the gradient passes where |a| <= 1."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a.abs() <= 1)
        return a.ge(0).to(a.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (is_inside,) = ctx.saved_tensors
        return grads[0] * is_inside


class _SignWeight(torch.autograd.Function):
    """Sign of a real weight minus a threshold; the gradient passes everywhere."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor | float) -> Tensor:
        return torch.where(v < threshold, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _Round8(torch.autograd.Function):
    """Multiples of 1/16 in 8 bits; the gradient passes everywhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x * 16).clamp(0, 255) / 16

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class _Clamp(torch.autograd.Function):
    """Clamp; outside of the bounds, only a gradient that points back inside passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        is_outward = ((x < low) & (grads[0] > 0)) | ((x > high) & (grads[0] < 0))
        return grads[0].masked_fill(is_outward, 0.0), None, None


def sign(a: Tensor) -> Tensor:
    """Return 1 where an activation is at least 0, else -1. The gradient passes where |a| <= 1."""
    return _Sign.apply(a)  # type: ignore[no-untyped-call]


def sign_weight(v: Tensor, threshold: Tensor | float = 0.0) -> Tensor:
    """Return 1 where a real weight is at least `threshold`, else -1. The gradient passes everywhere."""
    return _SignWeight.apply(v, threshold)  # type: ignore[no-untyped-call]


def round8(x: Tensor) -> Tensor:
    """Round to multiples of 1/16 from 0 to 255/16. The gradient passes everywhere."""
    return _Round8.apply(x)  # type: ignore[no-untyped-call]


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp so that training can move a value beyond a bound back inside."""
    return _Clamp.apply(x, low, high)  # type: ignore[no-untyped-call]
