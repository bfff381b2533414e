# SPDX-License-Identifier: Apache-2.0
"""The section ``sums``: sizes and checksums of the pieces (head, chains, tiles) of sections with samples.

The checksum of a section says whether all of it is intact. The checksums of its pieces say which chain or
tile is damaged, and their sizes say where the others begin, even if the head of the section is damaged. A
file whose sections have one piece each, or only a few small chains, has no section ``sums``. Nothing here
decodes a sample.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from bbcodec import classic, container
from bbcodec.bbfile.samples_sections import chain_sizes
from bbcodec.container import Buffer, Section, varint
from bbcodec.errors import FormatError

__all__ = ["Piece", "check", "pack", "sizes", "unpack"]

_MIN_ENTRY_BYTES = 5  # bytes of a piece in the section: size and CRC-32
_MIN_CHAINS_BYTES = 1024  # in a smaller section, little is saved by knowing which chain is damaged


@dataclass(frozen=True, slots=True)
class Piece:
    """The entry of one piece.

    Attributes
    ----------
    at, size : offset of the piece in the payload and its length, bytes.
    crc : CRC-32 of the piece.
    """

    at: int
    size: int
    crc: int

    def is_intact(self, payload: Buffer) -> bool:
        """Return whether a payload holds the piece unchanged."""
        found = memoryview(payload)[self.at : self.at + self.size]
        return len(found) == self.size and zlib.crc32(found) == self.crc


def sizes(section: Section, height: int, width: int) -> list[int]:
    """Return the bytes of each piece of a section with samples, the head first; empty if it is one piece.

    Raises
    ------
    FormatError
        The list of sizes in the payload is damaged.
    """
    if section.kind == container.CLASSIC:
        found = classic.pieces(section.payload[1:], height, width)
        found = [1 + found[0], *found[1:]] if found else []
    else:
        start, chains = chain_sizes(section)
        found = [start, *chains]
    return found if len(found) > 2 else []


def pack(sections: Sequence[Section], height: int, width: int) -> list[Section]:
    """Return the section ``sums`` of a file's sections, in a list; empty if none has pieces to tell apart."""
    out: list[bytes] = []
    has_pieces = False
    for section in sections:
        if section.kind not in (container.CLASSIC, container.CHAINS):
            continue
        found = sizes(section, height, width)
        is_small = section.kind == container.CHAINS and len(section.payload) < _MIN_CHAINS_BYTES
        has_pieces |= bool(found) and not is_small
        out.append(varint(len(found)))
        at, view = 0, memoryview(section.payload)
        for size in found:
            out.append(varint(size) + zlib.crc32(view[at : at + size]).to_bytes(4, "little"))
            at += size
    return [Section(container.SUMS, b"".join(out))] if has_pieces else []


def unpack(section: Section) -> list[list[Piece]]:
    """Return the pieces of every section with samples, in file order; an empty list for one of one piece.

    Raises
    ------
    FormatError
        The section breaks a rule of the format.
    """
    reader, out = section.reader(), []
    while reader.left:
        count = reader.varint("number of pieces")
        if count in (1, 2) or count * _MIN_ENTRY_BYTES > reader.left:
            raise reader.error(f"{count} pieces, expected 0, or at least 3 that fit in {reader.left} bytes")
        found: list[Piece] = []
        at = 0
        for _ in range(count):
            size, crc = reader.varint("size of a piece"), reader.u32("checksum of a piece")
            found.append(Piece(at, size, crc))
            at += size
        out.append(found)
    return out


def check(section: Section | None, samples: Sequence[Section]) -> None:
    """Raise `FormatError` if a section ``sums`` does not match the sections with samples."""
    if section is None:
        return
    listed = unpack(section)
    if len(listed) != len(samples):
        raise FormatError(
            f"section {section.kind} lists {len(listed)} sections, the file has {len(samples)} with samples"
        )
    for pieces, other in zip(listed, samples, strict=True):
        whole = sum(piece.size for piece in pieces)
        if pieces and whole != len(other.payload):
            raise FormatError(
                f"section {section.kind} lists {whole} bytes of {other.kind}, which has {len(other.payload)}"
            )
        for number, piece in enumerate(pieces):
            if not piece.is_intact(other.payload):
                raise FormatError(
                    f"section {section.kind}: the checksum of piece {number} of {other.kind} does not match"
                )
