# SPDX-License-Identifier: Apache-2.0
"""The family `loglinear`: decisions, whose log-odds learning tables correct (docs/loglinear.md)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from .local import Group, Samples
from .logistic import rounded
from .modelfile import Model
from .rans import Stream
from .wire import Reader, demand

K = 0x9E3779B1
SPOT, LINE = 0x85EBCA6B, 0xC2B2AE35
MASK = 0xFFFFFFFF

LG = [0, *rounded(lambda i: 2**10 * i.ln(), range(1, 2048)).tolist()]
L2 = rounded(lambda s: 2**10 * s * Decimal(2).ln(), range(11)).tolist()
T = rounded(lambda i: 2**16 / (1 + (-(8 * i - 12284) / 2**10).exp()), range(3072)).clip(1, 65535)
SQ = T.tolist()
RATE = rounded(lambda i: 2**14 / (i + 3), range(16))
RATE[15] = 819


def ln(x: int) -> int:
    """Return the logarithm of 1 ≤ x ≤ 2^20 in 2^-10."""
    s = max(0, x.bit_length() - 11)
    return int(LG[x >> s] + L2[s])


def sq(x: int) -> int:
    """Return SQ of a number: the probability of log-odds in 2^-10."""
    return int(SQ[(min(max(x, -12288), 12287) + 12288) >> 3])


def sq_each(x: Any) -> Any:
    """Return SQ of an array."""
    return T[(clamp(x, -12288, 12287) + 12288) >> 3]


def clamp(v: Any, a: int, b: int) -> Any:
    """Return np.clip of an array of int64, which is slow for a few numbers."""
    return np.minimum(np.maximum(v, a), b)


def check(model: Model) -> None:
    """Refuse a model that is not one of this family, as far as it is not of the family `local` too."""
    config, t = model.config, model.tensors
    demand(not model.functions, "functions of a model")
    demand(not config.get("latents") and not config.get("encoder"), "latents of a model")
    demand(not {"latent_prior", "side_w", "encoder_w", "posterior_w"} & set(t), "latents of a model")
    demand(config.get("contexts") in (8, 12, 16, 24, 32), "contexts")
    for name, low, high in (("table_bits", 12, 22), ("skip", 4, 20), ("mix_shift", 6, 20)):
        demand(type(config.get(name)) is int and low <= config[name] <= high, name)
    n = config["contexts"]
    for name, shape, low, high in (("terms", (4, n, 4), 0, 31), ("mix", (4, 8, n), 1 - 2**22, 2**22 - 1)):
        demand(name in t and t[name].dtype == np.int32 and t[name].shape == shape, f"shape of {name}")
        demand(low <= t[name].min() and t[name].max() <= high, f"numbers of {name}")


class Tables:
    """Tables and mixer of one channel, and the decisions that they have not learned yet."""

    def __init__(self, model: Model, kind: int, pixels: int) -> None:
        config = model.config
        n, self.skip, self.shift = config["contexts"], config["skip"], config["mix_shift"]
        self.bits = min(config["table_bits"], max(12, 2 + (pixels - 1).bit_length()))
        self.value = np.zeros(n << self.bits, np.int16)
        self.count = np.zeros(n << self.bits, np.uint8)
        self.first = np.arange(n) << self.bits
        self.weights = model.tensors["mix"][kind].astype(np.int64)
        self.coded: list[tuple[int, int, int, Any]] = []
        self.learned = 0

    def entries(self, hashes: Any, spot: int, entry: int) -> Any:
        """Return where the entries of all contexts are."""
        mixed = (hashes + (spot * SPOT & MASK)) * LINE & MASK
        return self.first + 16 * (mixed >> (36 - self.bits)).astype(np.int64) + entry

    def corrected(self, base: int, kind: int, value: Any) -> int:
        return base + (int((value * (self.weights[kind] >> 8)).sum()) >> 10)

    def pop(self, stream: Stream, shares: tuple[int, int], kind: int, hashes: Any, place: Any) -> int:
        """Pop a decision between two shares (0, then 1); `place` is spot and entry."""
        down, up = shares
        base = ln(up) - ln(down)
        if min(up, down) < (up + down) >> self.skip:
            return stream.pop(sq(base))
        at = self.entries(hashes, *place)
        bit = stream.pop(sq(self.corrected(base, kind, self.value[at].astype(np.int64))))
        self.coded.append((kind, base, bit, at))
        return bit

    def learn(self) -> None:
        """Learn all decisions since the last time, in their order."""
        for kind, base, bit, at in self.coded:
            value, count = self.value[at].astype(np.int64), self.count[at]
            miss = 65536 * bit - sq(self.corrected(base, kind, value))
            dither = (self.learned * K & MASK) >> 12
            own = 65536 * bit - sq_each(base + 4 * value)
            self.value[at] = clamp(value + ((own * RATE[count] + dither) >> 20), -2048, 2047)
            self.count[at] = np.minimum(count + 1, 15)
            weights = self.weights[kind] + ((miss * value + (1 << (self.shift - 1))) >> self.shift)
            self.weights[kind] = clamp(weights, 1 - (1 << 22), (1 << 22) - 1)
            self.learned += 1
        self.coded.clear()


class Decisions:
    """The decisions of one sample. Its relative value v is known to be in [low, high)."""

    def __init__(self, tables: Tables, stream: Stream, hashes: Any, cdf: list[int], origin: int) -> None:
        self.tables, self.stream, self.hashes = tables, stream, hashes
        self.cdf, self.origin = cdf, origin  # the sample is v + origin
        self.places = 32 if origin else 16  # the origin is 0 in channel 0, and below 0 in others
        self.low, self.high = 0, 16 * self.places

    def share(self, v: int) -> int:
        """Return C(v)."""
        return self.cdf[min(max(v + self.origin, 0), 256)]

    def ask(self, e: int, kind: int, spot: int, entry: int = 0) -> int:
        """Whether v ≥ e."""
        down, up = self.share(e) - self.share(self.low), self.share(self.high) - self.share(e)
        if up and down:
            bit = self.tables.pop(self.stream, (down, up), kind, self.hashes, (spot, entry))
        else:
            bit = int(up > 0)
        if bit:
            self.low = e
        else:
            self.high = e
        return bit

    def pop(self, guess: int) -> int:
        """Return the sample, given the rounded prediction."""
        m = min(max((guess - self.origin + 8) >> 4, 1), self.places - 1)
        i, step = m, 1
        if self.ask(16 * m, 0, 3 * m):
            while i + step < self.places and self.ask(16 * (i + step), 1, 3 * (i + step) + 1):
                i, step = i + step, 2 * step
        else:
            while i - step > 0 and not self.ask(16 * (i - step), 2, 3 * (i - step) + 2):
                i, step = i - step, 2 * step
        while self.high - self.low > 16:
            c = (self.low + self.high) >> 5
            self.ask(16 * c, 7, 3 * c + 1)
        spot, n = 3 * (self.low >> 4), 1
        for level in range(4):
            n = 2 * n + self.ask(self.low + (8 >> level), 3 + level, spot, n)
        return self.low + self.origin


def terms(planes: Any, s: Samples, guess: Any) -> Any:
    """Return the terms [32, lanes]; `planes` are the samples of all channels."""
    near = planes[:, s.near[:, :6].T]  # [channels, W N NW NE WW NN, lanes]
    out = np.zeros((32, len(s.pixel)), np.int64)
    w, n, nw, ne, ww, nn = own = near[s.c]
    equal = [w == n, w == nw, n == nw, n == ne, ww == w, nn == n]
    out[1:7] = own
    out[7:13] = own - near[0] if s.c else own
    out[29] = guess
    if s.c >= 1:
        a, (aw, an, anw, ane) = planes[0][s.pixel], near[0][:4]
        out[13:16] = a, a - aw, a - an
        out[21] = a  # B, which is not earlier, counts as 0
        out[29] = guess - a
        equal += [a == aw, a == an, a == anw, a == ane]
    if s.c >= 2:
        b, (bw, bn) = planes[1][s.pixel], near[1][:2]
        out[16:22] = b - a, bw - aw, bn - an, b - bw, b - bn, a + 256 * b
        equal += [b == bw, b == bn]
    for plane in near[:, :4]:
        out[22:26] = 256 * out[22:26] + plane
    out[26] = 2 * (s.y % 2) + s.x % 2
    out[27] = 8 * (s.y % 8) + s.x % 8
    out[28] = sum(bit.astype(np.int64) << i for i, bit in enumerate(equal))
    out[30] = w + n - nw
    out[31] = s.ks
    return out


def hashed(numbers: Any, which: Any) -> Any:
    """Return the hashes of all contexts [lanes, N], given the terms, and the terms of each context [N, 4]."""
    lanes, n = numbers.shape[1], len(which)
    numbers = (numbers & MASK).astype(np.uint64)
    h = np.tile(np.arange(n, dtype=np.uint64) * K & MASK, (lanes, 1))
    for column in which.T:
        h = (h + numbers[column].T) * K & MASK
        h ^= h >> 15
    return h


class Coder:
    """A group of blocks, its streams and tables."""

    def __init__(self, model: Model, sizes: list[tuple[int, int]], channels: int) -> None:
        check(model)
        self.terms, self.group = model.tensors["terms"], Group(model, sizes, channels)
        self.kinds = [0, 1, 2] if channels == 3 else [3]
        slots = [min(h, -(-w // 3)) for h, w in sizes]
        total = sum(slots)
        self.count = min(8, max(1, total // 32))
        slot = []  # of each row of the group
        for (h, _), own, end in zip(sizes, slots, np.cumsum(slots).tolist(), strict=True):
            slot += [end - own + y % own for y in range(h)]
        self.stream = [s * self.count // total for s in slot]
        pixels = sum(h * w for h, w in sizes)
        self.tables = [Tables(model, kind, pixels) for kind in self.kinds]

    def pop(self, streams: list[Stream]) -> list[Any]:
        """Pop all blocks, uint8 [H, W, C]."""
        out = self.group.blocks(lambda samples: self._samples(samples, streams))
        for stream in streams:
            stream.ends()
        return out

    def _samples(self, s: Samples, streams: list[Stream]) -> Any:
        """Code the samples of one time and channel; learn after the last channel."""
        planes, tables = self.group.samples, self.tables[s.c]
        guess = clamp((s.p + 32) >> 6, 0, 255)
        hashes = hashed(terms(planes, s, guess), self.terms[self.kinds[s.c]])
        cdf = s.mixture.table().tolist()
        origins = planes[0][s.pixel] - 256 if s.c else np.zeros_like(s.p)
        out = []
        for i, row in enumerate(s.lanes.tolist()):
            sample = Decisions(tables, streams[self.stream[row]], hashes[i], cdf[i], int(origins[i]))
            out.append(sample.pop(int(guess[i])))
        if s.c == len(self.kinds) - 1:
            for each in self.tables:
                each.learn()
        return np.array(out, np.int64)


def block(chain: bytes, size: tuple[int, int], channels: int, model: Model) -> Any:
    """Return the block of a chain."""
    coder, reader = Coder(model, [size], channels), Reader(chain)
    demand(reader.number(1) == 0, "first byte of a chain")
    counts = [reader.varint() for _ in range(coder.count - 1)]
    streams = [Stream(reader.take(4 * count)) for count in counts]
    return coder.pop([*streams, Stream(reader.rest())])[0]


def batch(data: bytes, groups: list[list[tuple[int, int, int]]], model: Model) -> list[Any]:
    """Return the pictures of a batch."""
    reader = Reader(data)
    out: list[Any] = []
    for shapes in groups:
        coder = Coder(model, [shape[:2] for shape in shapes], shapes[0][2])
        counts = [reader.number(4) for _ in range(coder.count)]
        out += coder.pop([Stream(reader.take(4 * count)) for count in counts])
    demand(reader.ends(), "words behind the last group")
    return out
