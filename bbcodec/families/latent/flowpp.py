# SPDX-License-Identifier: Apache-2.0
"""Flow++ as a codec: pop noise, add it to the picture, map the sum to uniform numbers, push these.

Functions of the model file: ``noise_i`` (picture and noise -> parameters of the maps that shape the noise)
and ``coupling_s_i`` (the channels that a coupling reads -> parameters of the maps of its targets). s is the
scale, 0 the finest. The channels of each coupling and their order are fixed here, as in
`bbcodec.models.latent.flowpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Message
from bbcodec.coding.bits_back.local_bits_back import Bijection, piecewise_linear
from bbcodec.coding.codecs import Codec
from bbcodec.coding.distributions import Uniform
from bbcodec.coding.distributions.cut_mixture import MAX_COMPONENTS, implementation
from bbcodec.engine import Program
from bbcodec.errors import ModelError
from bbcodec.families.latent import pixels, signature
from bbcodec.modelfile import Model

Integers = NDArray[np.int64]

CHANNELS: Final = 12  # of a scale: 3 p + c is colour c (R, G, B) of pixel p (dy * 2 + dx)
TARGETS: Final[tuple[tuple[int, ...], ...]] = ((3, 5, 6, 8), (4, 7), (9, 11), (10,), (5, 8, 11), (6, 7, 8))
KEPT: Final = 3  # the first channels continue to the next scale
NOISE_TARGETS: Final[tuple[tuple[int, ...], ...]] = ((3, 4, 5, 6, 7, 8), (0, 1, 2, 9, 10, 11))
LEVEL_BITS: Final = 8
INPUT_BITS: Final = 12  # a network reads the upper 12 bits of a number
MAX_SCALES: Final = 6


def others(targets: tuple[int, ...]) -> list[int]:
    """Return the channels that a coupling reads: all but its targets."""
    return [c for c in range(CHANNELS) if c not in targets]


class Flowpp:
    """Codecs of tiles under a ``flowpp`` model.

    Attributes
    ----------
    multiple : tiles are padded to multiples of this many pixels; the padding is coded too.
    """

    depth = 1

    def __init__(self, model: Model, backend: str | None = None):
        self.backend = backend
        self.program = Program(model.graph, backend)
        self.scales = _number(model.config, "scales", 1, MAX_SCALES)
        self.mixtures = _number(model.config, "mixtures", 1, MAX_COMPONENTS)
        self.fraction_bits = _number(model.config, "fraction_bits", 12, 12)
        self.cell_bits = _number(model.config, "cell_bits", 6, 12)
        self.multiple = 2**self.scales
        for i, targets in enumerate(NOISE_TARGETS):
            self._check(f"noise_{i}", 2 * CHANNELS - len(targets), len(targets))
        for s in range(self.scales):
            for i, targets in enumerate(TARGETS):
                self._check(f"coupling_{s}_{i}", CHANNELS - len(targets), len(targets))
        signature.check_work(self.program)

    def _check(self, name: str, inputs: int, targets: int) -> None:
        signature.check_function(
            self.program, name, {"y": inputs}, {"params": (targets * 3 * self.mixtures, 0)}
        )

    def latent_counts(self, height: int, width: int) -> list[int]:
        """Return how many numbers of noise a tile pops, as a list of one layer."""
        return [CHANNELS * pixels.positions(height, width, self.multiple, 1)]

    def tile_codec(self, height: int, width: int, channels: int) -> Codec:
        """Return the codec of one tile, uint8 [height, width, channels]."""
        rows, columns = (-(-n // self.multiple) * self.multiple >> 1 for n in (height, width))
        shape = (rows, columns, CHANNELS)
        noise = Uniform(1 << self.fraction_bits, shape, self.backend)

        def push(message: Message, tile: NDArray[np.uint8], *context: Any) -> tuple[Any, ...]:
            x = _space_to_depth(_padded(tile, self.multiple))
            message, u = noise.pop(message)
            message, u = self._shape_noise(message, x, u.astype(np.int64), forward=True)
            y = x << self.fraction_bits | u
            for s in range(self.scales):
                message, y = self._scale(message, y, s, forward=True)
                message = self._push_numbers(message, y if s + 1 == self.scales else y[..., KEPT:])
                y = _space_to_depth(y[..., :KEPT]) if s + 1 < self.scales else y
            return message, *context

        def pop(message: Message, *context: Any) -> tuple[Any, ...]:
            y = np.empty((rows >> self.scales - 1, columns >> self.scales - 1, 0), np.int64)
            for s in reversed(range(self.scales)):
                message, mapped = self._pop_numbers(message, y)
                message, y = self._scale(message, np.concatenate([y, mapped], -1), s, forward=False)
                y = _depth_to_space(y) if s else y
            x, u = y >> self.fraction_bits, y & ((1 << self.fraction_bits) - 1)
            message, u = self._shape_noise(message, x, u, forward=False)
            (message,) = noise.push(message, u)
            tile = _depth_to_space(x)[:height, :width, :channels]
            return message, np.ascontiguousarray(tile, np.uint8), *context

        return Codec(push, pop)

    def _push_numbers(self, message: Message, numbers: Integers) -> Message:
        """Push uniform numbers [H, W, C] with all their bits."""
        codec = Uniform(1 << LEVEL_BITS + self.fraction_bits, numbers.shape, self.backend)
        return codec.push(message, numbers)[0]  # type: ignore[no-any-return]

    def _pop_numbers(self, message: Message, kept: Integers) -> tuple[Message, Integers]:
        """Pop the numbers [H, W, C] of the channels that were not kept for the coarser scale."""
        shape = (*kept.shape[:2], CHANNELS - kept.shape[2])
        message, numbers = Uniform(1 << LEVEL_BITS + self.fraction_bits, shape, self.backend).pop(message)
        return message, numbers.astype(np.int64)

    def _scale(self, message: Message, y: Integers, s: int, forward: bool) -> tuple[Message, Integers]:
        """Apply the couplings of a scale, or their inverses, to y [H, W, 12]."""
        couplings = list(enumerate(TARGETS))
        shift = LEVEL_BITS + self.fraction_bits - INPUT_BITS
        for i, targets in couplings if forward else reversed(couplings):
            inputs = (y[..., others(targets)] >> shift) - (1 << INPUT_BITS - 1)
            maps = self._maps(f"coupling_{s}_{i}", inputs, LEVEL_BITS + self.fraction_bits, self.cell_bits)
            message, y = _apply(maps, message, y, targets, forward)
        return message, y

    def _shape_noise(
        self, message: Message, x: Integers, u: Integers, forward: bool
    ) -> tuple[Message, Integers]:
        """Map uniform noise u [H, W, 12] to the noise of a picture x [H, W, 12], or back."""
        picture = (x - 128) << INPUT_BITS - LEVEL_BITS
        couplings = list(enumerate(NOISE_TARGETS))
        for i, targets in couplings if forward else reversed(couplings):
            noise = (u[..., others(targets)] << INPUT_BITS - self.fraction_bits) - (1 << INPUT_BITS - 1)
            inputs = np.concatenate([picture, noise], -1)
            maps = self._maps(f"noise_{i}", inputs, self.fraction_bits, self.fraction_bits // 2)
            message, u = _apply(maps, message, u, targets, forward)
        return message, u

    def _maps(self, name: str, inputs: Integers, bits: int, cell_bits: int) -> Bijection:
        """Run a network on its inputs [H, W, C], and return the maps [H, W, T] of its targets."""
        out = self.program(name, {"y": inputs.astype(np.int16)[None]})["params"][0]
        params = out.reshape(*out.shape[:2], -1, 3, self.mixtures).astype(np.int64)
        means = params[..., 1, :] + (128 << 6)
        e = ((params[..., 2, :] + 8) >> 4) + 24
        maps = implementation(self.backend)(params[..., 0, :], means, e, bits, bits - cell_bits)
        return piecewise_linear(maps, means.shape[:-1], cell_bits, self.backend)


def _apply(
    maps: Bijection, message: Message, values: Integers, targets: tuple[int, ...], forward: bool
) -> tuple[Message, Integers]:
    message, mapped = (maps.forward if forward else maps.backward)(message, values[..., targets])
    values = values.copy()
    values[..., targets] = mapped
    return message, values


def _padded(tile: NDArray[np.uint8], multiple: int) -> Integers:
    """Pad uint8 [h, w, C] to int64 [H, W, 3] by repeating edges; a gray channel is used three times."""
    h, w = tile.shape[:2]
    padded = np.pad(tile, ((0, -h % multiple), (0, -w % multiple), (0, 0)), mode="edge")
    return np.broadcast_to(padded, (*padded.shape[:2], 3)).astype(np.int64)


def _space_to_depth(x: Integers) -> Integers:
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 2, 1, 3, 4).reshape(h // 2, w // 2, 4 * c)


def _depth_to_space(x: Integers) -> Integers:
    h, w, c = x.shape
    return x.reshape(h, w, 2, 2, c // 4).transpose(0, 2, 1, 3, 4).reshape(2 * h, 2 * w, c // 4)


def _number(config: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return a number of the configuration; raise ModelError unless it is an int within low..high."""
    value = config.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ModelError(f"model: {name} is {value!r:.40}, expected a whole number, {low} to {high}")
    return value
