# SPDX-License-Identifier: Apache-2.0
"""One picture on its way into sections: classic, learned, or the better of the two.

The container around the sections, and the check of the result, are `bbcodec.api`'s business.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bbcodec import classic, container
from bbcodec.bbfile.choose import choose
from bbcodec.bbfile.palette_section import pack_palette, paint
from bbcodec.container import Section, varint
from bbcodec.errors import OptionError
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, model_bytes
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture import planes
from bbcodec.picture.picture import Mode, Palette, Picture

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["Encoder", "Fitting", "Progress", "Stop"]

Progress: TypeAlias = Callable[[int, int], None]
Stop: TypeAlias = AbstractContextManager[Callable[[], bool]]

# A learned result above this part of the extrapolated WebP size is "poor": the classic method is tried after
# all.
_POOR = 0.97
# So it is above this part of the quick WebP size of the whole picture, which knows of repeats that the crops
# miss.
_POOR_QUICK = 0.8
# Bytes of colours from which the palette (at most 1 KiB) is not coded as their order: it does not weigh, and
# looking for the colours of a large picture takes time.
_ORDERED = 2**17
# Bytes around the payload of a section: type, length and CRC-32, and what others' lengths may grow by.
_AROUND = 12


@dataclass(frozen=True)
class Fitting:
    """How a model is to be fitted to a picture: nominal seconds, a seed, and what asks to stop."""

    seconds: float
    seed: int = 0
    stop: Stop | None = None

    def fitter(self, model: Model) -> ModuleType:
        """Return the module that fits.

        Raises
        ------
        OptionError
            The time or the model does not do, or something that fitting needs is not installed.
        """
        if not 0 < self.seconds < math.inf:
            raise OptionError(f"fit is {self.seconds} seconds, expected more than 0")
        if model.family != "local":
            raise OptionError(f"a model of the family {model.family!r} cannot be fitted, only one of 'local'")
        try:
            importlib.import_module("torch")
        except ModuleNotFoundError:
            raise OptionError("fitting needs PyTorch: pip install 'bbcodec[train]'") from None
        from bbcodec import backends

        if "native" not in backends.available():
            raise OptionError("fitting needs the C++ module, which is not built here")
        return importlib.import_module("bbcodec.models.local.fit")

    def section(self, image: NDArray[np.uint8], model: Model, progress: Progress | None) -> Section | None:
        """Fit the model to samples [H, W, C]; None if nothing was found that pays."""
        fitter = self.fitter(model)
        with self.stop or nullcontext() as stop:
            found = fitter.fit(image, model, self.seconds, seed=self.seed, progress=progress, stop=stop)
        return None if found.trivial else Section(container.FITTED, found.pack())


@dataclass
class Encoder:
    """One picture on its way into sections."""

    picture: Picture
    mode: Mode
    model: ModelLike
    embed_model: bool
    threads: int
    backend: str | None
    progress: Progress | None
    loaded: Model | None = None
    fitting: Fitting | None = None

    def classic(self, mask: int = 0) -> list[Section]:
        """Code the planes of a mask (all by default) with the classic method."""
        if self.picture.palette is not None:
            return self._palette_picture(self.picture.palette)
        mask = mask or planes.every(self.mode)
        payload = classic.encode(planes.select(self.picture.pixels, mask, self.mode), threads=self.threads)
        return [Section(container.CLASSIC, bytes([mask]) + payload)]

    def _palette_picture(self, palette: Palette) -> list[Section]:
        """Code a palette and its indices, or the colours and how the palette orders them if that is less.

        The colours are what a WebP file would hold, so that these sections are never much larger than one.
        """
        pixels = self.picture.pixels
        found = [
            Section(container.PALETTE, pack_palette(palette)),
            Section(container.CLASSIC, bytes([planes.COLOUR]) + classic.encode(pixels, threads=self.threads)),
        ]
        colours = paint(palette, pixels)
        if colours is None:
            return found
        payload = classic.encode_painted(colours, threads=self.threads)
        painted = [
            Section(container.PALETTE, pack_palette(palette, pixels if len(payload) < _ORDERED else None)),
            Section(container.CLASSIC, bytes([planes.COLOUR]) + payload),
        ]
        return min(found, painted, key=_size)

    def learned(self) -> list[Section]:
        """Code the colour samples (their high bytes) with the model, the rest with the classic method."""
        from bbcodec.families import family

        model = self.model_at_hand()
        colours = planes.select(self.picture.pixels, planes.COLOUR, self.mode)
        coded = family.encode(
            colours, model, threads=self.threads, backend=self.backend, progress=self.progress
        )
        changes: list[Section] = []
        if self.fitting is not None and (fitted := self.fitting.section(colours, model, self.progress)):
            again = family.encode(
                colours,
                model,
                threads=self.threads,
                backend=self.backend,
                progress=self.progress,
                fitted=fitted,
            )
            if _total(again.chains) + len(fitted.payload) + _AROUND < _total(coded.chains):
                coded, changes = again, [fitted]
        stored = bytes.fromhex(model.id) + (model_bytes(self.model, model) if self.embed_model else b"")
        lengths = b"".join(varint(len(chain)) for chain in coded.chains)
        head = bytes([planes.COLOUR]) + varint(len(coded.chains)) + lengths
        payload = b"".join([head, *coded.chains])  # in one go: it may be large
        sections = [Section(container.MODEL, stored), *changes, Section(container.CHAINS, payload)]
        every = planes.every(self.mode)
        for mask in (planes.COLOUR_LOW, planes.ALPHA | planes.ALPHA_LOW):
            if mask & every:
                sections += self.classic(mask & every)
        return sections

    def model_at_hand(self) -> Model:
        """Return the model, loaded when it is first needed."""
        self.loaded = self.loaded or find_model(self.model)
        return self.loaded

    def auto(self) -> list[Section]:
        """Code with the method that the statistics favour; with both where they do not tell.

        Of samples of 16 bits they are those of the high bytes, and tell nothing of the low ones.
        """
        from bbcodec.families import family

        if self.model != DEFAULT_MODEL:
            self.model_at_hand()  # a wrong name is an error, whatever the picture
        colours = planes.select(self.picture.pixels, planes.COLOUR, self.mode)
        choice = choose(
            colours, lambda crop: family.estimate_bits(crop, self.model_at_hand(), backend=self.backend)
        )
        if not choice.learned:
            return self.classic()
        found = self.learned()
        size = next(len(section.payload) for section in found if section.kind == container.CHAINS)
        if (
            choice.classic
            or self.mode.dtype == "uint16"
            or 8 * size > _POOR * choice.webp_bits
            or size > _POOR_QUICK * classic.webp_size(colours, quick=True, threads=self.threads)
        ):
            found = min(self.classic(), found, key=_size)
        return found


def _total(chains: Sequence[bytes]) -> int:
    return sum(map(len, chains))


def _size(sections: list[Section]) -> int:
    return sum(len(section.payload) for section in sections)
