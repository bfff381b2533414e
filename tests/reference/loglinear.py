# SPDX-License-Identifier: Apache-2.0
"""The family `loglinear`: decisions, whose log-odds learning tables correct (docs/loglinear.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .local import Group, Samples
from .loglinear_pixels import Pixels
from .loglinear_tables import LINE, MASK, K, Tables, clamp, ln, sq
from .modelfile import Model
from .rans import Message, Stream
from .wire import Reader, demand

SPOT = 0x85EBCA6B
_NUMBERS = (("table_bits", 12, 22), ("skip", 4, 20), ("mix_shift", 6, 20), ("plain", 0, 256))


def check(model: Model) -> None:
    """Refuse a model that is not one of this family, as far as it is not of the family `local` too."""
    config, t = model.config, model.tensors
    demand(not model.functions, "functions of a model")
    demand(not config.get("latents") and not config.get("encoder"), "latents of a model")
    demand(not {"latent_prior", "side_w", "encoder_w", "posterior_w"} & set(t), "latents of a model")
    demand(config.get("contexts") in (8, 12, 16, 24, 32), "contexts")
    for name, low, high in _NUMBERS:
        demand(type(config.get(name)) is int and low <= config[name] <= high, name)
    n = config["contexts"]
    for name, dtype, shape, low, high in (
        ("terms", np.int32, (4, n, 4), 0, 32),
        ("direct", np.int8, (4, n), 0, 1),
        ("mix", np.int32, (4, 8, n), 1 - 2**22, 2**22 - 1),
        ("pixel_mix", np.int32, (8, 8), 1 - 2**22, 2**22 - 1),
        ("pixel_start", np.int8, (256, 7), -127, 127),
    ):
        demand(name in t and t[name].dtype == dtype and t[name].shape == shape, f"shape of {name}")
        demand(low <= t[name].min() and t[name].max() <= high, f"numbers of {name}")


class Decisions:
    """The decisions of one sample. Its relative value v is known to be in [low, high)."""

    def __init__(
        self, tables: Tables, skip: int, stream: Stream, contexts: Any, cdf: list[int], origin: int
    ) -> None:
        self.tables, self.skip, self.stream = tables, skip, stream
        self.hashes, self.direct, self.t0 = contexts
        self.cdf, self.origin = cdf, origin  # the sample is v + origin
        self.places = 32 if origin else 16  # the origin is 0 in channel 0, and below 0 in others
        self.low, self.high = 0, 16 * self.places

    def share(self, v: int) -> int:
        """Return C(v)."""
        return self.cdf[min(max(v + self.origin, 0), 256)]

    def ask(self, e: int, kind: int, spot: int, entry: int) -> int:
        """Whether v ≥ e."""
        down, up = self.share(e) - self.share(self.low), self.share(self.high) - self.share(e)
        if not (up and down):
            bit = int(up > 0)
        elif min(up, down) < (up + down) >> self.skip:
            bit = self.stream.pop(sq(ln(up) - ln(down)))
        else:
            bit = self.tables.pop(self.stream, ln(up) - ln(down), kind, self.entries(e, kind, spot, entry))
        if bit:
            self.low = e
        else:
            self.high = e
        return bit

    def entries(self, e: int, kind: int, spot: int, entry: int) -> Any:
        """Return where the entries of all contexts are."""
        direct = 512 * kind + (e + self.origin - self.t0) % 512
        mixed = (self.hashes + (spot * SPOT & MASK)) * LINE & MASK
        hashed = 16 * (mixed >> (36 - self.tables.bits)).astype(np.int64) + entry
        return self.tables.first + np.where(self.direct, direct, hashed)

    def ask_place(self, i: int, kind: int) -> int:
        """Whether v ≥ 16 i."""
        return self.ask(16 * i, kind, 64 + (i >> 2), 4 * (i % 4) + min(kind, 3))

    def pop(self, guess: int) -> int:
        """Return the sample, given the rounded prediction."""
        m = min(max((guess - self.origin + 8) >> 4, 1), self.places - 1)
        i, step = m, 1
        if self.ask_place(m, 0):
            while i + step < self.places and self.ask_place(i + step, 1):
                i, step = i + step, 2 * step
        else:
            while i - step > 0 and not self.ask_place(i - step, 2):
                i, step = i - step, 2 * step
        while self.high - self.low > 16:
            self.ask_place((self.low + self.high) >> 5, 7)
        spot, n = self.low >> 4, 1
        for level in range(4):
            n = 2 * n + self.ask(self.low + (8 >> level), 3 + level, spot, n)
        return self.low + self.origin


def terms(planes: Any, s: Samples, guess: Any) -> Any:
    """Return the terms [33, lanes]; `planes` are the samples of all channels."""
    near = planes[:, s.near[:, :6].T]  # [channels, W N NW NE WW NN, lanes]
    out = np.zeros((33, len(s.pixel)), np.int64)
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
    out[31], out[32] = s.ks, guess
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

    def __init__(self, model: Model, sizes: list[tuple[int, int]], channels: int, q: int) -> None:
        check(model)
        demand(q < 8, "q")
        self.terms, self.direct = model.tensors["terms"], model.tensors["direct"] == 1
        self.group = Group(model, sizes, channels)
        self.skip, self.q = model.config["skip"], q
        self.kinds = [0, 1, 2] if channels == 3 else [3]
        slots = [min(h, -(-w // 3)) for h, w in sizes]
        total = sum(slots)
        self.count = min(8, max(1, total // 32))
        slot = []  # of each row of the group
        for (h, _), own, end in zip(sizes, slots, np.cumsum(slots).tolist(), strict=True):
            slot += [end - own + y % own for y in range(h)]
        self.stream = [s * self.count // total for s in slot]
        self.pixels = sum(h * w for h, w in sizes)
        mix = model.tensors["mix"]
        self.tables = [Tables(model.config, mix[kind], self.pixels) for kind in self.kinds]

    def pop(self, streams: list[Stream]) -> list[Any]:
        """Pop all blocks, uint8 [H, W, C]."""
        of_row = [streams[number] for number in self.stream]
        finder = Pixels(self.group, self.pixels, self.q, of_row) if self.q else None
        out = self.group.blocks(lambda samples: self._samples(samples, of_row), finder)
        for stream in streams:
            stream.ends()
        return out

    def _samples(self, s: Samples, of_row: list[Stream]) -> Any:
        """Code the samples of one time and channel, and learn; `of_row` is the stream of each row."""
        planes, tables = self.group.samples, self.tables[s.c]
        guess = clamp((s.p + 32) >> 6, 0, 255)
        numbers, which = terms(planes, s, guess), self.terms[self.kinds[s.c]]
        hashes, t0 = hashed(numbers, which), numbers[which[:, 0]].T
        direct = self.direct[self.kinds[s.c]]
        cdf = s.mixture.table().tolist()
        origins = planes[0][s.pixel] - 256 if s.c else np.zeros_like(s.p)
        out = []
        for i, row in enumerate(s.lanes.tolist()):
            contexts = hashes[i], direct, t0[i]
            sample = Decisions(tables, self.skip, of_row[row], contexts, cdf[i], int(origins[i]))
            out.append(sample.pop(int(guess[i])))
        tables.learn()
        return np.array(out, np.int64)


def block(chain: bytes, size: tuple[int, int], channels: int, model: Model) -> Any:
    """Return the block of a chain."""
    reader = Reader(chain)
    coder = Coder(model, [size], channels, reader.number(1))
    counts = [reader.varint() for _ in range(coder.count - 1)]
    streams = [Stream(reader.take(4 * count)) for count in counts]
    return coder.pop([*streams, Stream(reader.rest())])[0]


def batch(data: bytes, groups: list[list[tuple[int, int, int]]], model: Model) -> list[Any]:
    """Return the pictures of a batch."""
    reader = Reader(data)
    pictures: list[list[Any] | None] = []
    for shapes in groups:
        q = reader.number(4)
        if q == 8:
            pictures.append(None)
            continue
        coder = Coder(model, [shape[:2] for shape in shapes], shapes[0][2], q)
        counts = [reader.number(4) for _ in range(coder.count)]
        pictures.append(coder.pop([Stream(reader.take(4 * count)) for count in counts]))
    if None in pictures:
        message = Message(reader.rest(), 8)
        for i, shapes in enumerate(groups):
            if pictures[i] is None:
                plain = Group(model, [shape[:2] for shape in shapes], shapes[0][2])
                pictures[i] = plain.pop(message)
        message.ends()
    demand(reader.ends(), "words behind the last group")
    return [picture for group in pictures for picture in group or []]
