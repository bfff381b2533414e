# SPDX-License-Identifier: Apache-2.0
"""Learned samples of a picture (`CHNS`) and of a batch: find the model, and divide into messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import modelfile
from .modelfile import Model
from .rans import Message
from .wire import Reader, demand

Shape = tuple[int, int, int]


def family(modl: bytes, models: Mapping[bytes, bytes]) -> Model:
    """Return the model that a `MODL` section names."""
    return modelfile.load(modelfile.named(modl, models))


def samples(
    payload: bytes, shape: Shape, modl: bytes, fit: bytes | None, models: Mapping[bytes, bytes]
) -> Any:
    """Return what the chains of a `CHNS` payload, after its plane mask, hold: [H, W, C].

    Of two or four channels the last one is alpha.
    """
    model = family(modl, models)
    demand(model.family != "deep", "family of 16-bit samples")
    reader = Reader(payload)
    chains = _chains(reader)
    height, width, channels = shape
    parts = [channels] if channels % 2 else [channels - 1, 1]
    demand(len(chains) % len(parts) == 0, "alpha has not as many chains as the colours")
    count = len(chains) // len(parts)
    pictures = [
        _picture(chains[count * i : count * (i + 1)], (height, width, own), fit, model)
        for i, own in enumerate(parts)
    ]
    return np.concatenate(pictures, 2)


def deep_samples(
    payload: bytes, shape: Shape, modl: bytes, fit: bytes | None, models: Mapping[bytes, bytes]
) -> Any:
    """Return the 16-bit samples, [H, W, C], of a `CHNS` payload after its plane mask."""
    from . import deep

    demand(fit is None, "changes of a model that is not local")
    reader = Reader(payload)
    head = reader.take(reader.varint())
    array = deep.decode_array(
        head, _chains(reader), (1, shape[2], *shape[:2]), family(modl, models), (0, 65535)
    )
    return np.moveaxis(array[0], 0, 2)


def _chains(reader: Reader) -> list[bytes]:
    """Return all chains, which end with the data."""
    sizes = [reader.varint() for _ in range(reader.varint())]
    chains = [reader.take(size) for size in sizes]
    demand(reader.ends(), "bytes behind the last chain")
    return chains


def _picture(chains: list[bytes], shape: Shape, fit: bytes | None, model: Model) -> Any:
    """Return a gray or RGB picture."""
    if model.family == "local":
        from . import local_changes

        view, model = local_changes.read(fit, model)
        return local_changes.undo(view, _blocks(chains, local_changes.turned(view, shape), model))
    demand(fit is None, "changes of a model that is not local")
    return (_blocks if model.family == "loglinear" else _tiles)(chains, shape, model)


def cuts(size: int, n: int) -> list[tuple[int, int]]:
    """Return where the n parts of a length begin and end."""
    return [(size * i // n, size * (i + 1) // n) for i in range(n)]


def _blocks(chains: list[bytes], shape: Shape, model: Model) -> Any:
    height, width, channels = shape
    side = model.config.get("block", 1024)
    places = [
        (rows, columns)
        for rows in cuts(height, -(-height // side))
        for columns in cuts(width, -(-width // side))
    ]
    demand(len(places) == len(chains), "number of blocks")
    out = np.zeros(shape, np.uint8)
    for (rows, columns), chain in zip(places, chains, strict=True):
        size = (rows[1] - rows[0], columns[1] - columns[0])
        out[slice(*rows), slice(*columns)] = _block(chain, size, channels, model)
    return out


def _block(chain: bytes, size: tuple[int, int], channels: int, model: Model) -> Any:
    if model.family == "loglinear":
        from . import loglinear

        if chain[:1] != b"\x08":
            return loglinear.block(chain, size, channels, model)
        loglinear.check(model)
        chain = chain[1:]
    from .local import Group

    message = Message(chain, 8)
    block = Group(model, [size], channels).pop(message)[0]
    message.ends()
    return block


def _tiles(chains: list[bytes], shape: Shape, model: Model) -> Any:
    from .tiles import Tiles

    height, width, _ = shape
    coder = Tiles(model)
    places = [(y, x) for y in range(0, height, 64) for x in range(0, width, 64)]
    parts = cuts(len(places), -(-len(places) // 256))
    demand(len(parts) == len(chains), "number of chains")
    out = np.zeros(shape, np.uint8)
    for (first, end), chain in zip(parts, chains, strict=True):
        reader = Reader(chain)
        causal = reader.number(2)
        demand(1 <= causal <= end - first, "number of causal tiles")
        message = Message(reader.rest(), 8 if causal == end - first else 256)
        for i in reversed(range(first, end)):
            y, x = places[i]
            tile = out[y : y + 64, x : x + 64]
            if i == first + causal - 1:
                message.fold(8)
            tile[:] = coder.pop(message, tile.shape, latents=i >= first + causal)
        message.ends()
    return out


def batch(data: bytes, model: Model, shapes: list[Shape], plain: int) -> list[Any]:
    """Pop the pictures of one message; the last `plain` parts have no latents."""
    if model.family == "loglinear":
        from . import loglinear
        from .archive import groups

        demand(plain == 0, "plain parts")
        return loglinear.batch(data, groups(shapes), model)
    if model.family == "local":
        from .archive import groups
        from .local import Group

        message = Message(data, 8)
        out: list[Any] = []
        parts = groups(shapes)
        demand(plain <= len(parts), "plain parts")
        for i, part in enumerate(parts):
            group = Group(model, [shape[:2] for shape in part], part[0][2])
            latents = model.config["latents"] and part[0][2] == 3 and i < len(parts) - plain
            out += group.pop_with_latents(message) if latents else group.pop(message)
    else:
        from .tiles import Tiles

        demand(1 <= plain <= len(shapes), "plain parts")
        coder = Tiles(model)
        message = Message(data, 8 if plain == len(shapes) else 256)
        out = []
        for i, shape in enumerate(shapes):
            if i == len(shapes) - plain:
                message.fold(8)
            out.append(coder.pop(message, shape, latents=i < len(shapes) - plain))
    message.ends()
    return out
