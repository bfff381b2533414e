# SPDX-License-Identifier: Apache-2.0
"""The numba implementation, compiled at first use and cached.

`bbcodec.families.local.reference` has the meaning.

Importing this package imports numba (half a second): only `bbcodec.families.local.codec` does so. One thread
computes a group, without the GIL, so that several groups run at once. The loops run over chunks of sixteen
lanes, which are vectors (`vectors`), in memory that `layout` describes and fills; all meet in `walk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words
from bbcodec.errors import MessageUnderflow
from bbcodec.families.local.jit import layout, walk
from bbcodec.families.local.jit.layout import Group, Scratch, Shapes, Side, Tables
from bbcodec.families.local.jit.vectors import View
from bbcodec.families.local.model import STATISTICS, LocalModel
from bbcodec.families.local.order import CHANNELS, LANES
from bbcodec.families.local.reference import to_blocks, to_planes

Pixels = NDArray[np.uint8]
Statistics = NDArray[np.int64]

_NO_WORDS = np.empty(0, np.uint32)


def plan(
    blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Start and frequency of every sample in decoding order; as in `bbcodec.families.local.reference`."""
    planes = to_planes(blocks).astype(np.uint8)
    group = layout.group_of([block.shape[:2] for block in blocks], planes, model, side)
    start, freq = np.empty((2, planes.size), np.uint32)
    _run(model, group, layout.PLAN, start=start, freq=freq)
    return start, freq


def decode(
    head: Head,
    words: Words,
    shapes: Shapes,
    channels: int,
    model: LocalModel,
    side: Side = None,
    threads: int = 1,
) -> tuple[list[Pixels], Head, int, Statistics | None]:
    """Blocks, head, how many words were taken, statistics; as in `bbcodec.families.local.reference`."""
    if head.shape != (LANES,):
        raise ValueError(f"expected a head of {LANES} lanes, got shape {head.shape}")
    if channels not in CHANNELS:
        raise ValueError(f"a block has 1 or 3 channels, got {channels}")
    planes = np.zeros((channels, sum(h * w for h, w in shapes)), np.uint8)
    group = layout.group_of(shapes, planes, model, side, model.latents is not None)
    head = np.array(head)
    used = _run(model, group, layout.DECODE, head, np.ascontiguousarray(words))
    if used < 0:
        raise MessageUnderflow("the message ends before the last sample")
    blocks = to_blocks(planes.astype(np.int64), shapes)
    return blocks, head, used, _statistics(group) if model.latents else None


def survey(blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
    """Statistics of every block; as in `bbcodec.families.local.reference`."""
    planes = to_planes(blocks).astype(np.uint8)
    group = layout.group_of([block.shape[:2] for block in blocks], planes, model, None, True)
    _run(model, group, layout.SURVEY)
    return _statistics(group)


def _run(
    model: LocalModel,
    group: Group,
    mode: int,
    head: Head | None = None,
    words: Words = _NO_WORDS,
    start: NDArray[np.uint32] = _NO_WORDS,
    freq: NDArray[np.uint32] = _NO_WORDS,
) -> int:
    head = np.zeros(LANES, np.uint64) if head is None else head
    model_views = Tables(*_views(layout.tables_of(model)))
    group_views, scratch = Group(*_views(group)), Scratch(*_views(layout.scratch_of(model)))
    message = View(head), View(words), len(words)
    return int(walk.run(model_views, group_views, scratch, mode, *message, View(start), View(freq)))


def _views(arrays: Sequence[Any]) -> list[Any]:
    return [View(value) if isinstance(value, np.ndarray) else value for value in arrays]


def _statistics(group: Group) -> Statistics:
    """int64 [B, 441]: a gray group has nothing to say of two channels."""
    found = np.zeros((group.blocks, STATISTICS), np.int64)
    found[:, : group.statistics.shape[1]] = group.statistics
    return found
