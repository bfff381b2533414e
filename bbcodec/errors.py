# SPDX-License-Identifier: Apache-2.0
"""The exception classes of bbcodec, all derived from one root.

A message names the file, the offset or the field, what was found and what was expected. Programming errors
(wrong shapes, dtypes, ranges) stay ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

__all__ = [
    "BBCodecError",
    "FloatModeError",
    "FormatError",
    "LeftOutWarning",
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
    """The bytes do not follow the format: they are corrupt, truncated or hostile."""


class MessageUnderflow(FormatError):
    """A pop needs more words than the message holds: the message is truncated or corrupt."""


class ModelError(FormatError):
    """A ``.bbm`` model file is malformed, or its graph fails the static checks."""


class ModelMissingError(BBCodecError):
    """The model that a file needs is neither installed nor embedded."""


class UnsupportedImageError(BBCodecError):
    """The image has a mode, depth, size or channel count that the method or the format cannot hold."""


class LimitError(BBCodecError):
    """A declared size exceeds a limit of the caller (pixels, memory)."""


class FloatModeError(BBCodecError):
    """This thread computes with floats in another way than the format asks for."""


class OptionError(BBCodecError):
    """An option, or a combination of options, is not valid."""


class LeftOutWarning(UserWarning):
    """Part of an image file is not in the picture that was read from it. The message names the part."""
