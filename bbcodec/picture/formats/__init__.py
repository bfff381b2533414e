# SPDX-License-Identifier: Apache-2.0
"""Image file formats. A reader returns the picture and what of its source it could not keep."""

from __future__ import annotations

from bbcodec.picture.formats.defaults import default_format
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.formats.registry import read, read_again
from bbcodec.picture.formats.signatures import HEAD_BYTES, Foreign, foreign, sniff

__all__ = ["HEAD_BYTES", "Foreign", "Reading", "default_format", "foreign", "read", "read_again", "sniff"]
