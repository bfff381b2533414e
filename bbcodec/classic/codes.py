# SPDX-License-Identifier: Apache-2.0
"""The method bytes at the start of classic payloads (docs/format.md, "Classic")."""

from __future__ import annotations

__all__ = ["DEFLATE", "LZMA", "LZMA_BITS", "METHODS", "PAINTED", "SPLIT16", "TILED", "WEBP"]

WEBP, TILED, DEFLATE, LZMA, SPLIT16, LZMA_BITS, PAINTED = range(7)
METHODS = ("webp", "webp tiles", "deflate", "lzma", "split16", "lzma bits", "painted")
"""Names of the method bytes, for reports."""
