# SPDX-License-Identifier: Apache-2.0
"""The table of section types: what each holds, and how it is packed, unpacked, checked and salvaged.

A new section needs one entry here, one paragraph in docs/format.md, and the module that packs it. The
container defines which types a reader must know (`bbcodec.container.CRITICAL`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from bbcodec import container
from bbcodec.bbfile import metadata_sections, palette_section, pieces, recovery_section, samples_sections
from bbcodec.container import Container, model_id_of
from bbcodec.errors import FormatError
from bbcodec.families import learned
from bbcodec.modelfile.registry import model_payload
from bbcodec.picture.picture import Mode

__all__ = ["TABLE", "Holds", "SectionType", "check", "holding"]


class Holds(Enum):
    """The kinds of content of a section."""

    SAMPLES = "samples"
    PALETTE = "palette"
    MODEL = "model"
    FIT = "changes of the model"
    CHECKSUMS = "checksums of pieces"
    METADATA = "metadata"
    RECOVERY = "recovery data"


@dataclass(frozen=True, slots=True)
class SectionType:
    """One type of section.

    Attributes
    ----------
    kind : four letters, as in files.
    holds : kind of its content.
    pack : returns a section or its payload.
    unpack : returns the content of a section; raises FormatError if it is damaged.
    check : raises FormatError if the section, or its absence, does not suit the file.
    salvage : what `bbcodec.bbfile.salvage` does if the section is damaged, in words.
    """

    kind: str
    holds: Holds
    pack: Callable[..., Any]
    unpack: Callable[..., Any]
    check: Callable[[Container, Mode], None]
    salvage: str

    @property
    def critical(self) -> bool:
        """True if a reader that does not know the type must refuse the file."""
        return self.kind in container.CRITICAL


def _always(parsed: Container, mode: Mode) -> None:
    """Accept every file."""


def _palette_only_in_p(parsed: Container, mode: Mode) -> None:
    """Raise `FormatError` unless exactly the pictures of mode P have a palette."""
    section = parsed.one(container.PALETTE)
    if section is None and mode.name == "P":
        raise FormatError(f"file: section {container.PALETTE} is missing in a picture of mode P")
    if section is not None and mode.name != "P":
        raise FormatError(f"file: section {container.PALETTE} in a picture of mode {mode.name}, expected P")


def _fit_needs_chains(parsed: Container, mode: Mode) -> None:
    """Raise `FormatError` if a file has a fit but no chains."""
    if parsed.one(container.FITTED) and not parsed.one(container.CHAINS):
        raise FormatError(f"file: section {container.FITTED} without section {container.CHAINS}")


def _sums_match_samples(parsed: Container, mode: Mode) -> None:
    """Raise `FormatError` if the checksums of pieces do not match the sections with samples."""
    kinds = holding(Holds.SAMPLES)
    samples = [section for section in parsed.sections if section.kind in kinds]
    pieces.check(parsed.one(container.SUMS), samples)


TABLE: Final = {
    entry.kind: entry
    for entry in (
        SectionType(
            container.PALETTE,
            Holds.PALETTE,
            palette_section.pack_palette,
            palette_section.unpack_palette,
            _palette_only_in_p,
            "a ramp of gray replaces the colours",
        ),
        SectionType(
            container.MODEL,
            Holds.MODEL,
            model_payload,
            model_id_of,
            _always,
            "the caller's model is used, else the released model with nearly the same id",
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
            "the pixels of damaged chains are gray; other chains are decoded",
        ),
        SectionType(
            container.CLASSIC,
            Holds.SAMPLES,
            samples_sections.pack_classic,
            lambda section: (section.payload[0], section.payload[1:]),
            _always,
            "the pixels of damaged tiles are gray; a payload without tiles is decoded if its coder can",
        ),
        SectionType(
            container.SUMS,
            Holds.CHECKSUMS,
            pieces.pack,
            pieces.unpack,
            _sums_match_samples,
            "pieces are found by the sizes in their sections",
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
        SectionType(
            container.RECOVERY,
            Holds.RECOVERY,
            recovery_section.add,
            recovery_section.mend,
            _always,
            "what is left of it repairs the others",
        ),
    )
}
"""Every section type by its four letters, in the order of docs/format.md."""


def holding(holds: Holds) -> tuple[str, ...]:
    """Return the types of sections with this kind of content."""
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
