# SPDX-License-Identifier: Apache-2.0
"""Pictures of every mode that a universal model codes, and files of such models that are to be refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import loglinear_cases
import numpy as np
from numpy.typing import NDArray

import bbcodec
from bbcodec import container
from bbcodec.bbfile.samples_sections import pack_chains
from bbcodec.container import Section
from bbcodec.families import learned
from bbcodec.modelfile import Model
from bbcodec.picture.picture import MODES, Palette, Picture

CODED = ("1", "L", "P", "LA", "RGB", "RGBA")  # modes
ENTRIES = np.random.default_rng(8).integers(0, 256, (9, 4), np.uint8)  # of palettes, all different
COLOURS = ENTRIES[:, :3].tobytes()
OPAQUE = Palette(COLOURS)
ALPHAS = Palette(COLOURS, "RGB", ENTRIES[:4, 3].tobytes())
PALETTES = [OPAQUE, ALPHAS, Palette(COLOURS, "RGB", 2), Palette(ENTRIES.tobytes(), "RGBA")]


def drawn(mode: str, height: int, width: int, palette: Palette = ALPHAS, **look: Any) -> Picture:
    """Return a picture of a mode of at most 8 bits, whose alpha varies; `look` is for `drawing`."""
    look = {"seed": 3, "specks": 0.1} | look
    samples = loglinear_cases.drawing((height, width, MODES[mode].channels), **look)
    samples.flat[-1] ^= 255
    samples = samples if MODES[mode].channels > 1 else samples[..., 0]
    if mode == "P":
        return Picture(samples % np.uint8(9), mode, palette)
    return Picture(samples > 99 if mode == "1" else samples, mode)


def file_of_chains(
    model: Model, mode: str, mask: int, samples: NDArray[np.uint8], palette: bytes = b"", lost: int = 0
) -> bytes:
    """Return a file that holds the chains of samples; its digest is of another picture.

    mask : plane mask of the chains.
    palette : payload of the section of the palette, if there is one.
    lost : number of chains at the end that are left out.
    """
    other = np.zeros((*samples.shape[:2], 3), np.uint8)
    named = container.read(bbcodec.compress(other, method="learned", model=model, embed_model=True))
    chains = learned.encode(samples, model).chains
    sections = [section for section in named.sections if section.kind == container.MODEL]
    sections.append(pack_chains(mask, chains[: len(chains) - lost]))
    sections += [Section(container.PALETTE, palette)] if palette else []
    return container.write(dataclasses.replace(named.header, mode=MODES[mode].code), sections)


def refused(model: Model) -> Iterator[tuple[bytes, str, str]]:
    """Yield files that break a rule of ``CHNS``, with the words of the second decoder and of the package."""
    rgb, rgba = loglinear_cases.drawing((3, 4, 3)), loglinear_cases.drawing((3, 4, 4))
    gray = np.full((3, 4, 1), 254, np.uint8)
    painted, mask = "palette of a painted", "plane mask"
    for mode, planes, samples, palette, second, package in (
        ("RGB", 3, rgb, b"", "mask", mask),
        ("RGB", 3, rgba, b"", "mask", mask),
        ("RGBA", 2, gray, b"", "mask", mask),
        ("1", 3, rgba, b"", "mask", mask),
        ("P", 3, rgba, b"\0\1\2\3", "mask", mask),
        ("RGBA", 3, rgb, b"", "as many chains", "as many of alpha"),
        ("1", 1, gray, b"", "bilevel", "not all 0 or 255"),
        ("P", 1, rgb, b"\0\1\2\3", "no entry has", "not in its palette"),
        ("P", 1, rgb, b"\0", painted, "does not suit"),
        ("P", 1, rgb, b"\0\1\2\3\4", painted, "does not suit"),
        ("P", 1, rgb, bytes([1 | 1 << 1, 0]) + bytes(4), "RGBA entries with transparency", "does not suit"),
        ("P", 1, rgb, bytes([5 << 4 | 1, 0]), "without their alpha", "order of colours"),
        ("P", 1, rgb, bytes([5 << 4 | 2, 0, 0]), "without their alpha", "order of colours"),
        ("P", 1, rgb, b"", "palette and mode", "PLTE is missing"),
    ):
        yield file_of_chains(model, mode, planes, samples, palette), second, package
    yield file_of_chains(model, "LA", 3, rgba[..., :2], lost=1), "as many chains", "as many of alpha"
