# SPDX-License-Identifier: Apache-2.0
"""The models of an archive: each is given, embedded or installed.

Of a damaged archive, a model is also found by its copy at the end, by an id that is nearly right, or by
trial: the digest of a batch proves which model coded it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from bbcodec import container
from bbcodec.archive import sections
from bbcodec.archive.sections import MODEL, Source
from bbcodec.container import MODEL_ID_SIZE, Buffer, Section, is_model_size, same_model, short_id
from bbcodec.errors import BBCodecError, FormatError, ModelMissingError
from bbcodec.modelfile.registry import ModelLike, installed, model_like, released
from bbcodec.modelfile.registry import find as find_model

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["MAX_TRIED", "Models"]

MAX_TRIED: Final = 64  # models of an archive that are loaded without need
_MAX_FAILED_TRIALS: Final = 4  # batches for which all models are tried in vain; then no more are


class Models:
    """The models of an archive by their numbers. They are loaded at first use.

    Parameters
    ----------
    source : the file.
    offsets : offsets of the sections with models.
    given : a model to use besides the installed ones, if the archive names it.
    copies : payloads by offset, for an archive that may be damaged; None for one that must be sound.
    """

    def __init__(
        self,
        source: Source,
        offsets: tuple[int, ...],
        given: ModelLike | None,
        copies: Mapping[int, bytes] | None = None,
    ) -> None:
        self.offsets, self._source, self._given, self._copies = offsets, source, given, copies
        self._loaded: dict[int, Model] = {}
        self._numbers: dict[str, int] | None = None
        self._failed_trials = 0

    def facts(self, number: int) -> tuple[str, bytes]:
        """Return the id of a model, full or short, and its file (empty if it is not embedded).

        Raises
        ------
        FormatError
            The section is damaged, and there is no copy of it.
        """
        at = self.offsets[number]
        try:
            place = sections.mark(self._source, at)
            if place.kind != MODEL:
                raise FormatError(f"archive: section {place.kind} at byte {place.at}, expected a model")
            return _facts(sections.payload(self._source, place), at)
        except FormatError:
            if self._copies is None:
                raise
            if at in self._copies:
                return _facts(self._copies[at], at)
            found = self._damaged(at)
            if found is None:
                raise
            return found

    def _damaged(self, at: int) -> tuple[str, bytes] | None:
        """Return the facts of a damaged section if its file is intact or its id is nearly a released one."""
        from bbcodec.modelfile import delta, modelfile

        try:
            place = sections.mark(self._source, at)
            if place.kind == MODEL and not is_model_size(place.size):
                return None
            payload = self._source.read(at + sections.LEAD_BYTES, place.size)
        except FormatError:
            payload = self._source.some(at + sections.LEAD_BYTES, MODEL_ID_SIZE)
        embedded = payload[MODEL_ID_SIZE:]
        if embedded:
            with contextlib.suppress(BBCodecError):
                modelfile.load(embedded)
                return delta.id_of(embedded), embedded
        known = model_like(payload[:MODEL_ID_SIZE])
        return None if known is None else (known.id, b"")

    def get(self, number: int) -> Model:
        """Return a model: the given one, the embedded one, or an installed one.

        Raises
        ------
        FormatError
            The section of the model is damaged, or the embedded model has another id.
        ModelMissingError
            The model is neither given, embedded nor installed.
        """
        if number not in self._loaded:
            self._loaded[number] = self._load(*self.facts(number))
        return self._loaded[number]

    def _load(self, wanted: str, embedded: bytes) -> Model:
        from bbcodec import modelfile
        from bbcodec.modelfile import delta

        if self._given is not None and same_model((given := find_model(self._given)).id, wanted):
            return given
        if embedded:
            if delta.id_of(embedded) != wanted:
                raise FormatError(f"archive: the embedded model does not have the id {wanted}")
            return modelfile.load(embedded)
        if (found := installed(wanted)) is not None:
            return found
        raise ModelMissingError(f"the archive needs model {wanted}, which is neither embedded nor installed")

    def by_id(self, wanted: str) -> Model | None:
        """Return the model with an id, full or short; None if the archive does not list it."""
        if self._numbers is None:
            self._numbers = self._numbers_by_id()
        number = self._numbers.get(wanted, self._numbers.get(short_id(wanted)))
        return None if number is None else self.get(number)

    def _numbers_by_id(self) -> dict[str, int]:
        """Return the first number of each id, full and short."""
        out: dict[str, int] = {}
        for number in range(len(self.offsets)):
            try:
                known, _ = self.facts(number)
            except FormatError:
                if self._copies is None:
                    raise
            else:
                out.setdefault(known, number)
                out.setdefault(short_id(known), number)
        return out

    def candidates(self, number: int) -> Iterator[Model]:
        """Yield the models that may have coded a batch, the most probable one first.

        Of a sound archive it is the model with that number. Call `remember` with the one that fits.

        Raises
        ------
        FormatError
            The archive must be sound, and has no such model or a damaged one.
        ModelMissingError
            The model is known, but neither given, embedded nor installed.
        """
        if self._copies is None and number >= len(self.offsets):
            raise FormatError(
                f"archive: a batch needs model {number}, expected less than {len(self.offsets)}"
            )
        tried = set[str]()
        if number in self._loaded or number < len(self.offsets):
            try:
                model = self.get(number)
            except FormatError:
                if self._copies is None:
                    raise
            else:
                tried.add(model.id)
                yield model
        if self._copies is None or self._failed_trials >= _MAX_FAILED_TRIALS:
            return
        for model in self._others():
            if model.id not in tried:
                tried.add(model.id)
                yield model
        self._failed_trials += 1

    def _others(self) -> Iterator[Model]:
        """Yield all models that can be had."""
        for number in range(min(len(self.offsets), MAX_TRIED)):
            with contextlib.suppress(BBCodecError):
                yield self.get(number)
        if self._given is not None:
            yield find_model(self._given)
        for path in released().values():
            with contextlib.suppress(BBCodecError):
                yield find_model(path)

    def remember(self, number: int, model: Model) -> None:
        """Use a model for a number from now on."""
        self._loaded[number] = model


def _facts(payload: Buffer, at: int) -> tuple[str, bytes]:
    """Return the id and the file in the payload of a section."""
    return container.model_id_of(Section(MODEL, payload, at)), bytes(payload[MODEL_ID_SIZE:])
