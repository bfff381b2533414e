# SPDX-License-Identifier: Apache-2.0
"""Pack and unpack the sections with samples: chains of a model (``CHNS``), classic payloads (``CLSC``).

Both begin with a plane mask (`bbcodec.picture.planes`): which samples of the picture they hold. Chains of
samples of 16 bits have a deep head before their sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from bbcodec.container import CHAINS, CLASSIC, Reader, Section, varint
from bbcodec.picture.planes import ALPHA_LOW, COLOUR_LOW

__all__ = ["chain_sizes", "deep_head", "pack_chains", "pack_classic", "unpack_chains"]


def pack_classic(mask: int, payload: bytes) -> Section:
    """Return the section ``CLSC`` of a payload of `bbcodec.classic` and its plane mask."""
    return Section(CLASSIC, bytes([mask]) + payload)


def pack_chains(mask: int, chains: Sequence[bytes], deep: bytes = b"") -> Section:
    """Return the section ``CHNS`` of the chains of a model, their plane mask, and perhaps a deep head."""
    lengths = b"".join(varint(len(chain)) for chain in chains)
    told = varint(len(deep)) + deep if _has_deep_head(mask) else b""
    head = bytes([mask]) + told + varint(len(chains)) + lengths
    return Section(CHAINS, b"".join([head, *chains]))  # joined once: it may be large


def _has_deep_head(mask: int) -> bool:
    return bool(mask & (COLOUR_LOW | ALPHA_LOW))


def deep_head(section: Section) -> Reader:
    """Return the deep head of a section ``CHNS``.

    Raises
    ------
    FormatError
        It has none, or does not fit into the section.
    """
    reader = section.reader()
    if not _has_deep_head(reader.u8("plane mask")):
        raise reader.error("there is no deep head before the chains")
    size = reader.varint("size of the deep head")
    at = reader.offset
    return Reader(reader.take(size, "deep head"), "deep head", at)


def chain_sizes(section: Section) -> tuple[int, list[int]]:
    """Return the bytes before the first chain, and the listed bytes of each chain.

    Raises
    ------
    FormatError
        The list of sizes is damaged. The chains themselves are not checked.
    """
    reader = section.reader()
    if _has_deep_head(reader.u8("plane mask")):
        reader.take(reader.varint("size of the deep head"), "deep head")
    count = reader.varint("number of chains")
    if count > reader.left:
        raise reader.error(f"{count} chains do not fit in {reader.left} bytes")
    sizes = [reader.varint(f"size of chain {i}") for i in range(count)]
    return reader.offset - section.offset, sizes


def unpack_chains(section: Section) -> list[memoryview]:
    """Return the chains of a section ``CHNS``.

    Raises
    ------
    FormatError
        The listed sizes do not match the section.
    """
    start, sizes = chain_sizes(section)
    reader = section.reader()
    reader.take(start, "sizes of chains")
    chains = [reader.take(size, f"chain {i}") for i, size in enumerate(sizes)]
    reader.finish()
    return chains
