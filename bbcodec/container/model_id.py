# SPDX-License-Identifier: Apache-2.0
"""How a section names its model: by the full id, or by the first bytes of it.

Ids are hexadecimal digits everywhere else. Which of the two forms a writer chooses is the matter of
`bbcodec.modelfile.registry`; readers accept both.
"""

from __future__ import annotations

from typing import Final

from bbcodec.container.container import Section
from bbcodec.errors import FormatError

__all__ = ["MODEL_ID_SIZE", "SHORT_MODEL_ID_SIZE", "is_model_size", "model_id_of", "same_model", "short_id"]

MODEL_ID_SIZE: Final = 32  # bytes: SHA-256 of the model file
SHORT_MODEL_ID_SIZE: Final = 8  # bytes at the beginning of an id that stand for it; no model file follows


def is_model_size(size: int) -> bool:
    """Return whether a section that names a model can have this many bytes of payload."""
    return size == SHORT_MODEL_ID_SIZE or size >= MODEL_ID_SIZE


def model_id_of(section: Section) -> str:
    """Return the model id of a section, as 64 hexadecimal digits, or as the first 16 if it is short.

    Compare it with other ids by `same_model`.

    Raises
    ------
    FormatError
        The section has a size that neither form has.
    """
    size = len(section.payload)
    if not is_model_size(size):
        raise FormatError(
            f"section {section.kind}: {size} bytes, "
            f"expected at least {MODEL_ID_SIZE}, or {SHORT_MODEL_ID_SIZE} for a short id"
        )
    return bytes(section.payload[:MODEL_ID_SIZE]).hex()


def short_id(model_id: str) -> str:
    """Return the short form of an id, full or short."""
    return model_id[: 2 * SHORT_MODEL_ID_SIZE]


def same_model(one: str, other: str) -> bool:
    """Return whether two ids, each of them full or short, name the same model."""
    return one.startswith(other) or other.startswith(one)
