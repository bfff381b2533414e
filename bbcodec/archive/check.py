# SPDX-License-Identifier: Apache-2.0
"""Describe an archive, and verify all of it. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bbcodec.archive import sections
from bbcodec.archive.reader import Reader
from bbcodec.archive.sections import BATCH, FILE
from bbcodec.archive.tables import Stored
from bbcodec.errors import BBCodecError, FloatModeError
from bbcodec.modelfile.registry import full_id

__all__ = ["describe", "verify"]


def describe(reader: Reader) -> dict[str, Any]:
    """Return facts about an archive as JSON values, without decoding a picture."""
    batches = [stored for stored in reader.stored if stored.kind == BATCH]
    entries = [place.entry for place in reader.places.values()]
    samples = sum(entry.samples for entry in entries)
    kinds: dict[str, int] = {}
    for place in sections.walk(reader.source):
        kinds[place.kind] = kinds.get(place.kind, 0) + place.end - place.at
    models = [reader.model_facts(number) for number in range(len(reader.models))]
    return {
        "pictures": len(entries),
        "in_batches": sum(len(stored.entries) for stored in batches),
        "batches": len(batches),
        "file_size": reader.source.size,
        "bits_per_dim": 8 * reader.source.size / max(1, samples),
        "models": [{"id": full_id(model), "embedded_bytes": len(embedded)} for model, embedded in models],
        "bytes": {"head": sections.HEAD_SIZE, **dict(sorted(kinds.items()))},
        "indices": len(reader.indices),
        "unfinished_bytes": reader.source.size - reader.end,
    }


def verify(reader: Reader) -> Iterator[tuple[Stored, BBCodecError | None]]:
    """Decode every section with pictures; yield the section and its error, or None if it is intact.

    Raises
    ------
    FormatError
        A section without pictures is damaged: a model, an index, copies or recovery data.
    """
    for number in range(len(reader.models)):
        reader.model_facts(number)
    at = sections.HEAD_SIZE
    while at < reader.end:
        place = sections.mark(reader.source, at)
        if place.kind not in (BATCH, FILE):
            sections.payload(reader.source, place)
        at = place.end
    for stored in reader.stored:
        try:
            reader.pictures(stored)
        except FloatModeError:  # says nothing of the pictures
            raise
        except BBCodecError as error:
            yield stored, error
        else:
            yield stored, None
