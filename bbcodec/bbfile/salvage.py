# SPDX-License-Identifier: Apache-2.0
"""Decode what is intact in a damaged file, and report what is lost.

`salvage` does not raise if part of the picture can be saved: its caller must look at `Salvaged.lost`.
`bbcodec.bbfile.salvage_scan` finds sections in damaged bytes; `bbcodec.bbfile.decoder` reads intact files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec import classic, container
from bbcodec.bbfile import (
    deep_samples,
    learned_samples,
    memory,
    metadata_sections,
    pieces,
    recovery_section,
    salvage_scan,
)
from bbcodec.bbfile.palette_section import channels, paint, unpack_palette, unpaint
from bbcodec.bbfile.parts import mode_of
from bbcodec.bbfile.pieces import Piece
from bbcodec.bbfile.salvage_scan import Damaged, Found
from bbcodec.bbfile.samples_sections import chain_sizes
from bbcodec.bbfile.sections import Holds, holding
from bbcodec.container import Buffer, Container, Limits, Section, varint
from bbcodec.errors import BBCodecError, FloatModeError, FormatError, LimitError, ModelMissingError
from bbcodec.families import learned
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.modelfile.registry import ModelLike, model_for, model_like
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture import planes
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Palette, Picture, digest
from bbcodec.picture.region import Place

__all__ = ["Loss", "Salvaged", "salvage"]


@dataclass(frozen=True)
class Loss:
    """Something that a damaged file has lost.

    Attributes
    ----------
    what : ``colour``, ``alpha``, ``colour + alpha``, ... for samples; else a type of section, or ``file``.
    reason : description of the damage.
    regions : (x, y, width, height) in pixels of the lost samples; empty if no samples are lost.
    doubtful : true if the samples were decoded from damaged bytes, and may be right or wrong.
    """

    what: str
    reason: str
    regions: tuple[tuple[int, int, int, int], ...] = ()
    doubtful: bool = False

    @property
    def pixels(self) -> int:
        """Number of pixels in all regions."""
        return sum(width * height for _, _, width, height in self.regions)


@dataclass(frozen=True)
class Salvaged:
    """A salvaged picture and its losses.

    Attributes
    ----------
    picture : lost samples are 128 (16 bits: 128 in each byte), lost alpha is 255, lost bits and indices 0.
    lost : losses; empty for an intact file, and for one that is repaired wholly.
    repaired : descriptions of damage that recovery data have repaired.
    """

    picture: Picture
    lost: tuple[Loss, ...]
    repaired: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A section with samples, its plane mask, its payload, and the pieces that the file lists for it."""

    section: Section
    mask: int
    payload: Buffer
    pieces: list[Piece]


def salvage(
    data: Buffer,
    execution: Execution,
    *,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
) -> Salvaged:
    """Decode what is intact in a damaged ``.bb`` file, and report what is lost; see `bbcodec.salvage`.

    Raises
    ------
    FormatError
        Nothing of the picture can be saved.
    LimitError, ModelMissingError
        As for `bbcodec.decompress`.
    """
    bounds = Limits.of(limits)
    repaired: tuple[str, ...] = ()
    if _is_damaged(data, bounds) and (mended := recovery_section.mend(data, execution.workers)):
        data, repaired = mended.data, (mended.what,)
    found = salvage_scan.find(data, bounds)
    size = memoryview(data).nbytes
    memory.check(found.header, mode_of(found.header), size, bounds, execution.workers)
    return replace(_Salvage(found, execution, bounds, model).run(), repaired=repaired)


def _is_damaged(data: Buffer, limits: Limits) -> bool:
    """Return whether the frame of a file breaks a rule: its checksums cover all bytes."""
    try:
        container.read(data, limits=limits)
    except LimitError:
        return False
    except FormatError:
        return True
    return False


class _Salvage:
    """Make a picture from the sections of one damaged file. `lost` collects the losses."""

    def __init__(
        self,
        found: Found,
        execution: Execution,
        limits: Limits,
        model: ModelLike | None,
    ) -> None:
        self.header, self.mode = found.header, mode_of(found.header)
        self.execution, self.limits, self.given = execution, limits, model
        self.lost = [Loss("file", note) for note in found.notes]
        self.sections = _with_guessed_types(list(found.sections))
        self.height, self.width = self.header.height, self.header.width
        self.everywhere = ((0, 0, self.width, self.height),)

    def run(self) -> Salvaged:
        """Return the picture and its losses; raise `FormatError` if no samples can be saved."""
        parts = self._parts()
        if not parts:
            raise FormatError("nothing can be saved: no section with samples is left")
        pixels: NDArray[Any] | None = None  # no memory is taken before there is something to put in
        left, failed = planes.every(self.mode), 0
        palette: Palette | None = None
        for part in parts:
            try:
                samples, palette = self._samples(part, palette)
            except (FloatModeError, LimitError, ModelMissingError):
                raise
            except BBCodecError as error:
                self._lose(part.mask, str(error))
                failed |= part.mask
            else:
                if pixels is None:
                    pixels = np.zeros(self.mode.shape(self.height, self.width), self.mode.dtype)
                planes.place(pixels, samples, part.mask, self.mode)
            left &= ~part.mask
        if pixels is None:
            raise FormatError(f"nothing can be saved: {self.lost[-1].reason}")
        for bit in (planes.COLOUR, planes.ALPHA, planes.COLOUR_LOW, planes.ALPHA_LOW):
            if left & bit:
                self._lose(bit, "no section holds these samples")
        self._fill(pixels, failed | left)
        if self.mode.name == "P" and palette is None:
            palette = self._palette()
        axis = bool(self.header.flags & 1)
        picture = Picture(pixels, self.mode.name, palette, self._metadata(), axis=axis)
        return Salvaged(picture, tuple(self._account(picture)))

    # --- sections -------------------------------------------------------------------------------------------

    def _one(self, kind: str) -> Section | None:
        """Return the intact section of a type, else a damaged one, else None."""
        found = [section for section in self.sections if section.kind == kind]
        return min(found, key=lambda section: isinstance(section, Damaged), default=None)

    def _parts(self) -> list[_Part]:
        """Return the sections with samples, without those whose planes another section holds."""
        holders = [s for s in self.sections if s.kind in holding(Holds.SAMPLES)]
        listed: list[list[Piece]] = []
        sums = self._one(container.SUMS)
        if sums is not None and not isinstance(sums, Damaged):
            try:
                listed = pieces.unpack(sums)
            except FormatError as error:
                self.lost.append(Loss(container.SUMS, str(error)))
        if len(listed) != len(holders):
            listed = [[] for _ in holders]
        out: list[_Part] = []
        left = planes.every(self.mode)
        for section, entries in sorted(
            zip(holders, listed, strict=True), key=lambda pair: isinstance(pair[0], Damaged)
        ):
            payload = _payload(section, entries)
            told = payload[0] if len(payload) > 1 else 0
            masks = [told]
            if isinstance(section, Damaged):
                # Chains that share a file with other samples are those of the colours.
                likely = planes.COLOUR if len(holders) > 1 else left & (planes.COLOUR | planes.ALPHA)
                masks.append(likely if section.kind == container.CHAINS else left)
                if entries and not entries[0].is_intact(payload):  # the head, which begins with the mask
                    masks.reverse()
            mask = next((m for m in masks if not m & ~left and planes.shape(m, self.mode, 1, 1)), 0)
            if mask:
                left &= ~mask
                out.append(_Part(section, mask, payload, entries))
        return out

    # --- samples --------------------------------------------------------------------------------------------

    def _samples(self, part: _Part, palette: Palette | None) -> tuple[NDArray[Any], Palette | None]:
        """Decode the samples of a section; return them and the palette, if it is known."""
        place = planes.shape(part.mask, self.mode, self.height, self.width)
        assert place is not None  # _parts has checked the mask
        if part.section.kind == container.CHAINS:
            return self._chains(part, palette)
        body = part.payload[1:]
        stored = self._one(container.PALETTE)
        if self.mode.name == "P" and stored is not None and len(body) and body[0] == classic.PAINTED:
            painted = classic.decode_painted(body, (self.height, self.width, channels(stored)))
            palette = unpack_palette(stored, painted)
            samples: NDArray[Any] = unpaint(painted, palette)[:, :, None]
        elif part.pieces and place[1] == "uint8":
            return self._tiles(part, place), palette
        else:
            samples = classic.decode(body, *place, name="section CLSC", offset=part.section.offset + 1)
        if isinstance(part.section, Damaged):
            self._lose(part.mask, "decoded from a damaged section", doubtful=True)
        return samples.reshape(place[0]), palette

    def _tiles(self, part: _Part, place: tuple[tuple[int, int, int], str]) -> NDArray[np.uint8]:
        """Decode the intact tiles of a classic section; the others are lost."""
        sizes = [piece.size for piece in part.pieces[1:]]
        tiles = classic.tile_places(self.height, self.width)
        if len(sizes) != len(tiles):
            raise FormatError(f"the file lists {len(sizes)} tiles, expected {len(tiles)}")
        lost = self._damaged_pieces(part)
        head = bytes([classic.TILED]) + b"".join(map(varint, sizes))
        body = head + bytes(part.payload[part.pieces[0].size :])
        samples = classic.decode(body, *place, lost=lost)
        if len(lost) == len(tiles):
            raise FormatError(f"every tile is damaged: {lost[0]}")
        for number in sorted(lost):
            self._lose(part.mask, lost[number], [tiles[number]])
        return samples

    def _chains(self, part: _Part, palette: Palette | None) -> tuple[NDArray[Any], Palette | None]:
        """Decode the intact chains of a model's section; the others are lost."""
        fitted, model = self._one(container.FITTED), self._model()
        if deep_samples.is_deep(part.mask):
            return self._deep_chains(part, model), palette
        size, count = (self.height, self.width), learned_samples.channels(part.mask, self.mode)
        chains = _chains_of(part, learned.payloads(*size, count, model, fitted))
        lost = self._damaged_pieces(part)
        coded = learned.decode(chains, *size, count, model, self.execution, fitted=fitted, lost=lost)
        if len(lost) == len(chains):  # before all places are listed
            raise FormatError(f"every chain is damaged: {lost[0]}")
        if not lost:
            samples, found = learned_samples.restored(coded, self.mode, self._one(container.PALETTE))
            return samples, found or palette
        places = learned.places(*size, model, fitted)
        for number in sorted(lost):
            plane, chain = divmod(number, len(places))
            mask = part.mask if len(places) == len(chains) else (planes.COLOUR, planes.ALPHA)[plane]
            self._lose(mask, f"chain {number}: {lost[number]}", places[chain])
        return self._without_lost(coded, [place for i in lost for place in places[i % len(places)]], palette)

    def _deep_chains(self, part: _Part, model: Model) -> NDArray[np.uint16]:
        """Decode the intact chains of samples of 16 bits; the others are lost."""
        head = deep_samples.head_of(Section(container.CHAINS, part.payload), self.mode)
        size = (self.height, self.width)
        places = deep_samples.places(head, *size)
        lost = self._damaged_pieces(part)
        chains = _chains_of(part, len(places))
        samples = deep_samples.salvage(chains, head, self.mode, size, model, self.execution, lost)
        for number in sorted(lost):
            self._lose(part.mask, f"chain {number}: {lost[number]}", [places[number]])
        return samples

    def _without_lost(
        self, coded: NDArray[np.uint8], places: list[Place], palette: Palette | None
    ) -> tuple[NDArray[Any], Palette | None]:
        """Return the samples of a picture that lost coded ones in places; indices and bits are 0 there."""
        stored = self._one(container.PALETTE)
        if self.mode.name == "P" and stored is not None:
            found = unpack_palette(stored)
            first = paint(found, np.zeros((1, 1), np.uint8), alpha=False)
            if first is not None:
                for place in places:
                    coded[place] = first
            return unpaint(coded, found)[:, :, None], found
        if self.mode.dtype == "bool":
            for place in places:
                coded[place] = 0
        samples, _ = learned_samples.restored(coded, self.mode, stored)
        return samples, palette

    def _damaged_pieces(self, part: _Part) -> Lost:
        """Return the numbers, from 0 after the head, of the pieces whose checksums do not match."""
        return {
            number: "its checksum does not match"
            for number, piece in enumerate(part.pieces[1:])
            if not piece.is_intact(part.payload)
        }

    def _model(self) -> Model:
        """Return the model that the file names, or the given one or a released one if its id is damaged."""
        section = self._one(container.MODEL)
        if section is not None and not isinstance(section, Damaged):
            return model_for(Container(self.header, (section,)), self.given)
        if self.given is not None:
            return find_model(self.given)
        stored = bytes(section.payload) if section is not None else b""
        found = model_like(stored)
        if found is None:
            raise FormatError("the id of the model is damaged; name the model with --model (model=)")
        return found

    # --- palette, metadata, losses --------------------------------------------------------------------------

    def _palette(self) -> Palette:
        """Return the palette, or a ramp of gray if it is lost."""
        section = self._one(container.PALETTE)
        reason = "the section is missing"
        try:
            if section is not None:
                return unpack_palette(section)
        except FormatError as error:
            reason = str(error)
        self.lost.append(Loss(container.PALETTE, f"{reason}; colours are a ramp of gray"))
        return Palette(bytes(np.repeat(np.arange(256, dtype=np.uint8), 3)))

    def _metadata(self) -> Metadata:
        """Return the metadata of the intact sections."""
        kept: list[Section] = []
        for section in self.sections:
            if section.kind not in metadata_sections.FIELDS or isinstance(section, Damaged):
                continue
            try:
                metadata_sections.unpack([*kept, section], self.mode.name, self.limits)
            except BBCodecError as error:
                self.lost.append(Loss(section.kind, str(error)))
            else:
                kept.append(section)
        return metadata_sections.unpack(kept, self.mode.name, self.limits)

    def _account(self, picture: Picture) -> Iterable[Loss]:
        """Return the losses. Samples are not lost if the checksum of the picture matches."""
        if digest(picture) == self.header.digest:
            return [loss for loss in self.lost if not loss.regions]
        if not any(loss.regions or loss.what == container.PALETTE for loss in self.lost):
            self.lost.append(
                Loss("colour", "the checksum of the picture does not match", self.everywhere, doubtful=True)
            )
        return self.lost

    def _lose(
        self, mask: int, reason: str, places: Iterable[Place] | None = None, *, doubtful: bool = False
    ) -> None:
        """Record the loss of samples, everywhere or in places."""
        regions = self.everywhere if places is None else _merged(places)
        self.lost.append(Loss(planes.describe(mask), reason, regions, doubtful))

    def _fill(self, pixels: NDArray[Any], mask: int) -> None:
        """Set the samples of a mask to the value of lost ones."""
        if self.mode.name in ("1", "P"):
            return
        for bit in (planes.COLOUR, planes.ALPHA, planes.COLOUR_LOW, planes.ALPHA_LOW):
            if mask & bit and (place := planes.shape(bit, self.mode, self.height, self.width)):
                value = 255 if bit in (planes.ALPHA, planes.ALPHA_LOW) else GRAY
                planes.place(pixels, np.full(place[0], value, np.uint8), bit, self.mode)


def _with_guessed_types(sections: list[Section]) -> list[Section]:
    """Return the sections, the largest one of unknown type as samples if none of the others holds them.

    It holds chains if the file names a model, else classic samples.
    """
    kinds = {section.kind for section in sections}
    wanted = container.CHAINS if container.MODEL in kinds else container.CLASSIC
    if wanted in kinds:
        return sections
    nameless = [s for s in sections if isinstance(s, Damaged) and s.kind == salvage_scan.UNKNOWN]
    largest = max(nameless, key=lambda section: len(section.payload), default=None)
    return [
        salvage_scan.with_kind(s, wanted) if isinstance(s, Damaged) and s is largest else s for s in sections
    ]


def _payload(section: Section, pieces: list[Piece]) -> Buffer:
    """Return the payload of a section. The listed pieces say where it begins if its length is damaged."""
    if not isinstance(section, Damaged) or section.has_length or not pieces:
        return section.payload
    whole = sum(piece.size for piece in pieces)
    begin = section.section_offset + 4 + len(varint(whole)) - section.offset
    view = memoryview(section.payload)
    return bytes(-begin) + bytes(view) if begin < 0 else view[begin:]


def _chains_of(part: _Part, count: int) -> list[memoryview]:
    """Return the chains by the sizes in ``sums``, else in the payload; a cut payload cuts its last chains."""
    view = memoryview(part.payload)
    if part.pieces:
        sizes = [piece.size for piece in part.pieces]
    else:
        # A damaged or short list is an error: no chain can be found without it.
        sizes = pieces.sizes(Section(container.CHAINS, view), 1, 1) or _one_chain(view)
    if len(sizes) != count + 1:
        raise FormatError(f"the file lists {len(sizes) - 1} chains, expected {count}")
    out, at = [], 0
    for size in sizes:
        out.append(view[at : at + size])
        at += size
    return out[1:]


def _one_chain(view: memoryview) -> list[int]:
    """Return the bytes before the only chain of a payload, and the bytes of the chain."""
    start, sizes = chain_sizes(Section(container.CHAINS, view))
    if len(sizes) != 1:
        raise FormatError("section CHNS: the list of chains is damaged")
    return [start, *sizes]


def _merged(places: Iterable[Place]) -> tuple[tuple[int, int, int, int], ...]:
    """Return places as regions; a place directly below the previous one extends its region."""
    out: list[tuple[int, int, int, int]] = []
    for rows, columns in places:
        x, y, width, height = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        if out and out[-1][0] == x and out[-1][2] == width and out[-1][1] + out[-1][3] == y:
            x, y, width, height = x, out[-1][1], width, out[-1][3] + height
            out.pop()
        out.append((x, y, width, height))
    return tuple(out)
