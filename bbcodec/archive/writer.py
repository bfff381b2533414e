# SPDX-License-Identifier: Apache-2.0
"""Write an archive: several threads code groups of pictures, which are stored in the order of addition.

`bbcodec.archive.plan` decides which pictures make a group, and codes it. `bbcodec.archive.output` writes the
bytes, and reads what an interrupted writer left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import Final

from bbcodec import container, jobs
from bbcodec.archive import copies, sections, tables
from bbcodec.archive.mend import last_recovery
from bbcodec.archive.names import check_name
from bbcodec.archive.output import Output
from bbcodec.archive.plan import Coded, Coder, Groups, Item, channels
from bbcodec.archive.reader import Reader, batch_digest
from bbcodec.archive.sections import BATCH, COPY, FILE, FRAME_BYTES, INDEX, LEAD_BYTES, MODEL, RECOVERY
from bbcodec.archive.tables import Batch, Index, Stored
from bbcodec.bbfile import metadata_sections
from bbcodec.container import MODEL_ID_SIZE, Buffer, recovery
from bbcodec.container.recovery import SECTOR
from bbcodec.errors import BBCodecError
from bbcodec.picture.picture import PictureLike

__all__ = ["Writer"]

_MAX_LINKED_INDICES: Final = 8  # a reader follows them one by one; after these, one index lists everything
_ALL_THREADS_PIXELS: Final = 1 << 21  # pixels of a group that all threads code together
_POLL_SECONDS: Final = 0.2  # seconds until a signal is handled


class Writer:
    """Append pictures to an archive.

    Parameters
    ----------
    output : receives the sections.
    coder : codes the groups.
    batch : pictures of a batch; see `Groups`.
    embed_model : put the model into the archive, unless it is there already.
    threads : number of threads that code; the bytes do not depend on it.
    keep_metadata : whether pictures keep their metadata.
    old : the archive to append to.
    done : called with the entries and the size in bytes of each stored section.

    Attributes
    ----------
    adopted : pictures that an interrupted writer had coded already.
    embedded : bytes of models that were put into the archive.
    """

    def __init__(
        self,
        output: Output,
        coder: Coder,
        *,
        batch: int | None = None,
        embed_model: bool = False,
        threads: int = 1,
        keep_metadata: bool = True,
        old: Reader | None = None,
        done: Callable[[tuple[tables.Entry, ...], int], None] | None = None,
    ) -> None:
        self._output, self._coder, self._embed = output, coder, embed_model
        self._groups, self._keep = Groups(batch, coder.side), keep_metadata
        self._threads, self._done = max(1, threads), done
        self._pool = jobs.Pool(self._threads)
        self._pending: deque[Future[list[Coded]]] = deque()
        self._old = old
        self._models = list(old.models) if old else []
        self._stored: list[Stored] = []
        self._ids = [old.model_facts(n) for n in range(len(self._models))] if old else []
        self._payloads = [bytes.fromhex(known) + embedded for known, embedded in self._ids]
        self._number = self._known_model()
        self._ranks: dict[str, int] = {}
        self._replaying = True
        self.adopted = self.embedded = 0

    def add(self, name: str, image: PictureLike) -> None:
        """Append a picture. It is coded when its group is complete.

        Raises
        ------
        OptionError
            The name is not allowed in an archive.
        UnsupportedImageError
            The picture cannot be kept exactly.
        """
        item = Item.of(check_name(name), image, self._keep)
        self._ranks[name] = len(self._ranks)
        for group in self._groups.add(item):
            self._submit(group)

    def finish(self, share: int | None = None) -> None:
        """Code the remaining pictures, write the index and the tail, and finish the output.

        Parameters
        ----------
        share : hundredths of a percent of the sectors that recovery data can repair; 0 for no such data; None
            for as much as the archive that is appended to has.
        """
        for group in self._groups.rest():
            self._submit(group)
        while self._pending:
            self._collect()
        self._pool.shutdown()
        if self._stored or self._old is None:
            self._output.sync()  # the index must not name sections that are not on the disk
            links = self._old.indices if self._old else []
            stored, previous = self._stored, links[-1] if links else 0
            if self._old and len(links) >= _MAX_LINKED_INDICES:
                stored, previous = [*self._old.stored, *self._stored], 0
                first = {name: rank for rank, name in enumerate(self._old.places)}
                self._ranks = first | {name: len(first) + rank for name, rank in self._ranks.items()}
            order = tuple(self._ranks[entry.name] for part in stored for entry in part.entries)
            index = Index(previous, tuple(self._models), tuple(stored), order)
            at = self._output.put(sections.section(INDEX, tables.pack_index(index)))
            before = last_recovery(self._old.source, self._old.end) if self._old else None
            if share is None:
                share = before.percent if before else 0
            self._put_copies(at, with_sums=not share)
            if share:
                self._put_recovery(self._old.end if self._old and before else 0, share)
            self._output.put(sections.tail(at, self._output.at))
        self._output.finish()

    def _put_copies(self, index: int, *, with_sums: bool) -> None:
        """Store once more what all pictures depend on."""
        output = self._output
        first = copies.covered(self._old.end if self._old else 0, output.at) if with_sums else None
        sums = None if first is None else copies.sum_sectors(output.some, first, output.at)
        models = list(zip(self._models, self._payloads, strict=True))
        output.put(sections.section(COPY, copies.pack(models, index, output.at, sums)))

    def _put_recovery(self, start: int, share: int) -> None:
        """Store recovery data for what stands behind an offset."""
        output = self._output
        layout = recovery.plan(start // SECTOR * SECTOR, output.at, share)
        payload = recovery.make(output.some, layout, LEAD_BYTES, self._threads)
        output.put(sections.section(RECOVERY, payload))

    def abandon(self) -> None:
        """Stop without finishing. The stored sections stay for the next writer."""
        self._pool.shutdown(wait=False, cancel=True)
        self._output.abandon()

    def _submit(self, group: list[Item]) -> None:
        """Adopt a group from an interrupted writer, or start coding it."""
        if self._replaying:
            if self._adopt(group):
                return
            self._replaying = False
        number = len(self._models) if self._number is None else self._number
        large = sum(item.picture.width * item.picture.height for item in group) >= _ALL_THREADS_PIXELS
        while self._pending and (large or len(self._pending) >= 2 * self._threads):
            self._collect()
        threads = self._threads if large else 1
        self._pending.append(self._pool.submit(self._coder.code, group, number, threads))
        if large:
            self._collect()

    def _collect(self) -> None:
        """Wait for the oldest group, and store it."""
        future = self._pending.popleft()
        while not future.done():  # a worker thread may get the signal: then only the timeout ends the wait
            wait([future], _POLL_SECONDS)
        for coded in future.result():
            self._put(coded)

    def _put(self, coded: Coded) -> None:
        """Store a coded group, after the model if that is not stored yet."""
        if coded.learned and self._number is None:
            wanted = self._model_payload()
            if isinstance(coded.content, Batch) or len(wanted) > MODEL_ID_SIZE:
                self._place_model(self._output.put(sections.section(MODEL, wanted)), wanted)
        if isinstance(coded.content, Batch):
            parts: list[Buffer] = [*tables.pack_batch(coded.content, channels(coded.content))]
            kind = BATCH
        else:
            kind, parts = FILE, tables.pack_file(coded.items[0].name, coded.content)
        data = sections.section(kind, *parts)
        self._note(kind, self._output.put(data), coded.items, len(data))

    def _note(self, kind: str, at: int, items: Iterable[Item], size: int) -> None:
        """Remember a stored section for the index, and report it."""
        entries = tuple(item.entry for item in items)
        self._stored.append(Stored(kind, at, entries))
        if self._done is not None:
            self._done(entries, size)

    # --- the model of the archive ---------------------------------------------------------------------------

    def _known_model(self) -> int | None:
        """Return the number of the model if the archive has it already, else None."""
        model = self._coder.model
        for number, (known, embedded) in enumerate(self._ids):
            if model is not None and container.same_model(known, model.id) and (embedded or not self._embed):
                return number
        return None

    def _model_payload(self) -> bytes:
        assert self._coder.model is not None
        return bytes.fromhex(self._coder.model.id) + (self._coder.embedded() if self._embed else b"")

    def _place_model(self, at: int, payload: bytes) -> None:
        self.embedded += len(payload) - MODEL_ID_SIZE
        self._number = len(self._models)
        self._models.append(at)
        self._payloads.append(payload)

    # --- sections of an interrupted writer ------------------------------------------------------------------

    def _adopt(self, group: list[Item]) -> bool:
        """Return whether the recorded sections hold exactly this group; if so, keep them."""
        missing = {item.name: item for item in group}
        number, model_at = self._number, None
        found: list[tuple[str, int, list[Item], int]] = []
        for place, payload in self._output.recorded():
            if place.kind == MODEL and number is None and self._coder.model is not None:
                if bytes(payload) != self._model_payload():
                    return False
                number, model_at = len(self._models), place.at
                continue
            items = self._match(place.kind, payload, place.at, missing, number)
            if not items:
                return False
            for item in items:
                del missing[item.name]
            found.append((place.kind, place.at, items, place.size + FRAME_BYTES))
            if not missing:
                if model_at is not None:
                    self._place_model(model_at, self._model_payload())
                for kind, at, items, size in found:
                    self._note(kind, at, items, size)
                self._output.adopt(place.end)
                self.adopted += len(group)
                return True
        return False

    def _match(
        self, kind: str, payload: memoryview, at: int, missing: dict[str, Item], number: int | None
    ) -> list[Item]:
        """Return the pictures that a section holds; none unless all of them are to be written."""
        try:
            if kind == BATCH:
                found = tables.unpack_batch(payload, at)
                items = [missing[entry.name] for entry in found.entries]
                same = found.entries == tuple(item.entry for item in items) and found.model == number
                same = same and found.digest == batch_digest([item.digest for item in items])
                kept = [tables.blob(metadata_sections.pack(item.picture.metadata)) for item in items]
                return items if same and list(found.blobs) == kept else []
            if kind == FILE:
                name, data = tables.unpack_file(payload, at)
                item = missing[name]
                parsed = container.read(data, limits=container.Limits(max_pixels=2**62))
                kept_metadata = metadata_sections.unpack(parsed.sections, item.picture.mode)
                if parsed.header.digest == item.digest and kept_metadata == item.picture.metadata:
                    return [item]
        except (BBCodecError, KeyError):
            pass
        return []
