# SPDX-License-Identifier: Apache-2.0
"""The parts of a ``.bb`` file, checked against its mode. Nothing here decodes pixels or needs a model."""

from __future__ import annotations

from bbcodec import container
from bbcodec.bbfile import pieces
from bbcodec.container import Container, Header, Section
from bbcodec.errors import FormatError
from bbcodec.picture import planes
from bbcodec.picture.picture import BY_CODE, Mode

__all__ = ["chains_of", "mode_of", "palette_of", "parts_of"]


def mode_of(header: Header) -> Mode:
    mode = BY_CODE.get(header.mode)
    if mode is None:
        raise FormatError(f"header: mode {header.mode}, expected 0 to {max(BY_CODE)}")
    if header.flags & 1 and mode.channels != 1:
        raise FormatError(f"header: flag 0x01 with mode {mode.name}, expected a mode of one channel")
    return mode


def parts_of(parsed: Container, mode: Mode) -> list[tuple[Section, int]]:
    """Return the sections that hold samples, with their plane masks: together, every sample once."""
    out: list[tuple[Section, int]] = []
    seen = 0
    for section in parsed.sections:
        if section.kind not in (container.CLASSIC, container.CHAINS):
            continue
        if len(section.payload) < 2:
            raise FormatError(
                f"section {section.kind} at byte {section.offset}: {len(section.payload)} bytes, "
                f"expected more"
            )
        mask = section.payload[0]
        place = planes.shape(mask, mode, 1, 1)
        learnable = mask == planes.COLOUR and mode.name not in ("1", "P")
        if place is None or mask & seen or (section.kind == container.CHAINS and not learnable):
            raise section.reader().error(
                f"plane mask {mask:#x} does not fit mode {mode.name}, or comes twice"
            )
        seen |= mask
        out.append((section, mask))
    if parsed.one(container.FITTED) and not parsed.one(container.CHAINS):
        raise FormatError(f"file: section {container.FITTED} without section {container.CHAINS}")
    if seen != planes.every(mode):
        raise FormatError(
            f"file: sections hold the planes {seen:#x}, mode {mode.name} has {planes.every(mode):#x}"
        )
    pieces.check(parsed.one(container.SUMS), [section for section, _ in out])
    return out


def palette_of(parsed: Container, mode: Mode) -> Section | None:
    """Return the palette section, which must be there in mode ``P``, and only there."""
    section = parsed.one(container.PALETTE)
    if (section is None) == (mode.name == "P"):
        place = "missing in" if section is None else "found outside of"
        raise FormatError(f"file: palette section {place} a picture of mode P")
    return section


def chains_of(section: Section) -> list[memoryview]:
    reader = section.reader()
    reader.u8("plane mask")
    count = reader.varint("number of chains")
    if count > reader.left:
        raise reader.error(f"{count} chains cannot stand in {reader.left} bytes")
    sizes = [reader.varint(f"size of chain {i}") for i in range(count)]
    chains = [reader.take(size, f"chain {i}") for i, size in enumerate(sizes)]
    reader.finish()
    return chains
