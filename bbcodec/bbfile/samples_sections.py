# SPDX-License-Identifier: Apache-2.0
"""The sections that hold samples: payloads of a model (``CHNS``), and of the classic method (``CLSC``).

Both begin with a plane mask (`bbcodec.picture.planes`), which says which samples of the picture they hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from bbcodec.container import CHAINS, CLASSIC, Section, varint

__all__ = ["chain_sizes", "pack_chains", "pack_classic", "unpack_chains"]


def pack_classic(mask: int, payload: bytes) -> Section:
    """Return the section of a payload of `bbcodec.classic` and the mask of its planes."""
    return Section(CLASSIC, bytes([mask]) + payload)


def pack_chains(mask: int, chains: Sequence[bytes]) -> Section:
    """Return the section of a model's payloads and the mask of their planes."""
    lengths = b"".join(varint(len(chain)) for chain in chains)
    head = bytes([mask]) + varint(len(chains)) + lengths
    return Section(CHAINS, b"".join([head, *chains]))  # in one go: it may be large


def chain_sizes(section: Section) -> tuple[int, list[int]]:
    """Return the bytes before the first payload, and the bytes of each payload, as the section says.

    Raises
    ------
    FormatError
        The list of sizes is damaged. Whether the payloads are there is not checked.
    """
    reader = section.reader()
    reader.u8("plane mask")
    count = reader.varint("number of chains")
    if count > reader.left:
        raise reader.error(f"{count} chains cannot stand in {reader.left} bytes")
    sizes = [reader.varint(f"size of chain {i}") for i in range(count)]
    return reader.offset - section.offset, sizes


def unpack_chains(section: Section) -> list[memoryview]:
    """Return the payloads of a section ``CHNS``.

    Raises
    ------
    FormatError
        The sizes do not fit the section.
    """
    start, sizes = chain_sizes(section)
    reader = section.reader()
    reader.take(start, "sizes of chains")
    chains = [reader.take(size, f"chain {i}") for i, size in enumerate(sizes)]
    reader.finish()
    return chains
