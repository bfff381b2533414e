# SPDX-License-Identifier: Apache-2.0
"""Describe a ``.bb`` file. Nothing here decodes pixels or needs a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bbcodec import classic, container
from bbcodec.bbfile import deep_samples, metadata_sections
from bbcodec.bbfile.learned_samples import channels
from bbcodec.bbfile.parts import mode_of, parts_of
from bbcodec.bbfile.samples_sections import unpack_chains
from bbcodec.container import MODEL_ID_SIZE, Buffer, Container, Limits, Section, model_id_of
from bbcodec.errors import BBCodecError
from bbcodec.families import learned
from bbcodec.modelfile import registry
from bbcodec.picture import planes
from bbcodec.picture.picture import Mode

__all__ = ["Info", "info"]


@dataclass(frozen=True)
class Info:
    """The content of a ``.bb`` file; `as_dict` returns it as JSON values.

    Parameters
    ----------
    format_version : str
        ``major.minor``.
    mode : str
    width, height, channels, bits_per_sample : int
    file_size : int
        Bytes.
    bits_per_dim : float
        Bits of the file divided by the samples of the picture (bits/dim).
    method : str
        ``classic``, ``learned`` or ``learned + classic``.
    coders : tuple of str
        Planes and their coder.
    sections : tuple of dict
        ``type``, ``critical``, ``offset`` of the payload and ``size`` of the section in bytes, in file order.
    model_id : str or None
        64 hexadecimal digits; the 16 of a short id if no installed model has it.
    model_embedded : bool
    learned : dict or None
        Chains, tiles, latents, and the initial bits that bits-back coding does not return.
    fit : dict or None
        Bytes of the fit (changes of the model for this picture), and what it changes.
    metadata : dict
        Sizes of ICC, EXIF and XMP in bytes; values of DPI, text and colour key; notes with their sizes.
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
        """Return the fields as JSON values."""
        return asdict(self)


def info(data: Buffer, *, limits: Limits | int | None = None) -> Info:
    """Return the content of a ``.bb`` file; see `bbcodec.info`.

    Raises
    ------
    FormatError, LimitError
        As for `bbcodec.decompress`.
    """
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    header = parsed.header
    mode = mode_of(header)
    parts = parts_of(parsed, mode)
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
    m = metadata_sections.unpack(parsed.sections, mode.name, bounds)
    kept = {key: len(value) if isinstance(value, bytes) else value for key, value in asdict(m).items()}
    kept["notes"] = tuple(
        {"format": note.format, "key": note.key, "size": len(note.data)} for note in m.notes
    )
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
        model_id=registry.full_id(model_id_of(stored)) if stored else None,
        model_embedded=stored is not None and len(stored.payload) > MODEL_ID_SIZE,
        learned=_inspect(parsed, chains, mode) if chains else None,
        fit=_fit(parsed),
        metadata={key: value for key, value in kept.items() if value not in (None, ())},
        digest=header.digest.hex(),
    )


def _fit(parsed: Container) -> dict[str, Any] | None:
    """Return the facts about a fit that need no model, or None without a fit."""
    section = parsed.one(container.FITTED)
    if section is None:
        return None
    return {"bytes": section.size, **learned.unpack_fit(section).summary()}


def _inspect(parsed: Container, section: Section, mode: Mode) -> dict[str, Any]:
    """Return facts about the chains; the number of latents only if the model is available and intact."""
    chains = unpack_chains(section)
    if deep_samples.is_deep(section.payload[0]):
        return {"chains": len(chains)}
    count = channels(section.payload[0], mode)
    height, width = parsed.header.height, parsed.header.width
    try:
        model = registry.model_for(parsed, None)
        return learned.inspect(chains, height, width, model, count)
    except BBCodecError:
        return learned.inspect(chains, height, width)
