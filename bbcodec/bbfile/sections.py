# SPDX-License-Identifier: Apache-2.0
"""The table of section types: what each holds, and how it is packed, unpacked, checked and salvaged.

A new section is one entry here, one paragraph in docs/format.md, and the module that packs it. Which types a
reader must know is a rule of the container (`bbcodec.container.CRITICAL`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from bbcodec import container
from bbcodec.bbfile import metadata_sections, palette_section, pieces, samples_sections
from bbcodec.container import Container, model_id_of
from bbcodec.errors import FormatError
from bbcodec.families import learned
from bbcodec.picture.picture import Mode

__all__ = ["TABLE", "Holds", "SectionType", "check", "holding"]


class Holds(Enum):
    """What a section holds."""

    SAMPLES = "samples"
    PALETTE = "palette"
    MODEL = "model"
    FIT = "changes of the model"
    CHECKSUMS = "checksums of pieces"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class SectionType:
    """One type of section.

    Attributes
    ----------
    kind : four letters, as in files.
    holds : what it holds.
    pack : makes a section or its payload.
    unpack : reads one; raises FormatError where it is damaged.
    check : raises FormatError where the section, or its absence, does not suit the file.
    salvage : what becomes of a file in which it is damaged (`bbcodec.bbfile.salvage`).
    """

    kind: str
    holds: Holds
    pack: Callable[..., Any]
    unpack: Callable[..., Any]
    check: Callable[[Container, Mode], None]
    salvage: str

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know the type must refuse the file."""
        return self.kind in container.CRITICAL


def _always(parsed: Container, mode: Mode) -> None:
    """Accept: the section suits every file."""


def _palette_only_in_p(parsed: Container, mode: Mode) -> None:
    section = parsed.one(container.PALETTE)
    if (section is None) == (mode.name == "P"):
        place = "missing in" if section is None else "found outside of"
        raise FormatError(f"file: palette section {place} a picture of mode P")


def _fit_needs_chains(parsed: Container, mode: Mode) -> None:
    if parsed.one(container.FITTED) and not parsed.one(container.CHAINS):
        raise FormatError(f"file: section {container.FITTED} without section {container.CHAINS}")


def _sums_fit_samples(parsed: Container, mode: Mode) -> None:
    kinds = holding(Holds.SAMPLES)
    samples = [section for section in parsed.sections if section.kind in kinds]
    pieces.check(parsed.one(container.SUMS), samples)


def _pack_model(model_id: str, file: bytes = b"") -> bytes:
    return bytes.fromhex(model_id) + file


TABLE: Final = {
    entry.kind: entry
    for entry in (
        SectionType(
            container.PALETTE,
            Holds.PALETTE,
            palette_section.pack_palette,
            palette_section.unpack_palette,
            _palette_only_in_p,
            "a ramp of gray stands for the colours",
        ),
        SectionType(
            container.MODEL,
            Holds.MODEL,
            _pack_model,
            model_id_of,
            _always,
            "the released model with nearly the same id is taken, or the one that the caller gives",
        ),
        SectionType(
            container.FITTED,
            Holds.FIT,
            learned.pack_fit,
            learned.unpack_fit,
            _fit_needs_chains,
            "the samples of the model are lost",
        ),
        SectionType(
            container.CHAINS,
            Holds.SAMPLES,
            samples_sections.pack_chains,
            samples_sections.unpack_chains,
            _always,
            "the pixels of damaged chains are gray; the others are decoded",
        ),
        SectionType(
            container.CLASSIC,
            Holds.SAMPLES,
            samples_sections.pack_classic,
            lambda section: (section.payload[0], section.payload[1:]),
            _always,
            "the pixels of damaged tiles are gray; a picture of one piece is decoded if its coder can",
        ),
        SectionType(
            container.SUMS,
            Holds.CHECKSUMS,
            pieces.pack,
            pieces.unpack,
            _sums_fit_samples,
            "pieces are found by the sizes in their own sections",
        ),
        *(
            SectionType(
                kind,
                Holds.METADATA,
                field.dump,
                field.load,
                _always,
                f"{field.name} is left out",
            )
            for kind, field in metadata_sections.FIELDS.items()
        ),
    )
}
"""Every type of section, by the four letters that files have, in the order of docs/format.md."""


def holding(holds: Holds) -> tuple[str, ...]:
    """Return the types that hold something."""
    return tuple(kind for kind, entry in TABLE.items() if entry.holds is holds)


def check(parsed: Container, mode: Mode) -> None:
    """Check every type of section against a file.

    Raises
    ------
    FormatError
        A section is missing, superfluous, or does not suit the others.
    """
    for entry in TABLE.values():
        entry.check(parsed, mode)
