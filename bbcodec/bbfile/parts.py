# SPDX-License-Identifier: Apache-2.0
"""What is in a ``.bb`` file: its parts, checked against its mode, and the report of `info`.

Nothing here decodes pixels or needs a model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bbcodec import classic, container
from bbcodec.bbfile import pieces
from bbcodec.container import MODEL_ID_SIZE, Buffer, Container, Header, Limits, Section, model_id_of
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.modelfile import registry
from bbcodec.picture import metadata, planes
from bbcodec.picture.picture import BY_CODE, Mode

__all__ = ["Info", "chains_of", "info", "mode_of", "palette_of", "parts_of"]


@dataclass(frozen=True)
class Info:
    """What is in a ``.bb`` file; `as_dict` gives JSON values.

    Parameters
    ----------
    format_version : str
        ``major.minor``.
    mode : str
    width, height, channels, bits_per_sample : int
    file_size : int
        Bytes.
    bits_per_dim : float
        Bits of the file for each sample of the picture.
    method : str
        ``classic``, ``learned`` or ``learned + classic``.
    coders : tuple of str
        What codes which planes.
    sections : tuple of dict
        ``type``, ``critical``, ``offset`` of the payload, ``size`` of the section in bytes, in file order.
    model_id : str or None
        64 hexadecimal digits.
    model_embedded : bool
    learned : dict or None
        Chains, tiles, latents, and the initial bits not got back, as the learned coder reports them.
    fit : dict or None
        Bytes of the section that changes the model for this picture, and what it changes.
    metadata : dict
        Sizes in bytes of ICC, EXIF, XMP; DPI, text and colour key themselves.
    digest : str
        Checksum of the decoded picture.
    """

    format_version: str
    mode: str
    width: int
    height: int
    channels: int
    bits_per_sample: int
    file_size: int
    bits_per_dim: float
    method: str
    coders: tuple[str, ...]
    sections: tuple[dict[str, Any], ...]
    model_id: str | None
    model_embedded: bool
    learned: dict[str, Any] | None
    fit: dict[str, Any] | None
    metadata: dict[str, Any]
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as values that `json` can write."""
        return asdict(self)


def info(data: Buffer, *, limits: Limits | int | None = None) -> Info:
    """Return what is in a ``.bb`` file, without decoding its pixels and without needing its model.

    Raises
    ------
    FormatError, LimitError
        As for `decompress`.

    Examples
    --------
    >>> import numpy as np
    >>> from bbcodec import compress
    >>> report = info(compress(np.zeros((4, 6), np.uint8)))
    >>> report.mode, report.width, report.height, report.method
    ('L', 6, 4, 'classic')
    """
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    header = parsed.header
    mode = mode_of(header)
    parts = parts_of(parsed, mode)
    palette_of(parsed, mode)
    coders = []
    for section, mask in parts:
        code = section.payload[1] if section.kind == container.CLASSIC else None
        name = (
            "learned"
            if code is None
            else classic.METHODS[code]
            if code < len(classic.METHODS)
            else f"unknown {code}"
        )
        coders.append(f"{planes.describe(mask)}: {name}")
    kinds = {"learned" if section.kind == container.CHAINS else "classic" for section, _ in parts}
    chains = parsed.one(container.CHAINS)
    size = memoryview(data).nbytes
    m = metadata.unpack(parsed.sections, mode.name, bounds)
    kept = {key: len(value) if isinstance(value, bytes) else value for key, value in asdict(m).items()}
    stored = parsed.one(container.MODEL)
    return Info(
        format_version=".".join(map(str, header.version)),
        mode=mode.name,
        width=header.width,
        height=header.height,
        channels=mode.channels,
        bits_per_sample={"bool": 1, "uint8": 8, "uint16": 16}[mode.dtype],
        file_size=size,
        bits_per_dim=8 * size / (header.width * header.height * mode.channels),
        method=" + ".join(sorted(kinds, reverse=True)),
        coders=tuple(coders),
        sections=tuple(
            {"type": s.kind, "critical": s.critical, "offset": s.offset, "size": s.size}
            for s in parsed.sections
        ),
        model_id=model_id_of(stored) if stored else None,
        model_embedded=stored is not None and len(stored.payload) > MODEL_ID_SIZE,
        learned=_inspect(parsed, chains) if chains else None,
        fit=_fit(parsed),
        metadata={key: value for key, value in kept.items() if value not in (None, ())},
        digest=header.digest.hex(),
    )


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


def _fit(parsed: Container) -> dict[str, Any] | None:
    """What a fit changes, as far as it tells without the model."""
    section = parsed.one(container.FITTED)
    if section is None:
        return None
    from bbcodec.families.local.fitted import unpack

    return {"bytes": section.size, **unpack(section.payload, section.offset).summary()}


def _inspect(parsed: Container, section: Section) -> dict[str, Any]:
    """Facts about the chains; the number of latents only where the model is at hand and sound."""
    from bbcodec.families import family

    chains = chains_of(section)
    try:
        model = registry.model_for(parsed, None)
        return family.inspect(chains, parsed.header.height, parsed.header.width, model)
    except BBCodecError:
        return family.inspect(chains, parsed.header.height, parsed.header.width)
