# SPDX-License-Identifier: Apache-2.0
"""Write a picture as a ``.bb`` file: with the classic method, with a model, or with the better of the two.

`bbcodec.bbfile.choose` holds the rules that decide between them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bbcodec import backends, classic, container
from bbcodec.bbfile import choose, metadata_sections, pieces, recovery_section
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.palette_section import pack_palette, paint
from bbcodec.bbfile.samples_sections import pack_chains, pack_classic
from bbcodec.container import Header, Limits, Section
from bbcodec.container.recovery import check_percent
from bbcodec.errors import BBCodecError, OptionError
from bbcodec.families import learned
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution, Progress
from bbcodec.modelfile import Model
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, model_bytes, model_payload
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture import planes
from bbcodec.picture.picture import MODES, Palette, Picture, digest

__all__ = ["Fitting", "Method", "Options", "Stop", "encode", "verify"]

Method: TypeAlias = Literal["auto", "learned", "classic"]
Stop: TypeAlias = AbstractContextManager[Callable[[], bool]]

_NOT_LEARNED: Final = ("1", "P")  # modes that no model codes


@dataclass(frozen=True)
class Fitting:
    """How to fit a model to a picture.

    Attributes
    ----------
    seconds : nominal seconds, of one core of 2.5 GHz.
    seed : seed of the fit.
    stop : context manager, optional; see `bbcodec.compress`.
    """

    seconds: float
    seed: int = 0
    stop: Stop | None = None

    def fitter(self, model: Model) -> ModuleType:
        """Return the module that fits the model.

        Raises
        ------
        OptionError
            The seconds are out of range, the model cannot be fitted, or PyTorch or the C++ module is missing.
        """
        if not 0 < self.seconds < math.inf:
            raise OptionError(f"fit must be greater than 0 seconds (got {self.seconds})")
        module = family_of(model).fitter
        if module is None:
            raise OptionError(f"models of the family {model.family!r} cannot be fitted to a picture")
        try:
            importlib.import_module("torch")
        except ModuleNotFoundError:
            raise OptionError("fitting needs PyTorch: pip install 'bbcodec[train]'") from None
        if "native" not in backends.available():
            raise OptionError("fitting needs the C++ module, which is not built in this installation")
        return importlib.import_module(module)

    def section(self, image: NDArray[np.uint8], model: Model, progress: Progress | None) -> Section | None:
        """Fit the model to samples ``[H, W, C]``; return the section of the fit, or None without a gain."""
        fitter = self.fitter(model)
        with self.stop or nullcontext() as stop:
            found = fitter.fit(image, model, self.seconds, seed=self.seed, progress=progress, stop=stop)
        return None if found.trivial else Section(container.FITTED, found.pack())


@dataclass(frozen=True)
class Options:
    """How to code a picture.

    Attributes
    ----------
    method : ``learned``, ``classic``, or ``auto`` for the better one.
    model : model of the learned method.
    embed_model : put the model file into the result.
    fitting : fit the model to the picture first; None for no fit.
    recovery : percent of the file's sectors that recovery data can repair; 0 for none.

    Raises
    ------
    OptionError
        The method does not exist, or has no model to fit, or the percentage is out of range.
    """

    method: Method = "auto"
    model: ModelLike = DEFAULT_MODEL
    embed_model: bool = False
    fitting: Fitting | None = None
    recovery: float = 0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise OptionError(f"method is {self.method!r}, expected 'auto', 'learned' or 'classic'")
        if self.fitting is not None and self.method == "classic":
            raise OptionError("method 'classic' has no model to fit")
        if self.recovery:
            check_percent(self.recovery)


def encode(picture: Picture, options: Options, execution: Execution) -> bytes:
    """Return the bytes of the ``.bb`` file of a picture.

    Raises
    ------
    OptionError
        The method or the fit does not suit the picture or the model.
    ModelMissingError, ModelError
        The model is missing or damaged.
    """
    if options.method == "learned" and picture.mode in _NOT_LEARNED:
        raise OptionError(f"method 'learned' cannot code mode {picture.mode}; use 'auto' or 'classic'")
    encoder = _Encoder(picture, options, execution)
    if options.fitting is not None:
        options.fitting.fitter(encoder.model())  # raise errors before the work
    sections = encoder.sections()
    sums = pieces.pack(sections, picture.height, picture.width)
    version = container.VERSION_SUMS if sums else container.VERSION
    if options.recovery:
        version = container.VERSION_RECOVERY
    header = Header(
        encoder.mode.code,
        int(picture.axis),
        picture.width,
        picture.height,
        digest(picture),
        version,
    )
    data = container.write(header, [*sections, *sums, *metadata_sections.pack(picture.metadata)])
    if options.recovery:
        return recovery_section.add(data, check_percent(options.recovery), execution.workers)
    return data


def verify(data: bytes, picture: Picture, options: Options, execution: Execution) -> None:
    """Decode a file, and compare every sample and all metadata with the picture.

    Raises
    ------
    BBCodecError
        The decoded picture differs.
    """
    limits = Limits(max_pixels=picture.width * picture.height, max_metadata=2**62)
    decoded = decode(data, execution, limits=limits, model=options.model)
    if not decoded.same(picture) or decoded.metadata != picture.metadata:
        raise BBCodecError(
            "the compressed picture does not decode to its source; nothing was written; please report it"
        )


class _Encoder:
    """Code one picture into sections."""

    def __init__(self, picture: Picture, options: Options, execution: Execution) -> None:
        self.picture, self.mode = picture, MODES[picture.mode]
        self.options, self.execution = options, execution

    def sections(self) -> list[Section]:
        """Return the sections of the samples, coded with the method of the options."""
        method = self.options.method
        if method == "learned":
            return self.learned()
        if method == "auto" and self.picture.mode not in _NOT_LEARNED:
            return self.auto()
        return self.classic()

    def model(self) -> Model:
        """Return the model. It is loaded at first use and stays loaded for the next picture."""
        return find_model(self.options.model)

    def classic(self, mask: int = 0) -> list[Section]:
        """Code the planes of a mask (all by default) with the classic method."""
        if self.picture.palette is not None:
            return self._palette_picture(self.picture.palette)
        mask = mask or planes.every(self.mode)
        payload = classic.encode(
            planes.select(self.picture.pixels, mask, self.mode), threads=self.execution.threads
        )
        return [pack_classic(mask, payload)]

    def _palette_picture(self, palette: Palette) -> list[Section]:
        """Code a palette with its indices, or the colours with the order of the palette if that is smaller.

        A WebP file would hold the colours, so these sections are never much larger than a WebP file.
        """
        pixels = self.picture.pixels
        found = [
            Section(container.PALETTE, pack_palette(palette)),
            Section(
                container.CLASSIC,
                bytes([planes.COLOUR]) + classic.encode(pixels, threads=self.execution.threads),
            ),
        ]
        colours = paint(palette, pixels)
        if colours is None:
            return found
        payload = classic.encode_painted(colours, threads=self.execution.threads)
        painted = [
            Section(
                container.PALETTE,
                pack_palette(palette, pixels if len(payload) < choose.ORDER_PALETTE_BELOW_BYTES else None),
            ),
            pack_classic(planes.COLOUR, payload),
        ]
        return min(found, painted, key=_size)

    def learned(self) -> list[Section]:
        """Code colour samples (high bytes of 16 bits) with the model, the rest with the classic method."""
        model = self.model()
        colours = planes.select(self.picture.pixels, planes.COLOUR, self.mode)
        coded = learned.encode(colours, model, self.execution)
        changes: list[Section] = []
        fitting = self.options.fitting
        if fitting is not None and (fitted := fitting.section(colours, model, self.execution.progress)):
            again = learned.encode(colours, model, self.execution, fitted=fitted)
            size = _total(again.chains) + len(fitted.payload) + choose.SECTION_OVERHEAD_BYTES
            if size < _total(coded.chains):
                coded, changes = again, [fitted]
        file = model_bytes(self.options.model, model) if self.options.embed_model else b""
        stored = Section(container.MODEL, model_payload(model, file))
        sections = [stored, *changes, pack_chains(planes.COLOUR, coded.chains)]
        every = planes.every(self.mode)
        for mask in (planes.COLOUR_LOW, planes.ALPHA | planes.ALPHA_LOW):
            if mask & every:
                sections += self.classic(mask & every)
        return sections

    def auto(self) -> list[Section]:
        """Code with the method that the statistics favour, or with both if they do not decide.

        For samples of 16 bits the statistics are of the high bytes only, so both methods are compared.
        """
        if self.options.model != DEFAULT_MODEL:
            self.model()  # a wrong name is an error for every picture
        one = self.execution.with_threads(1)
        colours = planes.select(self.picture.pixels, planes.COLOUR, self.mode)
        choice = choose.choose(colours, lambda crop: learned.estimate_bits(crop, self.model(), one))
        if not choice.learned:
            return self.classic()
        found = self.learned()
        size = next(len(section.payload) for section in found if section.kind == container.CHAINS)

        def quick_webp() -> int:
            return classic.webp_size(colours, quick=True, threads=self.execution.threads)

        if self.mode.dtype == "uint16" or choose.must_compare(choice, size, quick_webp):
            found = min(self.classic(), found, key=_size)
        return found


def _total(chains: Sequence[bytes]) -> int:
    return sum(map(len, chains))


def _size(sections: list[Section]) -> int:
    return sum(len(section.payload) for section in sections)
