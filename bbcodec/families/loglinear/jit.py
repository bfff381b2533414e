# SPDX-License-Identifier: Apache-2.0
"""The numba implementation: the loops of the base, and the text of `scalar`, compiled and cached.

Importing this module imports numba (half a second): only `bbcodec.families.loglinear.codec` does so. One
thread computes a group, without the GIL, so that several groups run at once.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Words
from bbcodec.families.local import jit as base
from bbcodec.families.local.jit.learning import learn as learn_last_layer
from bbcodec.families.local.jit.learning import round_weights
from bbcodec.families.local.jit.least_squares import begin_cells, list_lanes, neighbour
from bbcodec.families.local.jit.mixture import add_gradients
from bbcodec.families.local.jit.sample import after as after_sample
from bbcodec.families.local.jit.sample import after_found
from bbcodec.families.local.jit.sample import before as before_sample
from bbcodec.families.local.jit.state import group_of, njit, tables_of
from bbcodec.families.local.model import CELL
from bbcodec.families.local.order import Order
from bbcodec.families.local.reference import Integers, to_blocks, to_planes
from bbcodec.families.loglinear import reference, scalar
from bbcodec.families.loglinear.model import LogLinearModel
from bbcodec.families.loglinear.reference import ALL_PREDICTED, Pixels, Shapes
from bbcodec.families.loglinear.scalar import FURTHER, Streams


def encode(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[Words]:
    """Words of every stream; as in `bbcodec.families.loglinear.reference`."""
    planes = to_planes(blocks)
    shapes = [(block.shape[0], block.shape[1]) for block in blocks]
    streams = reference.recording(shapes, planes.size)
    _run(shapes, planes, model, streams, neighbours)
    return reference.pushed(streams, "numba")


def decode(
    words: Sequence[Words],
    shapes: Shapes,
    channels: int,
    model: LogLinearModel,
    threads: int = 1,
    neighbours: int = ALL_PREDICTED,
) -> list[Pixels]:
    """Blocks of a group; as in `bbcodec.families.loglinear.reference`."""
    planes = np.zeros((channels, sum(h * w for h, w in shapes)), np.int64)
    streams = reference.popping(words, shapes)
    found = _run(shapes, planes, model, streams, neighbours)
    reference.check_end(streams)
    return to_blocks(found, shapes)


def cost(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[NDArray[np.float32]]:
    """Cost of every pixel; as in `bbcodec.families.loglinear.reference`."""
    planes = to_planes(blocks)
    shapes = [(block.shape[0], block.shape[1]) for block in blocks]
    streams = reference.recording(shapes, planes.size)
    pixels = np.zeros(len(streams.record), np.int64)
    _run(shapes, planes, model, streams, neighbours, pixels)
    own = reference.decisions_of(streams)
    p = np.where(own >> 16, own & 0xFFFF, 65536 - (own & 0xFFFF))
    bits = np.bincount(pixels[: len(own)], 16 - np.log2(p), planes.shape[1]).astype(np.float32)
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(bits, ends), shapes, strict=True)]


def _run(
    shapes: Shapes,
    planes: Integers,
    model: LogLinearModel,
    streams: Streams,
    neighbours: int,
    pixels: NDArray[np.int64] | None = None,
) -> Integers:
    """Code the samples of a group, or find them; return them. Set the pixel of each decision, if wanted."""
    group = group_of(shapes, planes, model.base, None)
    layer = reference.layer_of(model, shapes, len(planes))
    where = np.empty(0, np.int64) if pixels is None else pixels
    whole = reference.pixels_of(model, shapes, planes, neighbours)
    run(tables_of(model.base), group, layer, whole, streams, Order(shapes).slots, where)
    found: Integers = group.samples[:, :-1].astype(np.int64)
    return found


def _load() -> ModuleType:
    """Return the text of `scalar` with compiled functions."""
    spec = importlib.util.spec_from_file_location("bbcodec.families.loglinear._compiled", scalar.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["function"] = njit
    sys.modules[spec.name] = module  # what is loaded from numba's cache imports it by name
    spec.loader.exec_module(module)
    return module


def _finder(text: Any) -> Any:
    """`find` and `learn_pixels` for whole pixels; `note`, which sets the pixel of decisions."""
    look, code_pixel, learn_pixel = text.look, text.code_pixel, text.learn_pixel
    spread_colour = text.spread_colour

    @njit
    def note(where: Any, first: int, end: int, pixel: int) -> None:
        """Set the pixel of decisions, if wanted."""
        if len(where) > 0:
            where[first:end] = pixel

    @njit
    def set_near(g: Any, lane: int, pixels: Any) -> None:
        """Set the neighbours of a lane's pixel."""
        b, y, x, pixel, _, _ = g.lanes[lane]
        width, near, own = g.blocks[b, 1], pixels.near, g.own[lane]
        for i in range(len(own)):
            near[i] = own[i]
        for i in range(len(FURTHER)):
            yy, xx = neighbour(y, x, width, FURTHER[i, 0], FURTHER[i, 1])
            outside = len(pixels.colours) - 1
            near[len(own) + i] = outside if yy < 0 else pixel + (yy - y) * width + xx - x

    @njit
    def find(g: Any, lanes: int, pixels: Any, streams: Any, slots: int, where: Any) -> int:
        """Look for the whole pixels of all lanes; return how many are left to be predicted."""
        predicted = 0
        for lane in range(lanes):
            pixel, first = g.lanes[lane, 3], streams.count[0]
            stream = g.lanes[lane, 4] * len(streams.heads) // slots
            set_near(g, lane, pixels)
            look(pixels, pixels.near, lane)
            pixels.found[lane] = code_pixel(pixels, streams, stream, lane, pixel)
            if pixels.found[lane]:
                spread_colour(pixels, pixel, g.samples)
            else:
                predicted += 1
            note(where, first, streams.count[0], pixel)
        return predicted

    @njit
    def learn_pixels(g: Any, lanes: int, pixels: Any) -> None:
        """Learn from the whole pixels of all lanes."""
        for lane in range(lanes):
            learn_pixel(pixels, lane, g.lanes[lane, 3], g.samples)

    return find, learn_pixels, note


# Names of the module: a function that `run` closes over would keep numba from finding it in its cache.
_text = _load()
set_terms, code, learn = _text.set_terms, _text.code, _text.learn
find, learn_pixels, note = _finder(_text)


def _compiled(version: int) -> Any:
    """`run`, of this version of the package."""

    @njit(cache=True, nogil=True, forceinline=False, no_cpython_wrapper=False)
    def run(m: Any, g: Any, layer: Any, pixels: Any, streams: Any, slots: int, where: Any) -> None:
        """One pass over a group.

        Parameters
        ----------
        m, g : Tables, Group
        layer, pixels, streams : Layer, Pixels, Streams
        slots : slots of the group.
        where : int64 [decisions], to be set to their pixels, or empty.
        """
        _ = version
        channels = len(g.samples)
        seen = g.inputs[len(g.stream) : -1]
        for c in range(channels):
            round_weights(m, g, c)
        for time in range(g.times):
            learns = m.rate > 0 and time % m.every == 0
            lanes = list_lanes(g, time)
            predicted = lanes
            if pixels.neighbours >= 0:
                predicted = find(g, lanes, pixels, streams, slots, where)
            for c in range(channels):
                if time % CELL == 0:
                    begin_cells(m, g, c, lanes)
                for lane in range(lanes):
                    if pixels.found[lane]:
                        after_found(m, g, c, lane)
                        continue
                    _, y, x, pixel, slot, _ = g.lanes[lane]
                    p, ks, middle = before_sample(m, g, c, lane, seen, False)
                    set_terms(g.samples, g.own[lane], (pixel, x, y), c, p, ks, layer.terms)
                    stream = slot * len(streams.heads) // slots
                    first = streams.count[0]
                    symbol = code(layer, streams, stream, c, lane, g.mixture, np.int64(g.samples[c, pixel]))
                    g.samples[c, pixel] = symbol
                    note(where, first, streams.count[0], pixel)
                    if learns:
                        add_gradients(g, c, ks, symbol)
                    after_sample(m, g, c, lane, p, middle, symbol)
                if learns and predicted:
                    learn_last_layer(m, g, c)
            for c in range(channels):
                for lane in range(lanes):
                    if not pixels.found[lane]:
                        learn(layer, c, lane)
            if pixels.neighbours >= 0:
                learn_pixels(g, lanes, pixels)

    return run


def _fingerprint() -> int:
    """Checksum of the text that is compiled."""
    files = [*sorted(Path(base.__file__).parent.glob("*.py")), Path(scalar.__file__), Path(__file__)]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


run = _compiled(_fingerprint())
