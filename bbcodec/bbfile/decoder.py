# SPDX-License-Identifier: Apache-2.0
"""Decode a ``.bb`` file into a picture with palette and metadata, and verify the checksum of the pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec import classic, container
from bbcodec.bbfile import deep_samples, learned_samples, memory, metadata_sections
from bbcodec.bbfile.palette_section import channels, unpack_palette, unpaint
from bbcodec.bbfile.parts import mode_of, parts_of
from bbcodec.bbfile.samples_sections import unpack_chains
from bbcodec.container import Buffer, Container, Limits, Section
from bbcodec.errors import FormatError
from bbcodec.families import learned
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import ModelLike, model_for
from bbcodec.picture import planes
from bbcodec.picture.picture import Mode, Palette, Picture, digest
from bbcodec.picture.region import Region, Window

__all__ = ["decode"]


def decode(
    data: Buffer,
    execution: Execution,
    *,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    region: Region | None = None,
) -> Picture:
    """Return the picture of a ``.bb`` file: pixels, mode, palette and metadata.

    Parameters
    ----------
    data : a complete file.
    execution : threads, backend and progress; the picture does not depend on them.
    limits : limits of pixels, metadata and memory.
    model : a model to use besides the installed ones, if the file names it.
    region : (x, y, width, height) in pixels of the part to return. The checksum of the pixels, which is over
        the whole picture, is not verified then.

    Raises
    ------
    FormatError, LimitError, ModelMissingError
        As for `bbcodec.decompress`.
    """
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    mode = mode_of(parsed.header)
    memory.check(parsed.header, mode, memoryview(data).nbytes, bounds, execution.workers)
    height, width = parsed.header.height, parsed.header.width
    window = Window.of(region, height, width) if region is not None else None
    # The order of a palette may depend on the colours of the whole picture: decode all of it.
    decoded = None if mode.name == "P" else window
    pixels, palette = _Decoder(parsed, mode, execution, model, decoded).run()
    kept = metadata_sections.unpack(parsed.sections, mode.name, bounds)
    picture = Picture(pixels, mode.name, palette, kept, axis=bool(parsed.header.flags & 1))
    if decoded is not None:
        return picture
    found = digest(picture)
    if found != parsed.header.digest:
        raise FormatError(
            f"the decoded picture has checksum {found.hex()}, the header says {parsed.header.digest.hex()}"
        )
    return picture if window is None else replace(picture, pixels=pixels[window.place])


class _Decoder:
    """Decode the sections with samples of one file into pixels."""

    def __init__(
        self,
        parsed: Container,
        mode: Mode,
        execution: Execution,
        model: ModelLike | None,
        window: Window | None,
    ) -> None:
        self.parsed, self.mode, self.execution = parsed, mode, execution
        self.given, self.window = model, window
        self.height, self.width = parsed.header.height, parsed.header.width
        self.palette: Palette | None = None

    def run(self) -> tuple[NDArray[Any], Palette | None]:
        """Return the pixels, of the window if one is set, and the palette."""
        parts = parts_of(self.parsed, self.mode)
        stored = self.parsed.one(container.PALETTE)
        size = (self.height, self.width) if self.window is None else (self.window.height, self.window.width)
        shape = self.mode.shape(*size)
        pixels: NDArray[Any] | None = None
        for section, mask in parts:
            samples = self._samples(section, mask, stored)
            if len(parts) == 1:
                pixels = samples.reshape(shape)
            else:
                pixels = np.zeros(shape, self.mode.dtype) if pixels is None else pixels
                planes.place(pixels, samples, mask, self.mode)
        assert pixels is not None  # parts_of returns at least one section
        if stored is not None and self.palette is None:
            self.palette = unpack_palette(stored)
        return pixels, self.palette

    def _samples(self, section: Section, mask: int, stored: Section | None) -> NDArray[Any]:
        """Decode the samples of one section, and the palette if the section determines it."""
        place = planes.shape(mask, self.mode, self.height, self.width)
        assert place is not None  # parts_of has checked every mask
        if section.kind == container.CHAINS and deep_samples.is_deep(mask):
            model = model_for(self.parsed, self.given)
            size = (self.height, self.width)
            return deep_samples.decode(section, self.mode, *size, model, self.execution, self.window)
        if section.kind == container.CHAINS:
            coded = learned.decode(
                unpack_chains(section),
                self.height,
                self.width,
                learned_samples.channels(mask, self.mode),
                model_for(self.parsed, self.given),
                self.execution,
                window=self.window,
                fitted=self.parsed.one(container.FITTED),
            )
            samples, self.palette = learned_samples.restored(coded, self.mode, stored)
            return samples
        body, name, offset = section.payload[1:], f"section {section.kind}", section.offset + 1
        if stored is not None and body[0] == classic.PAINTED:
            shape = (self.height, self.width, channels(stored))
            painted = classic.decode_painted(body, shape, name=name, offset=offset)
            self.palette = unpack_palette(stored, painted)
            return unpaint(painted, self.palette)
        return classic.decode(body, *place, name=name, offset=offset, window=self.window)
