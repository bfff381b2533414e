# SPDX-License-Identifier: Apache-2.0
"""The section ``rcvr``, the last one of a file: recovery data for all bytes before it.

`bbcodec.container.recovery` makes them and finds them again, wherever the damage is. Nothing here decodes a
sample.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from bbcodec import container
from bbcodec.container import Buffer, recovery, varint
from bbcodec.container.recovery import Layout

__all__ = ["Mended", "add", "mend"]


@dataclass(frozen=True)
class Mended:
    """A repaired file.

    Attributes
    ----------
    data : bytes of the file. They are those that were written if `whole` is true.
    whole : whether all damaged sectors were repaired.
    what : description of the repair.
    """

    data: bytes
    whole: bool
    what: str


def add(data: bytes, percent: int, threads: int = 1) -> bytes:
    """Return a complete file with recovery data; `percent` is in hundredths of a percent."""
    content = memoryview(data)[: -len(container.END)]
    return _with_recovery(content, recovery.plan(0, len(content), percent), threads)


def mend(data: Buffer, threads: int = 1) -> Mended | None:
    """Repair a damaged file; return None if it has no recovery data, or if these find no damage."""
    view = memoryview(data).cast("B")

    def read(at: int, count: int) -> bytes:
        return bytes(view[at : at + count])

    found = [one for one in recovery.find(read, len(view)) if one.layout.start == 0]
    if not found:
        return None
    layout = found[0].layout
    fixed = recovery.repair(read, found[0], threads)
    content = bytearray(view[: layout.end].tobytes().ljust(layout.end, b"\0"))
    for at, sector in fixed.sectors.items():
        content[at : at + len(sector)] = sector
    if not fixed.lost:  # the section itself may be damaged: make it again
        whole = _with_recovery(content, layout, threads)
        what = str(fixed) if fixed.sectors else "only the recovery data are damaged"
        return None if whole == view else Mended(whole, True, what)
    return Mended(bytes(content) + bytes(view[layout.end :]), False, str(fixed))


def _with_recovery(content: Buffer, layout: Layout, threads: int) -> bytes:
    """Return a file of sections without end marker, with recovery data and end marker."""
    view = memoryview(content)
    lead = b""
    for _ in range(3):  # the padding depends on the bytes of the length, and the length on the padding
        pad = layout.front(len(lead)) - layout.end - len(lead)
        lead = container.RECOVERY.encode("ascii") + varint(pad + layout.size)
    payload = recovery.make(lambda at, count: bytes(view[at : at + count]), layout, len(lead), threads)
    check = zlib.crc32(payload, zlib.crc32(lead)).to_bytes(4, "little")
    return b"".join([view, lead, payload, check, container.END])
