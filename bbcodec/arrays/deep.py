# SPDX-License-Identifier: Apache-2.0
"""Code an array of any numeric type with a model of the family ``deep`` (docs/format.md, "Chunks", way 2).

Its samples become integers (`bbcodec.arrays.numbers`). If they have too many values for the model, it codes
their high bits, and the low bits are deflated.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import numbers
from bbcodec.container import SHORT_MODEL_ID_SIZE, Reader, short_id, varint
from bbcodec.container.inflate import inflate
from bbcodec.errors import FormatError
from bbcodec.families.deep import head as deep_heads
from bbcodec.families.deep.family import decode_array, encode_array
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.modelfile.registry import find as find_model

__all__ = ["decode", "encode"]

MAX_VALUES: Final = 1 << 16
MAX_SHIFT: Final = 48

Array = NDArray[Any]


def encode(array: Array, model: Model, execution: Execution, *, colours: int) -> bytes:
    """Return the bytes of an array ``[T, C, H, W]`` of one of `numbers.DTYPES`.

    Parameters
    ----------
    array : samples in native byte order.
    model : a model of the family ``deep``.
    execution : threads and backend; the bytes do not depend on it.
    colours : channels that are R, G, B if they are 3; else as many as there are.
    """
    whole = numbers.integers(array)
    shift = _shift_for(whole)
    high = whole >> shift if shift else whole
    head, coded = encode_array(high, model, execution, colours=colours, group=len(array))
    told = deep_heads.pack(head)
    parts = [bytes.fromhex(short_id(model.id)), bytes([shift])]
    if shift:
        low = _pack_low(whole, shift)
        parts += [varint(len(low)), low]
    parts += [varint(len(told)), told, varint(len(coded.chains)), *map(varint, map(len, coded.chains))]
    return b"".join([*parts, *coded.chains])


def decode(
    reader: Reader,
    shape: tuple[int, int, int, int],
    dtype: np.dtype[Any],
    given: Model | None,
    execution: Execution,
) -> Array:
    """Return the array ``[T, C, H, W]`` that fills the reader.

    Parameters
    ----------
    reader : what `encode` returned.
    shape, dtype : of the array. The caller checks them against the limits.
    given : a model to use besides the installed ones, or None.
    execution : see `encode`.

    Raises
    ------
    FormatError
        The bytes are damaged.
    ModelMissingError
        They need a model that is not installed.
    """
    wanted = bytes(reader.take(SHORT_MODEL_ID_SIZE, "model")).hex()
    model = given if given is not None and given.id.startswith(wanted) else find_model(wanted)
    shift = reader.u8("shift")
    least, largest = numbers.limits(dtype)
    if shift > min(MAX_SHIFT, 8 * dtype.itemsize - 1):
        raise reader.error(f"shift {shift} of samples of {8 * dtype.itemsize} bits")
    low = _read_low(reader, shape, shift) if shift else None
    size = reader.varint("size of the deep head")
    at = reader.offset
    told = Reader(reader.take(size, "deep head"), "deep head", at)
    head = deep_heads.unpack(told, shape[1], shape[0], least >> shift, largest >> shift)
    count = reader.varint("number of chains")
    if count > reader.left:
        raise reader.error(f"{count} chains do not fit in {reader.left} bytes")
    sizes = [reader.varint(f"size of chain {i}") for i in range(count)]
    chains = [reader.take(size, f"chain {i}") for i, size in enumerate(sizes)]
    reader.finish()
    whole = decode_array(chains, head, shape, np.int64, model, execution)
    if low is not None:
        whole = (whole << shift) | low
    return numbers.samples(whole, dtype)


def _shift_for(whole: NDArray[np.int64]) -> int:
    """Return how many low bits must go so that no channel has more values than a model can tell apart."""
    channels = np.moveaxis(whole, 1, 0).reshape(whole.shape[1], -1)
    return max(_shift_of(channel) for channel in channels)


def _shift_of(channel: NDArray[np.int64]) -> int:
    if int(channel.max()) - int(channel.min()) < MAX_VALUES:
        return 0
    used = np.unique(channel)
    if len(used) <= MAX_VALUES and int(used[-1]) - int(used[0]) < deep_heads.MAX_SPAN:
        return 0
    low, high = 1, MAX_SHIFT
    while low < high:  # the least shift that leaves few enough values, which lie near enough
        middle = (low + high) // 2
        left = used >> middle
        count = 1 + np.count_nonzero(np.diff(left))
        if count <= MAX_VALUES and int(left[-1]) - int(left[0]) < deep_heads.MAX_SPAN:
            high = middle
        else:
            low = middle + 1
    return low


def _pack_low(whole: NDArray[np.int64], shift: int) -> bytes:
    """Return the low bits of all samples: the bytes of one place after those of another, deflated."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15, 9)
    parts = []
    for at in range(0, shift, 8):
        mask = (1 << min(8, shift - at)) - 1
        parts.append(packer.compress(((whole >> at) & mask).astype(np.uint8).tobytes()))
    return b"".join([*parts, packer.flush()])


def _read_low(reader: Reader, shape: tuple[int, ...], shift: int) -> NDArray[np.int64]:
    size = reader.varint("bytes of low bits")
    at = reader.offset
    planes = -(-shift // 8)
    count = int(np.prod(shape, dtype=object))
    raw = inflate(Reader(reader.take(size, "low bits"), "low bits", at), planes * count)
    stored = np.frombuffer(raw, np.uint8).reshape(planes, *shape)
    low = np.zeros(shape, np.int64)
    for place, plane in enumerate(stored):
        low |= plane.astype(np.int64) << (8 * place)
    if (low >> shift).any():
        raise FormatError(f"low bits: a sample has more than {shift}")
    return low
