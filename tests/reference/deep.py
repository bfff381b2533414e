# SPDX-License-Identifier: Apache-2.0
"""The family `deep`: arrays of samples of up to 16 bits (docs/deep.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import deep_head
from .deep_head import Head, Shape
from .deep_plane import Plane
from .learned import cuts
from .local_net import Network
from .modelfile import Model
from .rans import Message
from .wire import demand

NUMBERS = {"hidden", "layers", "components", "own", "earlier", "phased", "along", "down", "ridge", "rate_q"}
TENSORS = {"first_w", "first_m", "first_b", "hidden_w", "hidden_m", "hidden_b", "out_w", "out_b"}


def check(model: Model) -> None:
    """Refuse a model that is not one of this family, as far as it differs from the family `local`."""
    config = model.config
    demand(model.family == "deep", "family of the model")
    demand(not model.functions, "functions of a model")
    demand(set(config) <= NUMBERS | {"every", "block"} and set(config) >= NUMBERS, "numbers of a model")
    phased = config["phased"]
    demand(len(phased) == 2 and all(type(n) is int and 2 <= n <= 10 for n in phased), "phased")
    demand(set(model.tensors) == {n for n in TENSORS if config["layers"] or "hidden" not in n}, "tensors")
    demand(model.tensors["out_b"].shape == (3, 3 * config["components"]), "kinds of planes")


def decode_array(
    head: bytes, chains: list[bytes], shape: Shape, model: Model, bounds: tuple[int, int] = (-32768, 65535)
) -> Any:
    """Return an array, int64 [T, C, H, W], whose samples are within the bounds."""
    check(model)
    told = deep_head.read(head, shape, bounds)
    t, _, height, width = shape
    out = np.zeros(shape, np.int64)
    for channel in told.channels:
        if not channel.top():
            out[:, channel.number] = channel.values[0]
    rows, columns = (cuts(size, -(-size // told.side)) for size in (height, width))
    places = [
        (slice(first, min(first + told.frames, t)), slice(*y), slice(*x))
        for first in range(0, t, told.frames)
        for y in rows
        for x in columns
    ]
    if not any(channel.top() for channel in told.channels):
        places = []
    demand(len(places) == len(chains), "number of chains")
    for (group, y, x), data in zip(places, chains, strict=True):
        _chain(data, told, model, out[group, :, y, x])
    return out


def _chain(data: bytes, head: Head, model: Model, out: Any) -> None:
    """Decode one block of all planes of a group into its part of the array."""
    message = Message(data, 8)
    layers: dict[Any, Network] = {}
    frame: dict[int, Plane] = {}
    for i in range(len(out)):
        before, frame = frame, {}
        for place, channel in enumerate(head.channels):
            if not channel.top():
                continue
            references = [frame[r] for r in channel.references]
            if channel.before and i > 0:
                references.append(before[place])
            key = channel.layer(i == 0)
            layer = layers[key] = layers.get(key) or Network(model)
            plane = Plane(model, out.shape[2:], channel.top(), channel.phased, references)
            plane.pop(message, layer)
            out[i, channel.number] = channel.values[plane.rows()]
            frame[place] = plane
    message.ends()
