# SPDX-License-Identifier: Apache-2.0
"""The deep head: what is said of an array before its chains (docs/deep.md, "Array, channels and frames")."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Reader, varint
from bbcodec.container.inflate import inflate
from bbcodec.families.deep.planes import Planes

__all__ = ["MAX_GROUP", "MAX_SIDE", "MAX_SPAN", "MAX_TOP", "Channel", "Head", "Values", "pack", "unpack"]

MIN_SIDE: Final = 16
MAX_SIDE: Final = 1024
MAX_GROUP: Final = 65535
MAX_TOP: Final = 65535
MAX_SPAN: Final = 1 << 63
"""Values of a channel are nearer to each other than this."""
MAX_REFERENCES: Final = 2
ROLES: Final = 16

_RANGE, _LIST, _SAME, _NEGATIVE = 0, 1, 2, 4
_BEFORE, _PHASED = 4, 8
_MAX_GAP_BYTES: Final = 9  # of a varint


@dataclass(frozen=True, eq=False)
class Values:
    """The values of a channel's samples; numbers from 0 to `top` stand for them.

    Attributes
    ----------
    low : the least value.
    top : the largest number.
    used : int64 [top + 1], the values in ascending order; None if they are all from `low` on.
    """

    low: int
    top: int
    used: NDArray[np.int64] | None = None

    @property
    def high(self) -> int:
        """Return the largest value."""
        return self.low + self.top if self.used is None else int(self.used[-1])

    def numbers(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of samples."""
        if self.used is None:
            return samples - self.low
        return np.searchsorted(self.used, samples)

    def samples(self, numbers: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Return the samples of numbers."""
        if self.used is None:
            return numbers.astype(np.int64) + self.low
        return self.used[numbers]


@dataclass(frozen=True, eq=False)
class Channel:
    """How a channel is coded.

    Attributes
    ----------
    number : the channel's number in the array.
    references : places of earlier channels in the coding order.
    before : whether the frame before is a reference.
    phased : whether phases are told apart.
    role : which last layer it has.
    values : Values
    """

    number: int
    values: Values
    references: tuple[int, ...] = ()
    before: bool = False
    phased: bool = False
    role: int = 0


@dataclass(frozen=True, eq=False)
class Head:
    """How an array is coded.

    Attributes
    ----------
    side : largest side of a block.
    group : frames of a group.
    channels : in coding order.
    """

    side: int
    group: int
    channels: tuple[Channel, ...]

    def planes(self, frames: int) -> tuple[Planes, list[tuple[int, int]]]:
        """Return the planes of a chain of so many frames, and frame and channel (its number) of each."""
        rows: list[tuple[int, ...]] = []
        where: list[tuple[int, int]] = []
        last: dict[int, int] = {}
        for frame in range(frames):
            now: dict[int, int] = {}
            for place, channel in enumerate(self.channels):
                if channel.values.top == 0:
                    continue
                found = [now[reference] for reference in channel.references]
                is_key = frame == 0
                if channel.before and not is_key:
                    found.append(last[place])
                role = channel.role + ROLES * (channel.before and is_key)
                first, second = (*found, -1, -1)[:MAX_REFERENCES]
                now[place] = len(rows)
                rows.append((first, second, role, int(channel.phased), channel.values.top))
                where.append((frame, channel.number))
            last = now
        return np.array(rows, np.int64).reshape(-1, 5), where


def pack(head: Head) -> bytes:
    """Return the bytes of a head."""
    parts = [varint(head.side), varint(head.group)]
    before: Values | None = None
    for channel in head.channels:
        flags = len(channel.references) | _BEFORE * channel.before | _PHASED * channel.phased
        parts += [varint(channel.number), bytes([flags | channel.role << 4])]
        parts += [varint(reference) for reference in channel.references]
        parts.append(_pack_values(channel.values, before))
        before = channel.values
    return b"".join(parts)


def _pack_values(values: Values, before: Values | None) -> bytes:
    if before is not None and (values.low, values.top) == (before.low, before.top):
        if values.used is None and before.used is None:
            return bytes([_SAME])
        if values.used is not None and before.used is not None and np.array_equal(values.used, before.used):
            return bytes([_SAME])
    sign = _NEGATIVE if values.low < 0 else 0
    head = varint(-1 - values.low if sign else values.low) + varint(values.top)
    if values.used is None:
        return bytes([_RANGE | sign]) + head
    gaps = b"".join(map(varint, (np.diff(values.used) - 1).tolist()))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    packed = packer.compress(gaps) + packer.flush()
    return bytes([_LIST | sign]) + head + varint(len(gaps)) + varint(len(packed)) + packed


def unpack(reader: Reader, channels: int, frames: int, least: int, largest: int) -> Head:
    """Read the head of an array, which fills the reader.

    Parameters
    ----------
    reader : Reader
    channels, frames : of the array.
    least, largest : what a sample of the array may be.

    Raises
    ------
    FormatError
        The head is not one of such an array.
    """
    side, group = reader.varint("side of blocks"), reader.varint("frames of a group")
    if not MIN_SIDE <= side <= MAX_SIDE or not 1 <= group <= MAX_GROUP:
        raise reader.error(f"blocks of {side} and groups of {group} frames are not allowed")
    found: list[Channel] = []
    for _ in range(channels):
        found.append(_read_channel(reader, found, frames))
        values = found[-1].values
        if values.low < least or values.high > largest:
            raise reader.error(
                f"samples from {values.low} to {values.high}, expected {least} to {largest} at most"
            )
    reader.finish()
    if sorted(channel.number for channel in found) != list(range(channels)):
        raise reader.error(f"the channels are not 0 to {channels - 1}")
    head = Head(side, group, tuple(found))
    _check_roles(reader, head)
    return head


def _read_channel(reader: Reader, earlier: list[Channel], frames: int) -> Channel:
    number, flags = reader.varint("channel"), reader.u8("flags of a channel")
    count, before, phased = flags & 3, bool(flags & _BEFORE), bool(flags & _PHASED)
    if count + before > MAX_REFERENCES or (before and frames == 1):
        raise reader.error(f"flags {flags} of a channel are not allowed")
    references = tuple(reader.varint("reference") for _ in range(count))
    if len(set(references)) < count or any(
        place >= len(earlier) or earlier[place].values.top == 0 for place in references
    ):
        raise reader.error(f"references {list(references)} of channel {len(earlier)} are not allowed")
    values = _read_values(reader, earlier[-1].values if earlier else None)
    if values.top == 0 and flags:
        raise reader.error(f"flags {flags} of a constant channel, expected 0")
    return Channel(number, values, references, before, phased, flags >> 4)


def _read_values(reader: Reader, before: Values | None) -> Values:
    told = reader.u8("kind of values")
    if told == _SAME and before is not None:
        return before
    kind, is_negative = told & ~_NEGATIVE, bool(told & _NEGATIVE)
    if kind not in (_RANGE, _LIST):
        raise reader.error(f"values of kind {told} are not defined here")
    size, top = reader.varint("least value"), reader.varint("number of values")
    low = -1 - size if is_negative else size
    if top > MAX_TOP:
        raise reader.error(f"{top} is the largest number of a value, expected at most {MAX_TOP}")
    if kind == _RANGE:
        return Values(low, top)
    length, packed = reader.varint("bytes of gaps"), reader.varint("bytes of packed gaps")
    if length > _MAX_GAP_BYTES * top:
        raise reader.error(f"{length} bytes of gaps between {top + 1} values")
    at = reader.offset
    gaps = Reader(inflate(Reader(reader.take(packed, "gaps"), "gaps", at), length), "gaps", at)
    steps = [gaps.varint("gap") + 1 for _ in range(top)]
    gaps.finish()
    if sum(steps) >= MAX_SPAN or not -MAX_SPAN <= low <= low + sum(steps) < MAX_SPAN:
        raise reader.error("the values lie too far apart")
    return Values(low, top, low + np.cumsum([0, *steps], dtype=np.int64))


def _check_roles(reader: Reader, head: Head) -> None:
    """Raise FormatError unless all planes of a last layer have as many references."""
    kinds: dict[int, int] = {}
    for row in head.planes(2)[0].tolist():
        kind = sum(reference >= 0 for reference in row[:MAX_REFERENCES])
        if kinds.setdefault(row[2], kind) != kind:
            raise reader.error(f"planes of role {row[2]} have different numbers of references")
