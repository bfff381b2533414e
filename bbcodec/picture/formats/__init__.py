# SPDX-License-Identifier: Apache-2.0
"""Image file formats. A reader returns the picture and what of its source it could not keep."""

from __future__ import annotations

from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.formats.registry import read, read_again

__all__ = ["Reading", "read", "read_again"]
