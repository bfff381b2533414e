# SPDX-License-Identifier: Apache-2.0
"""The family `local`: decode a group of blocks, each pixel given its neighbours (docs/local.md)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .local_fit import Predictor
from .local_net import FEATURES, R1, R2, Network, c8, norm, product, qlog
from .logistic import Logistic, Mixture
from .modelfile import Model
from .rans import Message
from .wire import demand

S = [
    (-1, 0),
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (1, -2),
    (2, -1),
    (-2, -1),
    (-1, -2),
    (-3, 0),
    (0, -3),
]
S += [(2, -2), (-3, -1), (-2, -2), (3, -2)]
X = [(0, 0), (-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2), (2, -1), (1, -2)]


@dataclass
class Samples:
    """The samples of one time and channel, one for each lane: what is known before they are."""

    c: int
    lanes: Any  # rows of the group
    x: Any
    y: Any
    pixel: Any
    near: Any  # numbers of the neighbours at S, [lanes, 16]
    p: Any
    ks: Any
    mixture: Mixture


class Finder(Protocol):
    """Finds whole pixels before their samples are coded (docs/loglinear.md, "Pixels")."""

    further: list[tuple[int, int]]  # positions of neighbours, after S

    def find(self, lanes: Any, pixel: Any, near: Any) -> Any:
        """Set the samples of the pixels that are found; return for each lane whether its pixel is."""

    def learn(self) -> None:
        """Learn after the last channel of the time."""


def neighbours(y: Any, x: Any, w: Any, positions: list[tuple[int, int]]) -> Any:
    """Return the numbers of neighbours in a block of w columns, [lanes, positions]; -1 if there is none."""
    y, x = y[:, None], x[:, None]
    dx, dy = np.array(positions).T[:, None, :]
    yy, xx = y + dy, x + dx
    above = yy < 0
    xx = np.where(above, np.where(y > 0, np.minimum(xx, x + 2), x - 1), xx)
    yy = np.where(above, 0, yy)
    left = xx < 0
    yy = np.where(left & (yy == y) & (x == 0), y - 1, yy)
    xx = np.minimum(np.where(left, 0, xx), w - 1)
    return np.where(yy < 0, -1, yy * w + xx)


class Group:
    """Blocks that are coded together, and their state. Pixels are numbered across all blocks."""

    def __init__(self, model: Model, sizes: list[tuple[int, int]], channels: int) -> None:
        config = model.config
        self.model, self.sizes, self.channels = model, sizes, channels
        demand(sum(min(h, -(-w // 3)) for h, w in sizes) <= 2048, "lanes of a group")
        # A row of pixels: its block, its y, and the block's height, width, first pixel, column, cell.
        rows, pixels, columns, cells = [], 0, 0, 0
        for block, (h, w) in enumerate(sizes):
            rows += [(block, y, h, w, pixels, columns, cells) for y in range(h)]
            pixels, columns, cells = pixels + h * w, columns + w, cells + -(-w // 3)
        self.rows = np.array(rows, np.int64)
        self.samples = np.full((channels, pixels + 1), 128, np.int64)  # the last: no neighbour
        self.errors = np.full((channels, pixels + 1), 1280, np.int64)
        self.h = np.zeros((channels, len(rows)), np.int64)
        self.v = np.zeros((channels, columns), np.int64)
        self.own, self.earlier = config["own"], config["earlier"]
        self.predictors = self._predictors(cells)
        self.net = Network(model)
        self.side = np.zeros((len(sizes), config["hidden"]), np.int64)
        self.statistics = np.zeros((len(sizes), 3, 3, 1 + FEATURES), np.int64)

    def _predictors(self, cells: int) -> list[list[Predictor]]:
        config, prior = self.model.config, self.model.tensors.get("prior")
        out, at = [], 0
        for c in range(self.channels):
            pair = []
            for q in (0, 1):
                n = self.own[q] + c * self.earlier[q]
                size = n * (n + 1) // 2 + n
                begin = prior[at : at + size] if prior is not None else 0
                at += size
                shifts = config["along"][q], config["down"][q]
                pair.append(Predictor(n, len(self.rows), cells, begin, *shifts, config["ridge"]))
            out.append(pair)
        return out

    def pop(self, message: Message) -> list[Any]:
        """Pop all blocks, uint8 [H, W, C] with the channels R, G, B."""
        return self.blocks(lambda samples: samples.mixture.pop(message))

    def blocks(self, code: Callable[[Samples], Any], finder: Finder | None = None) -> list[Any]:
        """Return all blocks; `code` gives the samples of each time and channel that are not found."""
        if self.model.tensors.get("positions") is not None:
            demand(self.model.tensors["positions"].shape[:2] == (3, 9), "shape of positions")
        for t in range(max(w + 3 * (h - 1) for h, w in self.sizes)):
            _, y, _, w, *_ = self.rows.T
            x = t - 3 * y
            lanes = np.flatnonzero((x >= 0) & (x < w))
            if len(lanes):
                self._time(code, finder, t, lanes, x[lanes])
        out, at = [], 0
        for h, w in self.sizes:
            planes = self.samples[:, at : at + h * w].reshape(-1, h, w).astype(np.uint8)
            at += h * w
            order = [0] if self.channels == 1 else [1, 0, 2]  # G, R, B as R, G, B
            out.append(np.moveaxis(planes[order], 0, -1))
        return out

    def _near(self, lanes: Any, x: Any, positions: list[tuple[int, int]]) -> Any:
        """Return the numbers of the neighbours at these positions, [lanes, positions]."""
        _, y, _, w, first, _, _ = self.rows[lanes].T
        near = neighbours(y, x, w[:, None], positions)
        return np.where(near < 0, -1, first[:, None] + near)

    def _time(
        self, code: Callable[[Samples], Any], finder: Finder | None, t: int, lanes: Any, x: Any
    ) -> None:
        """Code the pixels of one time."""
        block, y, _, w, first, column, cell = self.rows[lanes].T
        cell = cell + x // 3
        pixel = first + y * w + x
        near_s, near_x = self._near(lanes, x, S), self._near(lanes, x, X)
        corner = (x == 0) & (y == 0)
        found = np.zeros(len(lanes), bool)
        if finder:
            around = np.concatenate([near_s, self._near(lanes, x, finder.further)], 1)
            found = finder.find(lanes, pixel, around)
        rest = np.flatnonzero(~found)  # What is predicted for the lanes that are found is not used.
        side = self.side[block]
        if "positions" in self.model.tensors:
            table = self.model.tensors["positions"].astype(np.int64)
            places = np.minimum(y, 8), np.minimum(x, 8), np.minimum(w - 1 - x, 8)
            side = side + table[0][places[0]] + table[1][places[1]] + table[2][places[2]]
        for c in range(self.channels):
            own = self.samples[c][near_s]
            m = (own[:, 0] + own[:, 1]) >> 1
            others = []
            for k in range(c):
                them = self.samples[k][near_x]
                others.append(them - ((them[:, 1] + them[:, 2]) >> 1)[:, None])
            d, guesses = [], []
            for q, predictor in enumerate(self.predictors[c]):
                part = [own[:, : self.own[q]] - m[:, None]] + [o[:, : self.earlier[q]] for o in others]
                d.append(np.concatenate(part, 1))
                if x[0] % 3 == 0:
                    predictor.fit(lanes, cell)
                guesses.append(predictor.predict(lanes, d[q], m))
            p = (guesses[0] + guesses[1]) >> 1
            near_e = self.errors[c][near_s]
            z = ((self.v[c][column + np.minimum(x + 2, w - 1)] + 4 * self.h[c][lanes]) >> 4) + 64
            features, ks = self._features(c, pixel, near_s, corner, own, near_e, p, guesses, z)
            inputs, weights, mu, e = self.net.run(c, features, side, p, ks)
            inputs, weights, mu, e = inputs[rest], weights[rest], mu[rest], e[rest]
            if len(rest):
                mixture = Mixture(weights, mu, e, 256)
                at = pixel[rest]
                self.samples[c][at] = code(
                    Samples(c, lanes[rest], x[rest], y[rest], at, near_s[rest], p[rest], ks[rest], mixture)
                )
            samples = self.samples[c][pixel]
            error = np.where(found, 0, 64 * samples - p)
            self.errors[c][pixel] = error

            u = np.abs(near_e[:, :4]).sum(1) >> 2
            weight = np.maximum(1, 1572864 // (24576 + u * u))
            for q, predictor in enumerate(self.predictors[c]):
                predictor.add(lanes[rest], d[q][rest], (samples - m)[rest], weight[rest])
                last = (x % 3 == 2) | (x == w - 1)
                predictor.close(lanes[last], cell[last])
            self.h[c][lanes] += np.abs(error) - (self.h[c][lanes] >> 4)
            at = column + x
            self.v[c][at] += self.h[c][lanes] - (self.v[c][at] >> 3)
            if self.net.rate and t % self.net.every == 0 and len(rest):
                self.net.learn(c, samples[rest], ks[rest], inputs, weights, mu, e)
            if self.model.config.get("latents"):
                self._count(c, block, error, ks, features)
        if finder:
            finder.learn()

    def _features(
        self,
        c: int,
        pixel: Any,
        near: Any,
        corner: Any,
        own: Any,
        near_e: Any,
        p: Any,
        guesses: list[Any],
        z: Any,
    ) -> tuple[Any, Any]:
        """Return the features [lanes, 48], and ks."""
        size = np.abs(near_e)
        ks = qlog(64 + 2 * size[:, 0] + 2 * size[:, 1] + size[:, 2] + size[:, 3] + size[:, 4] + size[:, 5])
        b = 64 * own - p[:, None]
        kt = qlog(64 + np.abs(b[:, :10]).sum(1))
        r1, r2 = R1[ks], R2[kt]
        out = np.zeros((len(pixel), FEATURES), np.int64)
        out[:, :16] = norm(b, r2[:, None])
        out[:, 16:22] = norm(near_e[:, :6], r1[:, None])
        out[:, 22] = norm(guesses[0] - guesses[1], r1)
        out[:, 23], out[:, 24], out[:, 25] = c8(3 * (ks - 48)), c8(3 * (kt - 48)), c8(3 * (qlog(z) - 40))
        out[:, 26] = c8((p >> 7) - 64)
        for k in range(c):
            at = 27 + 10 * k
            error = self.errors[k][pixel]
            out[:, at] = norm(error, r1)
            out[:, at + 1 : at + 3] = norm(self.errors[k][near[:, :2]], r1[:, None])
            out[:, at + 3] = c8(3 * (qlog(64 + 8 * np.abs(error)) - ks))
            difference = self.samples[k][near[:, :6]] - self.samples[k][pixel][:, None]
            out[:, at + 4 : at + 10] = norm(64 * difference, r2[:, None])
            out[corner, at + 1 : at + 3] = 0
            out[corner, at + 4 : at + 10] = 0
        return out, ks

    def _count(self, c: int, block: Any, error: Any, ks: Any, features: Any) -> None:
        """Add errors and features to the statistics for the posterior."""
        n = np.clip((error * R1[ks] + (1 << 13)) >> 14, -72, 72)
        moments = np.stack([n, np.abs(n), np.where(np.abs(n) <= 7, 24, 0)], 1)
        g = np.concatenate([np.full((len(n), 1), 32), features], 1)
        np.add.at(self.statistics, (block, c), moments[:, :, None] * g[:, None, :])

    def pop_with_latents(self, message: Message) -> list[Any]:
        """Pop all blocks, coded with latents by bits back."""
        t, count = self.model.tensors, self.model.config["latents"]
        shape = (len(self.sizes), count)
        prior = np.broadcast_to(t["latent_prior"], (len(self.sizes), 2 * count)).astype(np.int64)
        z = _latent(prior[:, :count], prior[:, count:], (12, 76), 1).pop(message).reshape(shape)
        self.side = (product(z - 256, t["side_w"]) + (1 << 7)) >> 8
        out = self.pop(message)
        area = np.array([h * w for h, w in self.sizes])[:, None]
        root = np.array([math.isqrt(2**32 // int(a)) for a in area.ravel()])[:, None]
        e = ((256 * self.statistics.reshape(len(area), -1) - t["statistics_mean"] * area) * root) >> 16
        inputs = np.clip((e * t["statistics_scale"] + (1 << 19)) >> 20, -32767, 32767)
        a = (product(inputs, t["encoder_w"]) + t["encoder_b"] + (1 << 11)) >> 12
        inputs = np.concatenate([inputs, np.clip(a, 0, 32767)], 1)
        params = (product(inputs, t["posterior_w"]) + t["posterior_b"] + (1 << 11)) >> 12
        params = np.clip(params, -(1 << 20), 1 << 20)
        _latent(params[:, :count], params[:, count:], (16, 72), 0).push(message, z)
        return out


def _latent(mean: Any, scale: Any, bounds: tuple[int, int], floor: int) -> Logistic:
    """Return the logistics of latents, given means and log2 scales (docs/format.md, "Latent models")."""
    mu = np.clip(mean, -15360, 15360) + 64 * 256
    return Logistic(mu, np.clip(((scale + 8) >> 4) + 48, *bounds), 512, floor)
