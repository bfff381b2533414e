# SPDX-License-Identifier: Apache-2.0
"""Latents of whole blocks, by bits-back coding (BB-ANS).

A few numbers for each block (docs/local.md, "Latents") describe how it differs from the average: noise,
sharpness, colours. No neighbourhood shows this at once. Latents are popped with a posterior that reads
statistics of the errors of the block, and pushed with a prior, so they cost only the information in them.
Small pictures gain from latents. In large ones, the learning while coding finds the same information.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Message
from bbcodec.coding.codecs import Codec
from bbcodec.families.latent.pixels import (
    LATENT_CENTRE,
    latent_logistic,
    posterior_parameters,
    prior_parameters,
)
from bbcodec.families.local.codec import Pixels, Shapes, Statistics, group_codec, implementation
from bbcodec.families.local.model import LatentTensors, LocalModel
from bbcodec.jobs import SERIAL, Execution

Integers = NDArray[np.int64]

_ENCODER_LIMIT: Final = 32767  # bound of the inputs and activations of the encoder
_WEIGHT_BITS: Final = 12


def latent_codec(shapes: Shapes, model: LocalModel, execution: Execution = SERIAL) -> Codec:
    """Return the codec of a group of RGB blocks with latents; see `group_codec` for parameters and symbols.

    Raises
    ------
    MessageUnderflow
        When pushing: the message holds fewer bits than popping the latents needs (the *initial bits*).
    """
    assert model.latents is not None
    backend, threads = execution.backend, execution.workers
    tensors, compute = model.latents, implementation(backend)
    mean, log2 = np.split(np.tile(tensors.prior, (len(shapes), 1)), 2, axis=1)
    prior = latent_logistic(*prior_parameters(mean, log2), backend, floor=1)

    def posterior(statistics: Statistics) -> Codec:
        return latent_logistic(*encode(tensors, statistics, shapes), backend, floor=0)

    def pixels(latents: NDArray[np.int32], received: list[Statistics | None] | None = None) -> Codec:
        on_statistics = None if received is None else received.append
        return group_codec(
            shapes, 3, model, execution, side=side(tensors, latents), on_statistics=on_statistics
        )

    def push(message: Message, blocks: Sequence[Pixels], *context: Any) -> tuple[Any, ...]:
        message, latents = posterior(compute.survey(blocks, model, threads)).pop(message)
        (message,) = pixels(latents).push(message, blocks)
        return prior.push(message, latents, *context)

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        received: list[Statistics | None] = []
        message, latents = prior.pop(message)
        message, blocks = pixels(latents, received).pop(message)
        (statistics,) = received
        assert statistics is not None
        (message,) = posterior(statistics).push(message, latents)
        return message, blocks, *context

    return Codec(push, pop)


def encode(
    tensors: LatentTensors, statistics: Statistics, shapes: Shapes
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the posterior of the latents: means in 1/64 step and scale indices, int32 [blocks, K] each.

    Parameters
    ----------
    tensors : tensors of the model.
    statistics : int64 [blocks, 441]
    shapes : (height, width) of the blocks, in pixels.
    """
    area = np.array([h * w for h, w in shapes], np.int64)[:, None]
    root = np.array([isqrt((1 << 32) // (h * w)) for h, w in shapes], np.int64)[:, None]
    excess = ((256 * statistics - tensors.mean.astype(np.int64) * area) * root) >> 16
    inputs = (excess * tensors.scale + (1 << 19)) >> 20
    inputs = np.clip(inputs, -_ENCODER_LIMIT, _ENCODER_LIMIT)
    hidden = np.clip(_layer(inputs, tensors.encoder_w, tensors.encoder_b), 0, _ENCODER_LIMIT)
    outputs = _layer(np.concatenate([inputs, hidden], 1), tensors.posterior_w, tensors.posterior_b)
    mean, log2 = np.split(np.clip(outputs, -(1 << 20), 1 << 20).astype(np.int32), 2, axis=1)
    return posterior_parameters(mean, log2)


def side(tensors: LatentTensors, latents: NDArray[np.int32]) -> list[Integers]:
    """Return the side information [H] of every block, given the latent symbols [blocks, K]."""
    z = latents.astype(np.int64) - LATENT_CENTRE
    return list((z @ tensors.side_w.astype(np.int64) + (1 << 7)) >> 8)


def _layer(x: Integers, w: NDArray[np.int32], b: NDArray[np.int32]) -> Integers:
    half = 1 << (_WEIGHT_BITS - 1)
    result: Integers = (x @ w.astype(np.int64) + b + half) >> _WEIGHT_BITS
    return result
