# SPDX-License-Identifier: Apache-2.0
"""A whole picture file: header, sections, planes, digest."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import classic, metadata, palette
from .wire import Reader, demand, sections

MAGIC = b"\x89BBC\r\n\x1a\n"
# By mode: colour channels, alpha channels, bits of a sample.
MODES = [(1, 0, 1), (1, 0, 8), (1, 0, 8), (1, 1, 8), (3, 0, 8), (3, 1, 8), (1, 0, 16), (1, 0, 16), (1, 1, 16)]
MODES += [(3, 0, 16), (3, 1, 16)]
CRITICAL = ("PLTE", "MODL", "FITT", "CHNS", "CLSC")


@dataclass
class Picture:
    """A decoded file: `samples` is [H, W, C], uint8 or uint16."""

    mode: int
    flags: int
    samples: Any
    palette: palette.Palette | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def array(self) -> Any:
        """Return the samples as a user sees them: one channel has no axis, unless the flag says so."""
        one = self.samples.shape[2] == 1 and not self.flags & 1
        pixels = self.samples[..., 0] if one else self.samples
        return pixels.astype(bool) if self.mode == 0 else pixels

    def digest(self) -> bytes:
        """Return the picture digest of the header, 8 bytes."""
        height, width = self.samples.shape[:2]
        state = hashlib.blake2b(digest_size=8, person=b"bbcodec-pixels")
        state.update(bytes([self.mode, self.flags & 1]))
        state.update(width.to_bytes(4, "little") + height.to_bytes(4, "little"))
        if self.palette is not None:
            state.update(self.palette.digest_part())
        state.update(self.samples.astype(self.samples.dtype.newbyteorder("<")).tobytes())
        return state.digest()


def decode(data: bytes, models: Mapping[bytes, bytes]) -> Picture:
    """Decode a `.bb` file; `models` are model files by id."""
    reader = Reader(data)
    demand(reader.take(8) == MAGIC, "magic")
    demand(reader.number(1) == 1, "major version")
    reader.number(1)
    mode, flags = reader.number(1), reader.number(1)
    demand(mode < len(MODES), "mode")
    demand(flags <= 1 and (not flags or sum(MODES[mode][:2]) == 1), "flags")
    width, height = reader.varint(), reader.varint()
    demand(0 < width < 1 << 32 and 0 < height < 1 << 32 and width * height <= 1 << 30, "size of the picture")
    digest = reader.take(8)
    check = zlib.crc32(data[: reader.at])
    demand(reader.number(4) == check, "CRC of the header")

    found: dict[str, list[bytes]] = {}
    for kind, payload in sections(data, reader.at):
        demand(kind in CRITICAL or kind[0].islower(), f"unknown critical section {kind}")
        found.setdefault(kind, []).append(payload)
    demand(all(len(p) == 1 for k, p in found.items() if k != "CLSC"), "section occurs twice")
    demand(("PLTE" in found) == (mode == 2), "palette and mode")
    colours = palette.read(found["PLTE"][0]) if mode == 2 else None
    picture = Picture(mode, flags, None, colours)
    picture.samples = _planes(found, (height, width), mode, colours, models)
    demand(picture.digest() == digest, "picture digest")
    known = [(k, found[k][0]) for k in metadata.NAMES if k in found]
    picture.metadata = metadata.read(known, mode)
    return picture


def _uncoded(coded: Any, mode: int, colours: palette.Palette | None) -> Any:
    """Return samples, given what a model codes of them: indices as colours, bits as 0 and 255."""
    if colours is not None:
        return colours.indices(coded)
    if mode == 0:
        demand(np.isin(coded, (0, 255)).all(), "learned sample of a bilevel picture")
        return coded >> 7
    return coded


def _planes(
    found: dict[str, list[bytes]],
    size: tuple[int, int],
    mode: int,
    colours: palette.Palette | None,
    models: Mapping[bytes, bytes],
) -> Any:
    """Return all samples of the picture, from the sections that contain them."""
    colour, alpha, bits = MODES[mode]
    channels = colour + alpha
    whole = 1 | (2 if alpha else 0) | (4 if bits == 16 else 0) | (8 if alpha and bits == 16 else 0)
    high = np.zeros((*size, channels), np.uint16)
    low = np.zeros((*size, channels), np.uint16)
    seen = 0

    def put(mask: int, read: Any) -> None:
        """Store the result of `read(number of channels, whether samples have 16 bits)` as the mask says."""
        nonlocal seen
        demand(mask and not mask & ~whole and not mask & seen, "plane mask")
        seen |= mask
        wide = bool(mask & 12)
        if wide and mask & 3:
            demand(mask >> 2 == mask & 3, "low bytes without their high bytes")
        else:
            wide = False
        groups = (mask | mask >> 2) & 3
        where = list(range(colour)) * (groups & 1) + [colour] * (groups >> 1)
        values = read(len(where), wide).astype(np.uint16)
        if wide:
            high[..., where], low[..., where] = values >> 8, values & 255
        else:
            (high if mask & 3 else low)[..., where] = values

    for payload in found.get("CLSC", []):
        reader = Reader(payload)
        mask = reader.number(1)
        demand(not (mask & 12 and mask & 3) or mask >> 2 == mask & 3, "plane mask")
        put(mask, lambda c, wide, r=reader: classic.samples(r, (*size, c), wide, mode == 0, colours))
    if "CHNS" in found:
        from . import learned

        reader = Reader(found["CHNS"][0])
        mask = reader.number(1)
        demand(mask == 1 or (mask == 3 and alpha) or mask == whole, "mask of learned samples")
        demand("MODL" in found, "learned samples without a model")
        shape = (*size, 3 if mode == 2 else colour + (mask >> 1 & 1))
        read = learned.deep_samples if mask & 4 else learned.samples
        coded = read(reader.rest(), shape, found["MODL"][0], found.get("FITT", [None])[0], models)
        put(mask, lambda c, wide: _uncoded(coded, mode, colours))
    else:
        demand("FITT" not in found, "changes of a model without learned samples")
    demand(seen == whole, "samples are missing")
    demand(mode != 0 or high.max() <= 1, "bilevel sample above 1")
    return (high << 8 | low).astype(np.uint16) if bits == 16 else high.astype(np.uint8)
