# SPDX-License-Identifier: Apache-2.0
"""The family `local`: tables, network, and the last layer, which learns (docs/local.md)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from .logistic import INV, argument, rounded, sigmoid
from .modelfile import Model

F = np.float32
FEATURES = 48


def _v(k: Decimal) -> Decimal:
    """Return the middle of the class k of qlog."""
    n = int(k)
    exact = Fraction(2) ** (n >> 2) * (1 + (Fraction(n & 3) + Fraction(1, 2)) / 4)
    return Decimal(exact.numerator) / Decimal(exact.denominator)


CLASSES = range(4 * 30)
R1 = rounded(lambda k: 192 * 2**14 / _v(k), CLASSES)
R2 = rounded(lambda k: 240 * 2**14 / _v(k), CLASSES)
SIG = rounded(_v, CLASSES)
LE = rounded(lambda k: 128 * _v(k).ln() / Decimal(2).ln() - 128 * 6, CLASSES)
EXP = rounded(lambda u: 2**16 * (-u / 256).exp(), range(2817))
EXP[2816] = 0


def qlog(v: Any) -> Any:
    """Return the class of v ≥ 64; there are four classes per octave."""
    b = np.frexp(v.astype(np.float64))[1].astype(np.int64) - 1
    return 4 * b + ((v >> (b - 2)) & 3)


def norm(v: Any, r: Any) -> Any:
    return np.clip((v * r + (1 << 13)) >> 14, -127, 127)


def c8(v: Any) -> Any:
    return np.clip(v, -127, 127)


def product(x: Any, w: Any) -> Any:
    """Return the integer matrix product. Sums stay below 2^53, so doubles are exact."""
    return (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)


def signs(words: Any, width: int) -> Any:
    """Unpack bits along the last axis to ±1: bit h mod 64 of word h // 64 is 1 for -1."""
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :width].astype(np.int64)


class Network:
    """The network with its hidden layers, and the learning state of the last layer."""

    def __init__(self, model: Model) -> None:
        config, self.tensors = model.config, model.tensors
        self.hidden, self.layers, self.components = config["hidden"], config["layers"], config["components"]
        self.rate, self.every = config["rate_q"], config.get("every", 1)
        channels = len(self.tensors["out_b"])
        scale = F(2.0**-20)
        self.w = self.tensors["out_w"].astype(F) * scale
        self.b = self.tensors["out_b"].astype(F) * scale
        self.moments = [
            np.zeros_like(self.w),
            np.zeros_like(self.w),
            np.zeros_like(self.b),
            np.zeros_like(self.b),
        ]
        self.powers = np.ones((channels, 2), F)
        self.signs = signs(self.tensors["hidden_w"], self.hidden) if self.layers else None

    def run(
        self, c: int, features: Any, side: Any, p: Any, ks: Any, least: int = 0
    ) -> tuple[Any, Any, Any, Any]:
        """Return inputs of the last layer [n, H + 48], and weights, means, scales of the mixtures [n, J].

        Scale numbers are at least `least`.
        """
        t = self.tensors
        total = product(features, t["first_w"][c])
        s = ((total * t["first_m"][c] + t["first_b"][c].astype(np.int64) + (1 << 13)) >> 14) + side
        s = np.clip(s, -32767, 32767)
        for n in range(self.layers):
            assert self.signs is not None
            total = product(self._active(s), self.signs[n].T)
            step = (total * t["hidden_m"][n] + t["hidden_b"][n].astype(np.int64) + (1 << 11)) >> 12
            s = np.clip(s + step, -32767, 32767)
        inputs = np.concatenate([self._active(s), features], 1)
        wq = np.clip(np.floor(self.w[c] * F(2**14) + F(0.5)), -32767, 32767)
        bq = np.clip(np.floor(self.b[c] * F(2**18) + F(0.5)), -(2**28), 2**28).astype(np.int64)
        o = (product(inputs, wq) + bq + (1 << 9)) >> 10
        j = self.components
        mu = p[:, None] + ((np.clip(o[:, :j], -4096, 4096) * SIG[ks][:, None] + (1 << 10)) >> 11)
        e = LE[ks][:, None] + ((np.clip(o[:, j : 2 * j], -8192, 8192) * 185 + 128) >> 8)
        e = np.clip((e + 8) >> 4, least, 79)
        logits = o[:, 2 * j :]
        x = EXP[np.minimum(logits.max(1, keepdims=True) - logits, 2816)]
        weights = (x << 16) // x.sum(1, keepdims=True)
        weights[:, 0] = (1 << 16) - weights[:, 1:].sum(1)
        return inputs, weights, mu, e

    @staticmethod
    def _active(s: Any) -> Any:
        return np.clip((s + 8) >> 4, 0, 255)

    def learn(
        self, c: int, samples: Any, ks: Any, inputs: Any, weights: Any, mu: Any, e: Any, last: Any = 255
    ) -> None:
        """Take one learning step of the last layer of channel c; `last` is the largest symbol."""
        x, last = samples[:, None], np.broadcast_to(last, samples.shape)[:, None]
        a_l, a_u = argument(x, mu, e), argument(x + 1, mu, e)
        c_l, c_u = np.where(x == 0, 0, sigmoid(a_l)), np.where(x == last, 1 << 30, sigmoid(a_u))
        s_u, s_l, q = c_u * 2.0**-30, c_l * 2.0**-30, weights * 2.0**-16
        m = s_u - s_l
        z = np.zeros(len(samples))
        for j in range(self.components):
            z = z + q[:, j] * m[:, j]
        f = q / (z + 2.0**-20)[:, None]
        d_u, d_l = s_u * (1 - s_u), s_l * (1 - s_l)
        scale = (SIG[ks][:, None] * INV[e]).astype(np.float64) * 2.0**-28
        g = [((d_u - d_l) * f) * scale, (a_u * 2.0**-15 * d_u - a_l * 2.0**-15 * d_l) * f, q - f * m]
        y = np.clip(np.floor(np.concatenate(g, 1) * 2.0**10 + 0.5), -4095, 4095)
        y_w, y_b = product(inputs.T, y), y.sum(0)
        self.powers[c] *= np.array([0.875, 0.9921875], F)
        c1, c2 = F(1) / (F(1) - self.powers[c])
        mw, vw, mb, vb = (moment[c] for moment in self.moments)
        self.w[c] -= self._step(y_w.astype(F) * F(2**-14), mw, vw, c1, c2)
        self.b[c] -= self._step(y_b.astype(F) * F(2**-10), mb, vb, c1, c2)

    def _step(self, g: Any, m: Any, v: Any, c1: Any, c2: Any) -> Any:
        m += (g - m) * F(0.125)
        v += (g * g - v) * F(0.0078125)
        rate = F(self.rate) * F(2.0**-20)
        return rate * ((m * c1) / (np.sqrt(v * c2) + F(2.0**-20)))
