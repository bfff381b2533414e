# SPDX-License-Identifier: Apache-2.0
"""An archive that is read: its index, its models, and any picture of it without decoding the rest.

Nothing here writes. The mapping that users see is `bbcodec.archive.archive`.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bbcodec import container
from bbcodec.archive import sections, tables
from bbcodec.archive.sections import FILE, INDEX, MODEL, Mark, Source
from bbcodec.archive.tables import Entry, Index, Stored
from bbcodec.bbfile import memory, metadata_sections
from bbcodec.bbfile.decoder import decode
from bbcodec.container import MODEL_ID_SIZE, Limits, Section
from bbcodec.errors import BBCodecError, FormatError, LimitError, ModelMissingError
from bbcodec.families import batch
from bbcodec.families.family import family_of
from bbcodec.jobs import SERIAL, Execution
from bbcodec.modelfile.registry import ModelLike, installed
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture.picture import MODES, Picture, digest
from bbcodec.picture.region import Region, Window

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Salvaged
    from bbcodec.modelfile import Model

__all__ = ["Place", "Reader", "batch_digest"]

_KEPT_SAMPLES: Final = 1 << 25  # of decoded batches, for those who ask for one picture after the other
_MAX_LINKS: Final = 1 << 16  # indices that one archive may have


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture is.

    Attributes
    ----------
    entry : name, mode and size.
    stored : the section that holds it.
    position : in that section.
    """

    entry: Entry
    stored: Stored
    position: int


def batch_digest(digests: Sequence[bytes]) -> bytes:
    """Return the 8 bytes that prove the pictures of a batch: BLAKE2b of their digests."""
    return hashlib.blake2b(b"".join(digests), digest_size=8, person=b"bbcodec-batch").digest()


class Reader:
    """Pictures of an archive by name.

    Parameters
    ----------
    source : the file.
    model : to use where the archive names it, beside the installed ones.
    execution, limits : of decoding.
    recover : make the index again where it is damaged, from the sections with pictures, and save of damaged
        pictures in files of their own what can be saved.

    Attributes
    ----------
    places : by name, in the order in which the names were first added; a name that was added twice is at its
        last place.
    indices : offsets of the indices, the first one first.
    models : offsets of the models.
    end : where the archive ends. What lies behind was left by an append that did not come to its end.
    notes : what is damaged, where the index had to be made again; else empty.
    """

    def __init__(
        self,
        source: Source,
        *,
        model: ModelLike | None = None,
        execution: Execution = SERIAL,
        limits: Limits | int | None = None,
        recover: bool = False,
    ) -> None:
        self.source, self._given, self._recover = source, model, recover
        self._execution, self._limits = execution, Limits.of(limits)
        self._models: dict[int, Model] = {}
        self._kept: OrderedDict[int, list[Picture]] = OrderedDict()
        self._lock = threading.Lock()
        self.indices: list[int] = []
        self.models: tuple[int, ...] = ()
        self.notes: tuple[str, ...] = ()
        try:
            self._open()
        except FormatError as error:
            if not recover:
                raise
            self._open_damaged(error)

    def _open(self) -> None:
        """Read head, tail and indices."""
        source = self.source
        sections.check_head(source)
        found = sections.find_tail(source)
        if found is None:
            raise FormatError("archive: no index: it was never finished, or is cut off; pack it again")
        index, self.end = found
        parts: list[Index] = []
        while index:
            place = sections.mark(source, index)
            if place.kind != INDEX or len(self.indices) == _MAX_LINKS:
                raise FormatError(f"archive: section {place.kind} at byte {index}, expected an index")
            table = tables.unpack_index(sections.payload(source, place), index, self._limits.max_metadata)
            self.models = self.models or table.models  # the last index knows all of them
            self.indices.insert(0, index)
            parts.insert(0, table)
            index = table.previous
        self.stored = [stored for part in parts for stored in part.stored]
        self.places = {
            stored.entries[position].name: Place(stored.entries[position], stored, position)
            for part in parts
            for stored, position in part.added
        }

    def _open_damaged(self, error: FormatError) -> None:
        """Take what the sections tell."""
        from bbcodec.archive.salvage import recover

        found = recover(self.source, self._limits)
        self.notes = (f"index made again: {error}", *found.notes)
        self.indices, self.models, self.end = [], found.models, self.source.size
        self.stored = list(found.stored)
        self.places = {
            entry.name: Place(entry, stored, position)
            for stored in found.stored
            for position, entry in enumerate(stored.entries)
        }

    def salvage(self, name: str) -> Salvaged:
        """Return a picture, and what is lost of it: all of it or nothing, but for one in a file of its own.

        Errors as of `picture`, where nothing of it can be saved.
        """
        from bbcodec.bbfile.salvage import Loss, Salvaged, salvage

        try:
            return Salvaged(self.picture(name), ())
        except (LimitError, ModelMissingError):
            raise
        except BBCodecError as error:
            place = self.places[name]
            if place.stored.kind != FILE:
                raise
            found = sections.mark(self.source, place.stored.at)
            if found.kind != FILE:
                raise
            whole = self.source.read(found.at, found.end - found.at)
            _, data = tables.unpack_file(whole[sections.LEAD : -sections.CRC], found.at)
            saved = salvage(data, self._execution, limits=self._limits, model=self._any_model(data))
            entry, picture = place.entry, saved.picture
            if (picture.mode, picture.height, picture.width) != (entry.mode, entry.height, entry.width):
                raise
            return Salvaged(picture, saved.lost or (Loss("file", str(error)),))

    def _any_model(self, data: memoryview) -> Model | None:
        """The model of the archive that a damaged file names."""
        from bbcodec.bbfile import salvage_scan

        for section in salvage_scan.find(data, self._limits).sections:
            if section.kind == container.MODEL and len(section.payload) >= MODEL_ID_SIZE:
                return self._by_id(container.model_id_of(section))
        return None

    def picture(self, name: str) -> Picture:
        """Return a picture with its metadata.

        Raises
        ------
        KeyError
            There is none of that name.
        FormatError, LimitError, ModelMissingError
            As for `bbcodec.decompress`; other pictures may be sound.
        """
        place = self.places[name]
        with self._lock:
            found = self._kept.get(place.stored.at)
            if found is not None:
                self._kept.move_to_end(place.stored.at)
        if found is None:
            found = self.pictures(place.stored)
            with self._lock:
                self._kept[place.stored.at] = found
                while len(self._kept) > 1 and self._samples() > _KEPT_SAMPLES:
                    self._kept.popitem(last=False)
        return found[place.position]

    def region(self, name: str, region: Region) -> Picture:
        """Return a part of a picture, (x, y, width, height); of a large one, no more tiles than it needs.

        Raises
        ------
        OptionError
            It is not within the picture. Others as of `picture`.
        """
        place = self.places[name]
        window = Window.of(region, place.entry.height, place.entry.width)
        if place.stored.kind == FILE and place.stored.at not in self._kept:
            payload = sections.payload(self.source, sections.mark(self.source, place.stored.at))
            return self._file(payload, place.stored, region)[0]
        picture = self.picture(name)
        return replace(picture, pixels=picture.pixels[window.place])

    def _samples(self) -> int:
        return sum(picture.pixels.size for kept in self._kept.values() for picture in kept)

    def pictures(self, stored: Stored) -> list[Picture]:
        """Return all pictures of a section; see `picture` for errors."""
        pixels = sum(entry.height * entry.width for entry in stored.entries)
        if pixels > self._limits.max_pixels:
            raise LimitError(
                f"archive: {pixels} pixels at byte {stored.at}, the limit is {self._limits.max_pixels}"
            )
        place = sections.mark(self.source, stored.at)
        if place.kind != stored.kind:
            raise FormatError(
                f"archive: section {place.kind} at byte {stored.at}, the index says {stored.kind}"
            )
        self._check_memory(place, stored, pixels)
        payload = sections.payload(self.source, place)
        return self._file(payload, stored) if stored.kind == FILE else self._batch(payload, stored)

    def _check_memory(self, place: Mark, stored: Stored, pixels: int) -> None:
        """Raise `LimitError` where a section would take more memory than is allowed."""
        if self._limits.max_memory is None:
            return
        modes = [MODES[mode] for mode in {entry.mode for entry in stored.entries}]
        needed = max(memory.estimate(pixels, mode, place.size, self._execution.workers) for mode in modes)
        if needed > self._limits.max_memory:
            raise LimitError(
                f"archive: section {stored.kind} at byte {stored.at} takes about {needed} bytes of memory to "
                f"decode, the limit is {self._limits.max_memory}"
            )

    def _file(self, payload: memoryview, stored: Stored, region: Region | None = None) -> list[Picture]:
        (entry,) = stored.entries
        name, data = tables.unpack_file(payload, stored.at)
        header = container.read_header(data, limits=self._limits)
        mode = MODES[entry.mode]
        found = (name, header.mode, bool(header.flags & 1), header.height, header.width)
        if found != (entry.name, mode.code, entry.axis, entry.height, entry.width):
            raise FormatError(f"archive: the file at byte {stored.at} is not the one of the index")
        needed = container.read(data, limits=self._limits).one(container.MODEL)
        model = None if needed is None else self._by_id(container.model_id_of(needed))
        return [decode(data, self._execution, limits=self._limits, model=model, region=region)]

    def _batch(self, payload: memoryview, stored: Stored) -> list[Picture]:
        table = tables.unpack_batch(payload, stored.at, self._limits.max_metadata)
        if table.entries != stored.entries:
            raise FormatError(f"archive: the batch at byte {stored.at} is not the one of the index")
        if table.model >= len(self.models):
            raise FormatError(f"archive: model {table.model} of {len(self.models)} at byte {stored.at}")
        model = self.model(table.model)
        side = family_of(model).max_side
        if any(max(entry.height, entry.width) > side for entry in table.entries):
            raise FormatError(f"archive: a picture with a side over {side} in the batch at byte {stored.at}")
        images = batch.decode_message(
            table.plain,
            table.message,
            [(entry.height, entry.width) for entry in table.entries],
            MODES[table.entries[0].mode].channels,
            model,
            self._execution,
        )
        pictures = []
        for entry, blob, image in zip(table.entries, table.blobs, images, strict=True):
            kept = metadata_sections.unpack(tables.split_blob(blob, stored.at), entry.mode, self._limits)
            pixels = image[:, :, 0] if entry.mode == "L" else image
            pictures.append(Picture(pixels, entry.mode, None, kept, axis=entry.axis))
        if batch_digest([digest(picture) for picture in pictures]) != table.digest:
            raise FormatError(f"archive: the pictures at byte {stored.at} have another checksum than stored")
        return pictures

    def model_facts(self, number: int) -> tuple[str, bytes]:
        """Return the id of a model of the archive, and its file if that is embedded."""
        place = sections.mark(self.source, self.models[number])
        if place.kind != MODEL:
            raise FormatError(f"archive: section {place.kind} at byte {place.at}, expected a model")
        payload = sections.payload(self.source, place)
        return container.model_id_of(Section(MODEL, payload, place.at)), bytes(payload[MODEL_ID_SIZE:])

    def warm(self) -> None:
        """Load the models that are at hand, so that the first picture takes no longer than others."""
        for number in range(len(self.models)):
            with contextlib.suppress(BBCodecError):  # whoever needs the model is going to be told
                batch.prepare(self.model(number), self._execution)

    def model(self, number: int) -> Model:
        """Return a model of the archive: the given one, the embedded one, or an installed one."""
        if number not in self._models:
            from bbcodec import modelfile
            from bbcodec.modelfile import delta

            wanted, embedded = self.model_facts(number)
            if self._given is not None and (given := find_model(self._given)).id == wanted:
                self._models[number] = given
            elif embedded:
                if delta.id_of(embedded) != wanted:
                    raise FormatError(f"archive: the embedded model is not the model {wanted}")
                self._models[number] = modelfile.load(embedded)
            elif (found := installed(wanted)) is not None:
                self._models[number] = found
            else:
                raise ModelMissingError(
                    f"the archive needs model {wanted}, which is neither embedded nor installed"
                )
        return self._models[number]

    def _by_id(self, wanted: str) -> Model | None:
        """Return the model of the archive that has an id; None where only the installed ones may have it."""
        for number in range(len(self.models)):
            if self.model_facts(number)[0] == wanted:
                return self.model(number)
        return None
