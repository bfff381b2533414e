# SPDX-License-Identifier: Apache-2.0
"""Write, read and apply a fit: changes of the model and the view of the picture in a section ``FITT``.

docs/format.md specifies the section. An encoder may fit the model to the picture; how it does so does not
belong here. This module needs only NumPy. A fit is untrusted input, so the changed model must pass the same
checks as a model file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer, Reader, varint
from bbcodec.engine.graph import Graph
from bbcodec.errors import FormatError
from bbcodec.families.local.model import FAMILY, LocalModel
from bbcodec.modelfile import Model
from bbcodec.picture.turn import VIEWS

SIGNS: Final = "hidden_w"
SHARED: Final = "first_w of all channels"
TENSORS: Final = (SIGNS, SHARED, "first_w", "first_b", "hidden_m", "hidden_b", "out_w", "out_b")
"""Tensors that a fit may change, by their numbers in the file; `SHARED` is added to every ``first_w``."""

_CONFIG_KEYS: Final = ("rate_q", "along", "down", "ridge")  # by their bits in the flags
_LIST_KEYS: Final = ("along", "down")
_MAX_SHIFT: Final = 24
_MAX_RICE_PARAMETER: Final = 15
_MAX_VALUE: Final = 1 << 24
_MAX_CHANGES: Final = 1 << 17  # of a tensor; they take a tenth of a second to read
_MAX_SECTION_BYTES: Final = 1 << 20  # changes of all signs and weights take less

Integers = NDArray[np.int64]


class Delta(NamedTuple):
    """The change of one tensor: ``values * 2^shift`` is added at the flat positions.

    Positions ascend, and values are not 0. For signs, which are flipped, values are 1 and the shift is 0.
    """

    shift: int
    positions: Integers
    values: Integers


@dataclass(frozen=True)
class Fitted:
    """A fit of a model to one picture.

    Parameters
    ----------
    view : how the picture is turned before it is coded: a sum of `MIRROR_COLUMNS`, `MIRROR_ROWS`,
        `TRANSPOSE` and `SWAP_CHANNELS`.
    config : new values of the model's ``rate_q`` (int), ``along`` and ``down`` (lists), ``ridge`` (int).
    deltas : changes of tensors, by name.
    """

    view: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    deltas: Mapping[str, Delta] = field(default_factory=dict)

    @property
    def trivial(self) -> bool:
        """Return whether the fit changes nothing."""
        return not (self.view or self.config or any(len(d.positions) for d in self.deltas.values()))

    def pack(self) -> bytes:
        """Return the payload of the section.

        >>> Fitted(view=3, config={"ridge": 300}).pack().hex()
        '0308ac02'
        """
        out = [bytes([self.view, sum(1 << i for i, key in enumerate(_CONFIG_KEYS) if key in self.config)])]
        for key in _CONFIG_KEYS:
            if key in self.config:
                value = self.config[key]
                out.append(bytes([len(value), *value]) if isinstance(value, list) else varint(value))
        for number, name in enumerate(TENSORS):
            delta = self.deltas.get(name)
            if delta is not None and len(delta.positions):
                out.append(_pack(number, delta))
        return b"".join(out)

    def apply(self, model: Model) -> Model:
        """Return the changed model. Its id belongs to no file; it distinguishes changed models.

        Raises
        ------
        FormatError
            The model has another family, or a position lies outside its tensor. ModelError if the changed
            model is not valid.
        """
        if model.family != FAMILY:
            raise FormatError(
                f"section FITT: the model has the family {model.family!r:.60}, expected {FAMILY!r}"
            )
        tensors = dict(model.tensors)
        for name, delta in self.deltas.items():
            target = "first_w" if name == SHARED else name
            if target not in tensors:
                raise FormatError(f"section FITT: changes tensor {target!r}, which the model does not have")
            tensors[target] = _changed(tensors[target], delta, name)
        mark = hashlib.sha256(bytes.fromhex(model.id) + self.pack()).hexdigest()
        graph = Graph(model.graph.functions, tensors)
        changed = replace(model, id=mark, config={**model.config, **self.config}, graph=graph)
        LocalModel.from_model(changed)
        return changed

    def summary(self) -> dict[str, Any]:
        """Return a summary of the changes in JSON values."""
        counts = {name: len(delta.positions) for name, delta in self.deltas.items()}
        return {"view": self.view, **self.config, **{f"{name} changes": n for name, n in counts.items()}}


def unpack(payload: Buffer, offset: int = 0) -> Fitted:
    """Read the payload of a section that `Fitted.pack` made.

    Parameters
    ----------
    payload : bytes-like
    offset : offset of the payload in the file in bytes, for messages.

    Raises
    ------
    FormatError
        The payload is damaged.
    """
    reader = Reader(payload, "section FITT", offset)
    if reader.left > _MAX_SECTION_BYTES:
        raise reader.error(f"{reader.left} bytes, expected at most {_MAX_SECTION_BYTES}")
    view, flags = reader.u8("view"), reader.u8("flags")
    if view >= VIEWS or flags >> len(_CONFIG_KEYS):
        raise reader.error(
            f"view {view} and flags {flags}, expected below {VIEWS} and {1 << len(_CONFIG_KEYS)}"
        )
    config: dict[str, Any] = {}
    for i, key in enumerate(_CONFIG_KEYS):
        if flags >> i & 1:
            config[key] = list(reader.take(reader.u8(key), key)) if key in _LIST_KEYS else reader.varint(key)
    deltas: dict[str, Delta] = {}
    last = -1
    while reader.left:
        number = reader.u8("tensor")
        if not last < number < len(TENSORS):
            raise reader.error(f"tensor {number}, expected {last + 1} to {len(TENSORS) - 1}")
        deltas[TENSORS[number]] = _unpack(reader, number)
        last = number
    return Fitted(view, config, deltas)


def _changed(tensor: NDArray[Any], delta: Delta, name: str) -> NDArray[Any]:
    """Return a tensor with a delta applied; sums are clamped to the range of its type."""
    size = {SIGNS: 64 * tensor.size, SHARED: tensor.size // len(tensor)}.get(name, tensor.size)
    if len(delta.positions) and int(delta.positions[-1]) >= size:
        raise FormatError(
            f"section FITT: position {delta.positions[-1]} in tensor {name!r}, expected below {size}"
        )
    if name == SIGNS:
        words = tensor.reshape(-1).copy()
        bits = np.uint64(1) << (delta.positions & 63).astype(np.uint64)
        np.bitwise_xor.at(words, delta.positions >> 6, bits)
        return _frozen(words.reshape(tensor.shape))
    wide = tensor.astype(np.int64).reshape(-1, size)
    wide[:, delta.positions] += delta.values << delta.shift
    info = np.iinfo(tensor.dtype)
    return _frozen(wide.clip(info.min, info.max).astype(tensor.dtype).reshape(tensor.shape))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _pack(number: int, delta: Delta) -> bytes:
    """Pack the change of one tensor: number, shift, Rice parameters, count, then bits padded to bytes."""
    gaps = np.diff(delta.positions, prepend=-1) - 1
    sizes = np.abs(delta.values) - 1
    gap_rice, size_rice = _best_rice(gaps), _best_rice(sizes)
    bits: list[str] = []
    for gap, size, value in zip(gaps.tolist(), sizes.tolist(), delta.values.tolist(), strict=True):
        bits.append(_rice(gap, gap_rice))
        if number:
            bits += ["1" if value < 0 else "0", _rice(size, size_rice)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    body = int(text, 2).to_bytes(len(text) // 8, "big")
    head = bytes([number, delta.shift, gap_rice << 4 | size_rice])
    return head + varint(len(gaps)) + body


def _unpack(reader: Reader, number: int) -> Delta:
    """Read what `_pack` wrote, after the number of the tensor; raise FormatError if it is damaged."""
    shift, rice = reader.u8("shift"), reader.u8("Rice parameters")
    count = reader.varint("number of changes")
    most = min(8 * reader.left, _MAX_CHANGES)
    if shift > _MAX_SHIFT or not 1 <= count <= most:
        raise reader.error(
            f"{count} changes of shift {shift} in {reader.left} bytes, "
            f"expected 1 to {most} of a shift up to {_MAX_SHIFT}"
        )
    if number == 0 and (shift or rice & 15):
        raise reader.error(f"flips of signs have shift {shift} and value parameter {rice & 15}, expected 0")
    bits = _Bits(reader)
    position, positions, values = -1, [], []
    for _ in range(count):
        position += 1 + bits.rice(rice >> 4)
        value = 1
        if number:
            negative = bits.take(1)
            value = (bits.rice(rice & 15) + 1) * (-1 if negative else 1)
        positions.append(position)
        values.append(value)
    bits.finish()
    if position >= _MAX_VALUE or max(map(abs, values)) >= _MAX_VALUE:
        raise reader.error(
            f"a change of {max(map(abs, values))} at position {position}, expected both below {_MAX_VALUE}"
        )
    return Delta(shift, np.array(positions, np.int64), np.array(values, np.int64))


class _Bits:
    """Reads bits, highest bit of each byte first, from the rest of a reader; `finish` takes what was read."""

    def __init__(self, reader: Reader):
        self._reader, self._at = reader, 0
        self._text = (np.unpackbits(np.frombuffer(reader.peek(), np.uint8)) + ord("0")).tobytes()

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._at += count
        if self._at > len(self._text):
            raise self._cut_off()
        return int(self._text[self._at - count : self._at], 2) if count else 0

    def rice(self, parameter: int) -> int:
        """Return a Rice-coded number >= 0. The remaining bytes bound the length of its unary part."""
        stop = self._text.find(b"0", self._at)
        if stop < 0:
            raise self._cut_off()
        high, self._at = stop - self._at, stop + 1
        return high << parameter | self.take(parameter)

    def _cut_off(self) -> FormatError:
        return self._reader.error("changes needs 1 byte more, found none: file cut off or corrupt")

    def finish(self) -> None:
        """Take the bytes that were read. Raise FormatError unless the spare bits of the last one are 0."""
        self._reader.take(-(-self._at // 8), "changes")
        if b"1" in self._text[self._at : -(-self._at // 8) * 8]:
            raise self._reader.error("spare bits are not 0")


def _rice(value: int, parameter: int) -> str:
    """Return the Rice code of a number >= 0 as a string of 0 and 1."""
    low = format(value, f"0{parameter}b")[-parameter:] if parameter else ""
    return "1" * (value >> parameter) + "0" + low


def _best_rice(values: Integers) -> int:
    """Return the Rice parameter with the fewest bits."""
    costs = [int((values >> k).sum()) + k * len(values) for k in range(_MAX_RICE_PARAMETER + 1)]
    return costs.index(min(costs))
