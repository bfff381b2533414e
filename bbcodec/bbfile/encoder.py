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
from bbcodec.bbfile import choose, deep_samples, learned_samples, metadata_sections, pieces, recovery_section
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.palette_section import is_opaque, pack_palette, paint
from bbcodec.bbfile.samples_sections import pack_chains, pack_classic
from bbcodec.container import Header, Limits, Section
from bbcodec.container.recovery import check_percent
from bbcodec.errors import BBCodecError, OptionError
from bbcodec.families import learned
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution, Progress
from bbcodec.modelfile import Model
from bbcodec.modelfile.registry import (
    DEFAULT_MODEL,
    ModelLike,
    deep_model_of,
    model_bytes,
    model_payload,
)
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture import planes
from bbcodec.picture.picture import MODES, Palette, Picture, digest

__all__ = ["Fitting", "Method", "Options", "Stop", "encode", "verify"]

Method: TypeAlias = Literal["auto", "learned", "classic"]
Stop: TypeAlias = AbstractContextManager[Callable[[], bool]]

_DRAWN: Final = ("1", "P")  # modes that only universal models code


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
        """Return the sections of the samples, coded with the method of the options.

        Raises
        ------
        OptionError
            The method is ``learned``, and the model cannot code the picture.
        """
        method = self.options.method
        if method == "auto" and self.options.model == DEFAULT_MODEL and choose.is_flat(self.picture.pixels):
            return self.classic()
        if method != "classic" and (model := self.deep_model()) is not None:
            return self.deep(model, compare=method == "auto")
        if method == "learned":
            if (samples := self.learnable()) is None:
                raise OptionError(
                    f"method 'learned' cannot code mode {self.picture.mode} with this model, or with two "
                    "equal colours in the palette; use 'auto' or 'classic'"
                )
            return self.learned(samples)
        return self.auto() if method == "auto" else self.classic()

    def model(self) -> Model:
        """Return the model. It is loaded at first use and stays loaded for the next picture."""
        return find_model(self.options.model)

    def deep_model(self) -> Model | None:
        """Return the model that codes whole samples of 16 bits, or None if the picture has none, or a fit.

        Raises
        ------
        OptionError
            The model of the options codes such samples alone, and the picture has others.
        """
        is_deep = self.mode.dtype == "uint16"
        if not is_deep and self.options.model == DEFAULT_MODEL:
            return None  # without a look at the model, which auto may do without
        own = family_of(self.model())
        if not is_deep:
            if own.deep:
                raise OptionError(
                    f"the model codes samples of 16 bits, and the picture has mode {self.mode.name}"
                )
            return None
        if own.deep:
            return self.model()
        return find_model(deep_model_of(self.options.model)) if own.universal else None

    def deep(self, model: Model, *, compare: bool) -> list[Section]:
        """Code samples of 16 bits with a model; with `compare`, classically if that is smaller."""
        pixels = self.picture.pixels
        file = model_bytes(model, model) if self.options.embed_model else b""
        found = [
            Section(container.MODEL, model_payload(model, file)),
            deep_samples.encode(pixels, self.mode, model, self.execution),
        ]
        if compare and choose.deep_classic_may_win(pixels):
            found = min(found, self.classic(), key=_size)
        return found

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

    def learnable(self) -> NDArray[np.uint8] | None:
        """Return the samples that the model codes, ``[H, W, C]``; None if it cannot code the picture.

        Universal models get alpha, unless it is the same everywhere, and modes 1 and P.
        """
        universal = self.is_universal()
        if self.picture.mode in _DRAWN and not universal:
            return None
        mask = planes.COLOUR
        if universal and self.mode.alpha and self.mode.dtype == "uint8":
            alpha = self.picture.pixels[:, :, -1]
            mask |= planes.ALPHA if (alpha != alpha[0, 0]).any() else 0
        return learned_samples.samples_of(self.picture, mask, self.mode)

    def is_universal(self) -> bool:
        """Return whether the model codes drawings as well as photographs."""
        return family_of(self.model()).universal

    def learned(self, samples: NDArray[np.uint8]) -> list[Section]:
        """Code samples of `learnable` with the model, the rest with the classic method."""
        model = self.model()
        coded = learned.encode(samples, model, self.execution)
        changes: list[Section] = []
        fitting = self.options.fitting
        if fitting is not None and (fitted := fitting.section(samples, model, self.execution.progress)):
            again = learned.encode(samples, model, self.execution, fitted=fitted)
            size = _total(again.chains) + len(fitted.payload) + choose.SECTION_OVERHEAD_BYTES
            if size < _total(coded.chains):
                coded, changes = again, [fitted]
        file = model_bytes(self.options.model, model) if self.options.embed_model else b""
        stored = Section(container.MODEL, model_payload(model, file))
        alpha = planes.ALPHA if samples.shape[2] in (2, 4) else 0
        chains = pack_chains(planes.COLOUR | alpha, coded.chains)
        sections = [*self._palette(chains), stored, *changes, chains]
        every = planes.every(self.mode)
        for mask in (planes.COLOUR_LOW, (planes.ALPHA | planes.ALPHA_LOW) & ~alpha):
            if mask & every:
                sections += self.classic(mask & every)
        return sections

    def _palette(self, chains: Section) -> list[Section]:
        """Return the section of the palette of a picture whose colours a model has coded, if it has one."""
        palette = self.picture.palette
        if palette is None:
            return []
        ordered = len(chains.payload) < choose.ORDER_PALETTE_BELOW_BYTES and is_opaque(palette)
        pixels = self.picture.pixels if ordered else None
        return [Section(container.PALETTE, pack_palette(palette, pixels))]

    def auto(self) -> list[Section]:
        """Code with the method that the statistics favour, or with both if they do not decide.

        A universal model codes all pictures of at most 8 bits. For samples of 16 bits the statistics are of
        the high bytes only, so both methods are compared.
        """
        if self.options.model != DEFAULT_MODEL:
            self.model()  # a wrong name is an error for every picture
        if choose.is_flat(self.picture.pixels):
            return self.classic()
        samples = self.learnable()
        if samples is None:
            return self.classic()
        if self.is_universal() and self.mode.dtype != "uint16":
            return self._universal(samples)
        one = self.execution.with_threads(1)
        choice = choose.choose(samples, lambda crop: learned.estimate_bits(crop, self.model(), one))
        if not choice.learned:
            return self.classic()
        found = self.learned(samples)
        size = next(len(section.payload) for section in found if section.kind == container.CHAINS)
        if self.mode.dtype == "uint16" or choose.must_compare(choice, size, self._quick_webp(samples)):
            found = min(self.classic(), found, key=_size)
        return found

    def _universal(self, samples: NDArray[np.uint8]) -> list[Section]:
        """Code with the model, and with the classic method if that may be smaller."""
        found = self.learned(samples)
        if choose.classic_may_win(samples, _size(found), self._quick_webp(samples)):
            found = min(found, self.classic(), key=_size)
        return found

    def _quick_webp(self, samples: NDArray[np.uint8]) -> Callable[[], int]:
        return lambda: classic.webp_size(samples, quick=True, threads=self.execution.threads)


def _total(chains: Sequence[bytes]) -> int:
    return sum(map(len, chains))


def _size(sections: list[Section]) -> int:
    return sum(len(section.payload) for section in sections)
