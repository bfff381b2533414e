# SPDX-License-Identifier: Apache-2.0
"""Find the sections with samples of a ``.bb`` file, and check all sections against its mode.

Nothing here decodes pixels or needs a model.
"""

from __future__ import annotations

from bbcodec import container
from bbcodec.bbfile import sections
from bbcodec.bbfile.learned_samples import is_learnable
from bbcodec.container import Container, Header, Section
from bbcodec.errors import FormatError
from bbcodec.picture import planes
from bbcodec.picture.picture import BY_CODE, Mode

__all__ = ["mode_of", "parts_of"]


def mode_of(header: Header) -> Mode:
    """Return the mode of a picture.

    Raises
    ------
    FormatError
        The mode in the header is not defined, or the flags do not suit it.
    """
    mode = BY_CODE.get(header.mode)
    if mode is None:
        raise FormatError(f"header: mode {header.mode}, expected 0 to {max(BY_CODE)}")
    if header.flags & 1 and mode.channels != 1:
        raise FormatError(f"header: flag 0x01 with mode {mode.name}, expected a mode of one channel")
    return mode


def parts_of(parsed: Container, mode: Mode) -> list[tuple[Section, int]]:
    """Return the sections with samples and their plane masks. Together they hold every sample once.

    All sections of the file are checked against each other and the mode (`bbcodec.bbfile.sections`).

    Raises
    ------
    FormatError
        Samples are missing or come twice, or a section does not suit the file.
    """
    out: list[tuple[Section, int]] = []
    seen = 0
    for section in parsed.sections:
        if section.kind not in sections.holding(sections.Holds.SAMPLES):
            continue
        if len(section.payload) < 2:
            raise FormatError(
                f"section {section.kind} at byte {section.offset}: {len(section.payload)} bytes, "
                f"expected at least 2"
            )
        mask = section.payload[0]
        place = planes.shape(mask, mode, 1, 1)
        refused = section.kind == container.CHAINS and not is_learnable(mask, mode)
        if place is None or mask & seen or refused:
            raise section.reader().error(
                f"plane mask {mask:#x} does not fit mode {mode.name}, or comes twice"
            )
        seen |= mask
        out.append((section, mask))
    if seen != planes.every(mode):
        raise FormatError(
            f"file: sections hold the planes {seen:#x}, mode {mode.name} has {planes.every(mode):#x}"
        )
    sections.check(parsed, mode)
    return out
