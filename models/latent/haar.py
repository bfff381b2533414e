# SPDX-License-Identifier: Apache-2.0
"""Initial weights that make an untrained network a Haar pyramid.

A random network needs thousands of steps to learn that latents can carry the picture. Here, the first twelve
channels of every stream start as the Haar coefficients of their scale: 9 details and 3 averages, in the
colour basis G, R - G, B - G. A latent starts as the part of its coefficient that coarser scales do not
predict. The head starts as the inverse transform. Everything stays trainable; the other channels start at
random.
"""

from __future__ import annotations

import torch

from .layers import PlainConv

CHANNELS = 12  # 0-8: details (three orientations x three colours), 9-11: averages
ORIENTATIONS = (
    torch.tensor(  # rows: details LH, HL, HH, then the average; columns: the four pixels (dy * 2 + dx)
        [[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    )
)
COLOURS = torch.tensor([[0.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])  # G, R - G, B - G of R, G, B
COLOURS_INVERSE = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])  # back to R, G, B


@torch.no_grad()
def _centre(conv: PlainConv, outputs: slice, matrix: torch.Tensor) -> None:
    """Set the output rows `outputs` of `conv` to a 1x1 matrix; other taps become 0."""
    conv.weight[outputs] = 0
    conv.weight[outputs, : matrix.shape[1], conv.kernel // 2, conv.kernel // 2] = matrix


def analysis(conv: PlainConv, pixels: bool) -> None:
    """Make a convolution compute coefficients from its space-to-depth input.

    The input is RGB `pixels`, or else a stream whose channels 9-11 are averages.
    """
    depth = conv.weight.shape[1] // 4
    matrix = torch.zeros(CHANNELS, 4 * depth)
    for o in range(4):
        for p in range(4):
            block = COLOURS if pixels else torch.eye(3)
            first = p * depth + (0 if pixels else 9)
            matrix[3 * o : 3 * o + 3, first : first + 3] = ORIENTATIONS[o, p] / 4 * block
    _centre(conv, slice(0, CHANNELS), matrix)


def synthesis(conv: PlainConv) -> None:
    """Make a convolution compute averages of the finer scale, channels 9-11 of its depth-to-space output."""
    depth = conv.weight.shape[0] // 4
    for p in range(4):
        matrix = torch.cat([ORIENTATIONS[o, p] * torch.eye(3) for o in range(4)], dim=1)
        _centre(conv, slice(p * depth, p * depth + 9), torch.zeros(9, CHANNELS))
        _centre(conv, slice(p * depth + 9, p * depth + CHANNELS), matrix)


def pixel_means(conv: PlainConv) -> None:
    """Make a convolution compute means of four pixels (G, R, B); their other parameters are constant."""
    _centre(conv, slice(0, 36), torch.zeros(36, CHANNELS))
    for p in range(4):
        rgb = torch.cat([ORIENTATIONS[o, p] * COLOURS_INVERSE for o in range(4)], dim=1)
        _centre(conv, slice(9 * p, 9 * p + 3), rgb[[1, 0, 2]])


def copy(conv: PlainConv, first: int, sign: float = 1.0) -> None:
    """Make output rows from `first` on copies of the inputs from 0 on, as many as there are, at most 12."""
    count = min(CHANNELS, conv.weight.shape[1], conv.weight.shape[0] - first)
    _centre(conv, slice(first, first + count), sign * torch.eye(count))


def silence(conv: PlainConv, first: int, count: int) -> None:
    """Make `count` output rows from `first` on equal to their bias."""
    _centre(conv, slice(first, first + count), torch.zeros(count, 1))
