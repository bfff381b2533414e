# SPDX-License-Identifier: Apache-2.0
"""The family `deep`: one plane of a block, each pixel given its neighbours (docs/deep.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .deep_window import Window, pop_numbers
from .local import S, neighbours
from .local_fit import F, Predictor, float_rules
from .local_net import FEATURES, R1, R2, Network, c8, product
from .local_net import qlog as unbounded_qlog
from .modelfile import Model
from .rans import Message
from .wire import demand

X = [(0, 0), (-1, 0), (0, -1), (-1, -1), (1, -1), (1, 0), (0, 1), (-1, 1), (1, 1)]


def qlog(v: Any) -> Any:
    return unbounded_qlog(np.minimum(v, (1 << 24) - 1))


def excess(k: Any) -> Any:
    return np.maximum(0, (k >> 2) - 12)


def norm(v: Any, s: Any, r: Any) -> Any:
    """Return v, with as many values a lane as there are; s and r have one."""
    if v.ndim > 1:
        s, r = s[:, None], r[:, None]
    return c8((np.clip(v >> s, -(1 << 14), 1 << 14) * r + (1 << 13)) >> 14)


class Sums(Predictor):
    """A predictor whose sums are floats."""

    def __init__(self, n: int, rows: int, cells: int, along: int, down: int, ridge: int) -> None:
        super().__init__(n, rows, cells, 0, along, down, ridge)
        self.f, self.g = self.f.astype(F), self.g.astype(F)
        self.shares = F(2.0**-along), F(2.0**-down)

    @float_rules
    def add(self, rows: Any, d: Any, target: Any, w: Any) -> None:
        i, j = self.lower
        d, target = d.astype(F), target.astype(F)
        weighted = d * w[:, None]
        self.f[rows] += np.concatenate([weighted[:, i] * d[:, j], (target * w)[:, None] * d], 1)

    @float_rules
    def close(self, rows: Any, cells: Any) -> None:
        self.f[rows] -= self.f[rows] * self.shares[0]
        self.g[cells] += self.f[rows]
        self.g[cells] -= self.g[cells] * self.shares[1]


class Plane:
    """A plane of a block, of numbers from 0 to top, and the state of its coding."""

    def __init__(
        self, model: Model, size: tuple[int, int], top: int, phased: bool, references: list[Plane]
    ) -> None:
        h, w = self.size = size
        self.top, self.phased, self.references, self.kind = top, phased, references, len(references)
        self.samples = np.full(h * w + 1, (top + 1) >> 1, np.int64)  # the last: no neighbour
        self.errors = np.full(h * w + 1, 1280, np.int64)
        self.h, self.v = np.zeros(h, np.int64), np.zeros(w, np.int64)
        config = model.config
        self.own = config["phased" if phased else "own"]
        self.earlier = config["earlier"]
        self.predictors = [
            Sums(
                (4 if phased else 1) * self.own[q] + self.kind * self.earlier[q],
                h,
                -(-w // 3),
                config["along"][q],
                config["down"][q],
                config["ridge"],
            )
            for q in (0, 1)
        ]

    def pop(self, message: Message, layer: Network) -> None:
        """Pop all samples; `layer` has the last layer of the plane's role."""
        h, w = self.size
        for t in range(w + 3 * (h - 1)):
            x = t - 3 * np.arange(h)
            y = np.flatnonzero((x >= 0) & (x < w))
            if len(y):
                self._time(message, layer, t, y, x[y])

    def rows(self) -> Any:
        """Return the numbers, [H, W]."""
        return self.samples[:-1].reshape(self.size)

    def _around(self, y: Any, x: Any) -> Any:
        """Return the numbers of the pixels at X, which are moved into the block, [lanes, 9]."""
        h, w = self.size
        dx, dy = np.array(X).T[:, None, :]
        return np.clip(y[:, None] + dy, 0, h - 1) * w + np.clip(x[:, None] + dx, 0, w - 1)

    def _regressors(self, q: int, own: Any, others: list[Any], y: Any, x: Any) -> Any:
        """Return the regressors of the predictor q, [lanes, N]; own, others: differences."""
        n = self.own[q]
        first = own[:, :n]
        if self.phased:
            first = np.zeros((len(y), 4, n), np.int64)
            first[np.arange(len(y)), 2 * (y & 1) + (x & 1)] = own[:, :n]
            first = first.reshape(len(y), -1)
        return np.concatenate([first, *(o[:, : self.earlier[q]] for o in others)], 1)

    def _time(self, message: Message, layer: Network, t: int, y: Any, x: Any) -> None:
        """Pop the pixels of one time."""
        w = self.size[1]
        cell, pixel = x // 3, y * w + x
        near_s, near_x = neighbours(y, x, w, S), self._around(y, x)
        own, near_e = self.samples[near_s], self.errors[near_s]
        m = (own[:, 0] + own[:, 1]) >> 1
        others = []
        for reference in self.references:
            them = reference.samples[near_x]
            others.append(them - ((them[:, 1] + them[:, 2]) >> 1)[:, None])
        d, guesses = [], []
        for q, predictor in enumerate(self.predictors):
            d.append(self._regressors(q, own - m[:, None], others, y, x))
            if t % 3 == 0:
                predictor.fit(y, cell)
            guesses.append(predictor.predict(y, d[q], m, self.top))
        p = (guesses[0] + guesses[1]) >> 1
        z = ((self.v[np.minimum(x + 2, w - 1)] + 4 * self.h[y]) >> 4) + 64
        features, ks = self._features(near_x, own, near_e, p, guesses, z)
        h = excess(ks)
        window = Window(self.top, p, h)
        inputs, weights, mu, e = layer.run(self.kind, features, 0, window.mean, ks - 4 * h, -16)
        symbols = window.pop(message, weights, mu, e)
        samples = window.levels(message, symbols) << h
        low = np.flatnonzero(h)
        samples[low] += pop_numbers(message, 1 << h[low])
        demand((samples <= self.top).all(), "sample above the top")
        self.samples[pixel] = samples
        error = self.errors[pixel] = 64 * samples - p

        u = (np.abs(near_e[:, :4]).sum(1) >> 2).astype(F)
        weight = np.maximum(F(1572864) / (F(24576) + u * u), F(1))
        for q, predictor in enumerate(self.predictors):
            predictor.add(y, d[q], samples - m, weight)
            last = (x % 3 == 2) | (x == w - 1)
            predictor.close(y[last], cell[last])
        self.h[y] += np.abs(error) - (self.h[y] >> 4)
        self.v[x] += self.h[y] - (self.v[x] >> 3)
        if layer.rate and t % layer.every == 0:
            layer.learn(self.kind, symbols, ks - 4 * h, inputs, weights, mu, e, window.n - 1)

    def _features(
        self, near_x: Any, own: Any, near_e: Any, p: Any, guesses: list[Any], z: Any
    ) -> tuple[Any, Any]:
        """Return the features [lanes, 48], and ks."""
        size = np.abs(near_e)
        ks = qlog(64 + product(size[:, :6], np.array([2, 2, 1, 1, 1, 1])))
        b = 64 * own - p[:, None]
        kt = qlog(64 + np.abs(b[:, :10]).sum(1))
        by_errors = excess(ks), R1[ks - 4 * excess(ks)]
        by_samples = excess(kt), R2[kt - 4 * excess(kt)]
        out = np.zeros((len(p), FEATURES), np.int64)
        out[:, :16] = norm(b, *by_samples)
        out[:, 16:22] = norm(near_e[:, :6], *by_errors)
        out[:, 22] = norm(guesses[0] - guesses[1], *by_errors)
        out[:, 23], out[:, 24], out[:, 25] = c8(3 * (ks - 48)), c8(3 * (kt - 48)), c8(3 * (qlog(z) - 40))
        out[:, 26] = c8(((2 * p) >> self.top.bit_length()) - 64)
        for k, reference in enumerate(self.references):
            at = 27 + 10 * k
            errors, samples = reference.errors[near_x], reference.samples[near_x]
            out[:, at : at + 3] = norm(errors[:, :3], *by_errors)
            out[:, at + 3] = c8(3 * (qlog(64 + 8 * np.abs(errors[:, 0])) - ks))
            out[:, at + 4 : at + 10] = norm(64 * (samples[:, 1:7] - samples[:, :1]), *by_samples)
        return out, ks
