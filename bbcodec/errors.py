# SPDX-License-Identifier: Apache-2.0
"""The errors of bbcodec, all under one root.

Only exception classes live here. A message names the file, the offset or the field, what was found and what
was expected. Wrong arguments of a programmer (shapes, dtypes, ranges) stay ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

__all__ = [
    "BBCodecError",
    "FormatError",
    "LimitError",
    "MessageUnderflow",
    "ModelError",
    "ModelMissingError",
    "OptionError",
    "UnsupportedImageError",
]


class BBCodecError(Exception):
    """Root of every error that bbcodec raises on purpose."""


class FormatError(BBCodecError):
    """The bytes to be read are not what the format says: corrupt, truncated or hostile."""


class MessageUnderflow(FormatError):
    """More words were popped than the message holds: a truncated or corrupt message."""


class ModelError(FormatError):
    """A ``.bbm`` model file is malformed, or its graph fails the static checks."""


class ModelMissingError(BBCodecError):
    """The model that a file names is neither installed nor embedded."""


class UnsupportedImageError(BBCodecError):
    """The image has a mode, depth, size or channel count that this method cannot hold."""


class LimitError(BBCodecError):
    """A declared size is above the limit that the caller allows (pixels, memory)."""


class OptionError(BBCodecError):
    """An option, or a combination of options, makes no sense."""
