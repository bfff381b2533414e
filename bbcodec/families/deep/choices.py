# SPDX-License-Identifier: Apache-2.0
"""What an encoder chooses for an array: the values of channels, their order and references, phases.

Everything here is a pure function of the samples and the model.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.deep import codec
from bbcodec.families.deep.head import MAX_REFERENCES, MAX_TOP, ROLES, Channel, Head, Values
from bbcodec.families.deep.model import DeepModel
from bbcodec.jobs import SERIAL
from bbcodec.picture.raster import bands

__all__ = ["frames_are_alike", "head_for", "values_of"]

Array = NDArray[Any]

_RGB_ORDER: Final = (1, 0, 2)
_COUNTED: Final = 1 << 20  # from the least to the largest value: so many are counted in a table
_GAIN_SHARE: Final = 0.6  # of what gaps seem to cost: the last layer learns some of them
_NEIGHBOURS: Final = 8  # used values on either side that say how dense they are
_BITS_OF_LIST: Final = 200  # besides its gaps
_CROP: Final = 96  # pixels; phases are tried on a crop
_PHASED_BELOW: Final = 0.98  # of the bits without phases
_LOOK: Final = 160  # pixels of the crop where channels and frames are compared
_TRIED: Final = 12  # earlier channels
_ALIKE: Final = 0.15
_SLOPE_BITS: Final = 40
_LARGEST_SLOPE: Final = 16
_STEP: Final = 1 / 1024  # of logarithms, whose last bits may differ from machine to machine
_KINDS: Final = 6  # of channels: none to two references, with and without the frame before
_MIN_FOR_PHASES: Final = 128  # pixels of the shorter side


def head_for(array: Array, model: DeepModel, *, colours: int, group: int = 1) -> Head:
    """Return how an array is coded.

    Parameters
    ----------
    array : integers [T, C, H, W]
    model : DeepModel
    colours : the first channels; 3 are R, G, B. The others (alpha) have no references.
    group : frames of a group.
    """
    count = array.shape[1]
    values = [values_of(array[:, c]) for c in range(count)]
    order = [*(_RGB_ORDER if colours == len(_RGB_ORDER) else range(colours)), *range(colours, count)]
    look = _Look(array, group)
    channels: list[Channel] = []
    for place, number in enumerate(order):
        if values[number].top == 0:
            channels.append(Channel(number, values[number]))
            continue
        usable = [p for p in range(place) if values[order[p]].top and number < colours]
        references, before = look.references(number, [(p, order[p]) for p in usable])
        kind = len(references) + MAX_REFERENCES * before
        role = _role(kind, channels)
        channels.append(Channel(number, values[number], references, before, False, role))
    head = Head(model.base.block, group, tuple(channels))
    return _with_phases(array, head, model)


def _role(kind: int, channels: list[Channel]) -> int:
    """Return the role of the next channel: its own one, or one of a channel with the same references."""
    used = {channel.role for channel in channels if channel.values.top}
    free = next((role for role in range(ROLES) if role not in used), None)
    like = [
        c.role for c in channels if c.values.top and len(c.references) + MAX_REFERENCES * c.before == kind
    ]
    # The last ones are kept for kinds that no channel has yet.
    if free is not None and (not like or free < ROLES - _KINDS):
        return free
    return like[-1]


class _Look:
    """A quick look at an array: how much channels and frames have in common."""

    def __init__(self, array: Array, group: int) -> None:
        self.array, frames = array, len(array)
        self.frame = frames // 2
        self.has_before = frames > 1 and group > 1 and self.frame > 0

    def references(self, number: int, earlier: list[tuple[int, int]]) -> tuple[tuple[int, ...], bool]:
        """Return the references of a channel: earlier channels, and whether the frame before is one.

        Parameters
        ----------
        number : of the channel.
        earlier : place in the coding order and number of each channel that may be one.
        """
        own = self._slopes(number, self.frame)
        is_before = self.has_before and _alike(own, self._slopes(number, self.frame - 1)) > _ALIKE
        found = [(_alike(own, self._slopes(other, self.frame)), place) for place, other in earlier[-_TRIED:]]
        best = sorted((pair for pair in found if pair[0] > _ALIKE), reverse=True)
        chosen = sorted(place for _, place in best[: MAX_REFERENCES - is_before])
        return tuple(chosen), is_before

    def _slopes(self, number: int, frame: int) -> NDArray[np.int64]:
        """Return differences of neighbours, in the middle of a plane, in eighths of their mean size."""
        height, width = self.array.shape[2:]
        rows = slice(max(0, (height - _LOOK) // 2), (height + _LOOK) // 2)
        columns = slice(max(0, (width - _LOOK) // 2), (width + _LOOK) // 2)
        crop = self.array[frame, number, rows, columns].astype(np.int64)
        found: NDArray[np.int64] = np.concatenate(
            [np.diff(crop, axis=0).ravel(), np.diff(crop, axis=1).ravel()]
        )
        if not len(found):
            return found
        found >>= max(0, int(np.abs(found).max()).bit_length() - _SLOPE_BITS)
        mean = 1 + int(np.abs(found).sum()) // len(found)
        # Differences far beyond the others count less.
        scaled: NDArray[np.int64] = np.clip(8 * found // mean, -_LARGEST_SLOPE, _LARGEST_SLOPE)
        return scaled


def frames_are_alike(array: Array) -> bool:
    """Return whether frames of an array ``[T, C, H, W]`` are like the ones before them."""
    look = _Look(array, len(array))
    return look.has_before and look.references(0, [])[1]


def _alike(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return how alike two sets of differences are, 0 to 1. Sums of integers are the same everywhere."""
    size = int((a * a).sum()) * int((b * b).sum())
    return abs(int((a * b).sum())) / math.sqrt(size) if size else 0.0


def values_of(samples: Array) -> Values:
    """Return the values of the samples of a channel: a range, or a list where gaps cost more than it does.

    Raises
    ------
    ValueError
        There are more than 65,536 values, and they span more.
    """
    low, high = int(samples.min()), int(samples.max())
    if high - low > _COUNTED:
        used, counts = np.unique(samples, return_counts=True)
        used, counts = used.astype(np.int64), counts.astype(np.int64)
    else:
        found = np.zeros(high - low + 1, np.int64)
        flat = samples.reshape(-1)
        for part in bands(len(flat), 1):  # 64 bits of all samples at once would be much
            found += np.bincount(flat[part].astype(np.int64) - low, minlength=len(found))
        used = np.flatnonzero(found) + low
        counts = found[used - low]
    if len(used) == high - low + 1:
        return Values(low, high - low)
    listed = Values(low, len(used) - 1, used)
    if high - low > MAX_TOP:
        if len(used) > MAX_TOP + 1:
            raise ValueError(f"{len(used)} values from {low} to {high}")
        return listed
    return (
        listed if _cost_of_gaps(used, counts) * _GAIN_SHARE > _cost_of_list(used) else Values(low, high - low)
    )


def _cost_of_gaps(used: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Estimate the bits that unused values cost: by how many there are around each sample's value."""
    n = len(used)
    at = np.arange(n)
    first, last = np.maximum(at - _NEIGHBOURS, 0), np.minimum(at + _NEIGHBOURS, n - 1)
    span, inside = used[last] - used[first] + 1, last - first + 1
    bits = np.rint(np.log2(span / inside) / _STEP).astype(np.int64)
    return int((counts * bits).sum()) * _STEP


def _cost_of_list(used: NDArray[np.int64]) -> float:
    """Estimate the bits of a list of values: the entropy of its gaps."""
    counts = np.unique(np.diff(used), return_counts=True)[1]
    bits = np.rint(-np.log2(counts / counts.sum()) / _STEP).astype(np.int64)
    entropy = int((counts * bits).sum()) * _STEP
    return _BITS_OF_LIST + 1.1 * entropy + 16 * math.log2(len(counts) + 1)


def _with_phases(array: Array, head: Head, model: DeepModel) -> Head:
    """Return the head with phases told apart where that pays on a crop: in pictures that were enlarged."""
    frames, _, height, width = array.shape
    channel = next((channel for channel in head.channels if channel.values.top), None)
    if min(height, width) < _MIN_FOR_PHASES or channel is None:
        return head
    rows = slice((height - _CROP) // 2, (height + _CROP) // 2)
    columns = slice((width - _CROP) // 2, (width + _CROP) // 2)
    crop = array[frames // 2, channel.number, rows, columns].astype(np.int64)
    numbers = channel.values.numbers(crop)[None]
    bits = []
    for phased in (0, 1):
        planes = np.array([(-1, -1, 0, phased, channel.values.top)], np.int64)
        bits.append(codec.encode(numbers, planes, model, SERIAL).bits)
    if bits[1] > _PHASED_BELOW * bits[0]:
        return head
    phased_channels = tuple(
        Channel(c.number, c.values, c.references, c.before, bool(c.values.top), c.role) for c in head.channels
    )
    return Head(head.side, head.group, phased_channels)
