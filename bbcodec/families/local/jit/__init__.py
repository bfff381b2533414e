# SPDX-License-Identifier: Apache-2.0
"""The numba implementation, compiled at first use and cached.

`bbcodec.families.local.reference` has the meaning, and modules here are named after what they compute there.
Importing this package imports numba (half a second): only `bbcodec.families.local.codec` does so. One thread
computes a group, without the GIL, so that several groups run at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words
from bbcodec.errors import MessageUnderflow
from bbcodec.families.local.jit import walk
from bbcodec.families.local.jit.state import Group, group_of, tables_of
from bbcodec.families.local.model import STATISTICS, LocalModel
from bbcodec.families.local.order import CHANNELS, LANES
from bbcodec.families.local.reference import Shapes, Side, to_blocks, to_planes

Pixels = NDArray[np.uint8]
Statistics = NDArray[np.int64]

_NONE = np.empty(0, np.uint32)
_NO_HEAD = np.zeros(LANES, np.uint64)


def plan(
    blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Start and frequency of every sample in decoding order; as in `bbcodec.families.local.reference`."""
    planes = to_planes(blocks)
    group = group_of([block.shape[:2] for block in blocks], planes, model, side)
    start, freq = np.empty((2, planes.size), np.uint32)
    walk.run(tables_of(model), group, walk.PLAN, _NO_HEAD, _NONE, start, freq)
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
    planes = np.zeros((channels, sum(h * w for h, w in shapes)), np.int64)
    group = group_of(shapes, planes, model, side, model.latents is not None)
    head, words = np.array(head), np.array(words)
    used = walk.run(tables_of(model), group, walk.DECODE, head, words, _NONE, _NONE)
    if used < 0:
        raise MessageUnderflow("the message ends before the last sample")
    blocks = to_blocks(group.samples[:, :-1].astype(np.int64), shapes)
    return blocks, head, int(used), _statistics(group) if model.latents else None


def survey(blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
    """Statistics of every block; as in `bbcodec.families.local.reference`."""
    group = group_of([block.shape[:2] for block in blocks], to_planes(blocks), model, None, True)
    walk.run(tables_of(model), group, walk.SURVEY, _NO_HEAD, _NONE, _NONE, _NONE)
    return _statistics(group)


def _statistics(group: Group) -> Statistics:
    """int64 [B, 441]: a gray group has nothing to say of two channels."""
    flat = group.statistics.reshape(len(group.blocks), -1)
    return np.pad(flat, ((0, 0), (0, STATISTICS - flat.shape[1])))
