# SPDX-License-Identifier: Apache-2.0
"""Read an archive: its index, its models, and any picture without decoding the rest.

Nothing here writes. The mapping that users see is `bbcodec.archive.archive`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from bbcodec import container
from bbcodec.archive import sections, tables
from bbcodec.archive.budget import Budget
from bbcodec.archive.models import MAX_TRIED, Models
from bbcodec.archive.sections import FILE, INDEX, TAIL, Mark, Source
from bbcodec.archive.tables import Batch, Entry, Index, Stored
from bbcodec.bbfile import memory, metadata_sections
from bbcodec.bbfile.decoder import decode
from bbcodec.container import Limits
from bbcodec.errors import BBCodecError, FloatModeError, FormatError, LimitError, ModelMissingError
from bbcodec.families import batch
from bbcodec.families.family import family_of
from bbcodec.jobs import SERIAL, Execution
from bbcodec.modelfile.registry import ModelLike
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Picture, digest
from bbcodec.picture.region import Region, Window

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Salvaged
    from bbcodec.modelfile import Model

__all__ = ["Place", "Reader", "batch_digest", "salvage_option"]

_MAX_CACHED_SAMPLES: Final = 1 << 25  # decoded sections stay cached, for callers that read picture by picture
_MAX_METADATA_RATIO: Final = 16  # times the bytes of a section, if that is more than the limit of metadata
_MAX_INDICES: Final = 1 << 16  # indices that one archive may have


class Place(NamedTuple):
    """The place of a picture in an archive.

    Attributes
    ----------
    entry : name, mode and size.
    stored : the section that holds the picture.
    position : index of the picture in that section, from 0.
    """

    entry: Entry
    stored: Stored
    position: int


def batch_digest(digests: Sequence[bytes]) -> bytes:
    """Return the checksum of the pictures of a batch: 8 bytes, BLAKE2b of their digests."""
    return hashlib.blake2b(b"".join(digests), digest_size=8, person=b"bbcodec-batch").digest()


def salvage_option(salvage: bool, recover: bool) -> bool:
    """Return whether to salvage. Warn if the option is given by its deprecated name `recover`."""
    if recover:
        warnings.warn(
            "the option recover is now salvage; the old name goes with version 0.3",
            DeprecationWarning,
            stacklevel=3,
        )
    return salvage or recover


class Reader:
    """Read pictures of an archive by name.

    Parameters
    ----------
    source : the file.
    model : a model to use besides the installed ones, if the archive names it.
    execution, limits : options of decoding.
    salvage : repair lost sectors, and rebuild a damaged index from the sections with pictures.
    recover : deprecated name of `salvage`.

    Attributes
    ----------
    places : place of each picture by name, in the order of first addition. A name that was added twice has
        its last place.
    indices : offsets of the indices, oldest first.
    models : offsets of the models.
    end : offset of the end of the archive. Bytes after it were left by an interrupted append.
    notes : descriptions of the damage if the index had to be rebuilt, else empty.
    repairs : descriptions of damage that costs no picture, because it was repaired.

    Raises
    ------
    FormatError
        The head, the tail or an index is damaged; with `salvage`: no section is intact.
    LimitError
        An index is larger than the limit of metadata.
    """

    def __init__(
        self,
        source: Source,
        *,
        model: ModelLike | None = None,
        execution: Execution = SERIAL,
        limits: Limits | int | None = None,
        salvage: bool = False,
        recover: bool = False,
    ) -> None:
        salvage = salvage_option(salvage, recover)
        self.source, self._given = source, model
        self._execution, self._limits = execution, Limits.of(limits)
        self._budget = Budget(self._limits, source.size)
        self._cache: OrderedDict[int, list[Picture]] = OrderedDict()  # by offset of their section
        self._lock, self._process = threading.Lock(), os.getpid()
        self.indices: list[int] = []
        self.models: tuple[int, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.repairs: tuple[str, ...] = ()
        if salvage:
            self._salvage()
        else:
            sections.check_head(source)
            found = sections.find_tail(source)
            if found is None:
                raise FormatError("archive: no index: the archive is unfinished or cut off; pack it again")
            index, self.end = found
            self._read_indices(index)
            self._models = Models(source, self.models, model)

    def _read_indices(self, index: int) -> None:
        """Read all indices, beginning with the last one."""
        source = self.source
        parts: list[Index] = []
        while index:
            place = sections.mark(source, index)
            if place.kind != INDEX or len(self.indices) == _MAX_INDICES:
                raise FormatError(f"archive: section {place.kind} at byte {index}, expected an index")
            table = tables.unpack_index(
                sections.payload(source, place), index, self._limits.max_metadata, self._budget
            )
            self.models = self.models or table.models  # the last index names all models
            self.indices.insert(0, index)
            parts.insert(0, table)
            index = table.previous
        self.stored = [stored for part in parts for stored in part.stored]
        self.places = {
            stored.entries[position].name: Place(stored.entries[position], stored, position)
            for part in parts
            for stored, position in part.added
        }

    def _salvage(self) -> None:
        """Repair what can be repaired, and read the indices, or rebuild them from the sections."""
        from bbcodec.archive import mend, salvage

        self.source, scan, self.repairs = mend.mend(self.source, self._execution.workers)
        known = salvage.last_copies(self.source, scan)
        self.end = max((place.end for place in scan.intact(TAIL)), default=self.source.size)
        place = salvage.last_index(scan)
        try:
            if place is None:
                raise FormatError("archive: the index is damaged or missing")
            self._read_indices(place.at)
            if scan.notes:
                more = f" and {len(scan.notes) - 1} more" if len(scan.notes) > 1 else ""
                self.repairs += (f"the index is intact; other damage: {scan.notes[0]}{more}",)
        except FormatError as error:
            budget = Budget(self._limits, self.source.size)
            found = salvage.salvage_index(self.source, scan, known, self._limits, budget)
            self.notes = (f"index rebuilt: {error}", *found.notes)
            self.indices, self.models = [], found.models
            self.stored = list(found.stored)
            self.places = {
                entry.name: Place(entry, stored, position)
                for stored in found.stored
                for position, entry in enumerate(stored.entries)
            }
        self._models = Models(self.source, self.models, self._given, known.models)

    def salvage(self, name: str) -> Salvaged:
        """Return a picture, intact or in part, and its losses.

        Only a picture in a file of its own can be salvaged in part. Raise the errors of `picture` if nothing
        can be saved.
        """
        from bbcodec.bbfile.salvage import Loss, Salvaged, salvage

        try:
            return Salvaged(self.picture(name), ())
        except (FloatModeError, LimitError, ModelMissingError):
            raise
        except BBCodecError as error:
            place = self.places[name]
            if place.stored.kind != FILE:
                raise
            found = sections.mark(self.source, place.stored.at)
            if found.kind != FILE:
                raise
            whole = self.source.read(found.at, found.end - found.at)
            # The checksum of the section is not verified: it is known to be wrong, or the file in it is.
            _, data = tables.unpack_file(whole[sections.LEAD_BYTES : -sections.CRC_BYTES], found.at)
            saved = salvage(data, self._execution, limits=self._limits, model=self._model_of_damaged(data))
            entry, picture = place.entry, saved.picture
            if (picture.mode, picture.height, picture.width) != (entry.mode, entry.height, entry.width):
                raise
            return Salvaged(picture, saved.lost or (Loss("file", str(error)),))

    def _model_of_damaged(self, data: memoryview) -> Model | None:
        """Return the model of the archive that a damaged file names, or None."""
        from bbcodec.bbfile import salvage_scan

        for section in salvage_scan.find(data, self._limits).sections:
            if section.kind == container.MODEL and container.is_model_size(len(section.payload)):
                return self._models.by_id(container.model_id_of(section))
        return None

    def picture(self, name: str) -> Picture:
        """Return a picture with its metadata. Its pixels are read-only: the cache shares them.

        Raises
        ------
        KeyError
            No picture has that name.
        FormatError, LimitError, ModelMissingError
            As for `bbcodec.decompress`; other pictures may be intact.
        """
        place = self.places[name]
        with self._cache_lock():
            found = self._cache.get(place.stored.at)
            if found is not None:
                self._cache.move_to_end(place.stored.at)
        if found is None:
            found = self.pictures(place.stored)
            for one in found:
                one.pixels.flags.writeable = False
            most = _MAX_CACHED_SAMPLES
            if self._limits.max_memory is not None:  # the estimate knows nothing of the cache
                most = min(most, self._limits.max_memory // 8)
            with self._cache_lock():
                self._cache[place.stored.at] = found
                while len(self._cache) > 1 and self._cached_samples() > most:
                    self._cache.popitem(last=False)
        return found[place.position]

    def region(self, name: str, region: Region) -> Picture:
        """Return a part of a picture, (x, y, width, height) in pixels. Its pixels may be read-only.

        Of a large picture, only the tiles that the region needs are decoded.

        Raises
        ------
        OptionError
            The region is not within the picture.
        KeyError, FormatError, LimitError, ModelMissingError
            As for `picture`.
        """
        place = self.places[name]
        window = Window.of(region, place.entry.height, place.entry.width)
        if place.stored.kind == FILE and place.stored.at not in self._cache:
            mark = sections.mark(self.source, place.stored.at)
            self._check_memory(mark, place.stored, place.entry.height * place.entry.width)
            payload = sections.payload(self.source, mark)
            return self._file(payload, place.stored, region)[0]
        picture = self.picture(name)
        return replace(picture, pixels=picture.pixels[window.place])

    def _cache_lock(self) -> threading.Lock:
        """Return the lock of the cache. A forked process gets its own: another thread may have held it."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def _cached_samples(self) -> int:
        return sum(picture.pixels.size for cached in self._cache.values() for picture in cached)

    def pictures(self, stored: Stored) -> list[Picture]:
        """Return all pictures of a section. Raise the errors of `picture`."""
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
        """Raise `LimitError` if decoding a section would take more memory than the limit."""
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
        """Decode the picture of a ``FILE``, or a region of it."""
        (entry,) = stored.entries
        name, data = tables.unpack_file(payload, stored.at)
        header = container.read_header(data, limits=self._limits)
        mode = MODES[entry.mode]
        found = (name, header.mode, bool(header.flags & 1), header.height, header.width)
        if found != (entry.name, mode.code, entry.axis, entry.height, entry.width):
            raise FormatError(f"archive: the file at byte {stored.at} is not the one that the index names")
        needed = container.read(data, limits=self._limits).one(container.MODEL)
        model = None if needed is None else self._models.by_id(container.model_id_of(needed))
        return [decode(data, self._execution, limits=self._limits, model=model, region=region)]

    def _batch(self, payload: memoryview, stored: Stored) -> list[Picture]:
        """Decode the pictures of a ``BTCH``, and verify their checksum."""
        table = tables.unpack_batch(payload, stored.at, self._limits.max_metadata)
        if table.entries != stored.entries:
            raise FormatError(f"archive: the batch at byte {stored.at} is not the one that the index names")
        wrong: FormatError | None = None
        for model in self._models.candidates(table.model):
            try:
                pictures = self._decoded(table, stored, model)
            except FormatError as error:
                wrong = wrong or error
            else:
                self._models.remember(table.model, model)
                return pictures
        raise wrong or FormatError(f"archive: the model of the batch at byte {stored.at} is lost")

    def _decoded(self, table: Batch, stored: Stored, model: Model) -> list[Picture]:
        """Decode the pictures of a batch with a model; raise `FormatError` if their checksum differs."""
        side = family_of(model).max_side
        if any(max(entry.height, entry.width) > side for entry in table.entries):
            raise FormatError(
                f"archive: the batch at byte {stored.at} has a picture with a side over {side} pixels"
            )
        images = batch.decode_message(
            table.plain,
            table.message,
            [(entry.height, entry.width) for entry in table.entries],
            MODES[table.entries[0].mode].channels,
            model,
            self._execution,
        )
        pictures = []
        metadata = self._metadata(table, stored.at)
        for entry, blob, image in zip(table.entries, table.blobs, images, strict=True):
            kept = metadata[blob]
            pixels = image[:, :, 0] if entry.mode == "L" else image
            pictures.append(Picture(pixels, entry.mode, None, kept, axis=entry.axis))
        if batch_digest([digest(picture) for picture in pictures]) != table.digest:
            raise FormatError(
                f"archive: the checksum of the pictures of the batch at byte {stored.at} does not match"
            )
        return pictures

    def _metadata(self, table: Batch, at: int) -> dict[bytes, Metadata]:
        """Return the metadata of a batch by their packed form: unfolded once, all within one limit."""
        out: dict[bytes, Metadata] = {}
        size = sections.mark(self.source, at).size
        left = max(self._limits.max_metadata, _MAX_METADATA_RATIO * size)
        for blob in dict.fromkeys(table.blobs):
            limits = replace(self._limits, max_metadata=min(left, self._limits.max_metadata))
            found = metadata_sections.unpack(tables.split_blob(blob, at), table.entries[0].mode, limits)
            left -= sum(len(field) for field in (found.icc, found.exif, found.xmp) if field)
            out[blob] = found
        return out

    def model_facts(self, number: int) -> tuple[str, bytes]:
        """Return the id of a model of the archive, and its file (empty if it is not embedded)."""
        return self._models.facts(number)

    def warm(self) -> None:
        """Load the available models, so that the first picture takes no longer than others."""
        for number in range(min(len(self.models), MAX_TRIED)):
            with contextlib.suppress(BBCodecError):  # decoding a picture that needs the model raises it
                batch.prepare(self._models.get(number), self._execution)
