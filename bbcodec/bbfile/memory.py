# SPDX-License-Identifier: Apache-2.0
"""Estimate the memory that decoding takes, from the header, before anything is allocated.

The estimate comes from measurements with the native backend and is rather too high. It does not count the
interpreter with its libraries (about 80 MB). The NumPy backend may take several times the estimate, and a
model in a file takes what its own limits allow (docs/format.md, "Model file").
"""

from __future__ import annotations

from typing import Final

from bbcodec.container import Header, Limits
from bbcodec.errors import LimitError, OptionError
from bbcodec.families.family import families
from bbcodec.picture.picture import Mode

__all__ = ["check", "estimate", "read_size"]

_COPIES: Final = 2  # copies of all samples: as decoded, and as put together or written
_MAX_WEBP_PIXELS: Final = 1 << 24  # pixels that the classic method decodes at a time
_WEBP_BYTES_PER_PIXEL: Final = 12  # ARGB of the library, ARGB of Pillow, samples
_PAINTED_BYTES_PER_PIXEL: Final = 4  # of a palette picture, whose samples may be coded as colours
_BASE_BYTES: Final = 16 << 20  # model and tables
_UNIT_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def estimate(pixels: int, mode: Mode, size: int, threads: int = 1) -> int:
    """Return an estimate of the bytes that decoding takes, without the interpreter.

    Parameters
    ----------
    pixels : width * height.
    mode : mode of the picture.
    size : bytes of the file, or of the section of an archive.
    threads : number of threads that decode.

    Examples
    --------
    >>> from bbcodec.picture.picture import MODES
    >>> round(estimate(24_000_000, MODES["RGB"], 10_000_000, 2) / 2**20)
    419
    """
    sample = {"bool": 1, "uint8": 1, "uint16": 2}[mode.dtype]
    samples = pixels * mode.channels * sample
    painted = pixels * _PAINTED_BYTES_PER_PIXEL if mode.name == "P" else 0
    learned = max(family.working_bytes(pixels, max(1, threads)) for family in families())
    classic = min(pixels, _MAX_WEBP_PIXELS) * _WEBP_BYTES_PER_PIXEL
    return _COPIES * samples + painted + max(learned, classic) + size + _BASE_BYTES


def check(header: Header, mode: Mode, size: int, limits: Limits, threads: int = 1) -> None:
    """Raise `LimitError` if decoding a file of `size` bytes may take more memory than the limit."""
    if limits.max_memory is None:
        return
    needed = estimate(header.width * header.height, mode, size, threads)
    if needed > limits.max_memory:
        raise LimitError(
            f"header: {header.width} x {header.height} {mode.name} takes about {needed} bytes of memory to "
            f"decode, the limit is {limits.max_memory}"
        )


def read_size(text: str) -> int:
    """Return the number of bytes that a text such as ``500M`` names; units are K, M, G, T of 1,024.

    Raises
    ------
    OptionError
        The text is not such a number, or the number is not in 1 to 2^63 - 1.

    Examples
    --------
    >>> read_size("2K"), read_size("1.5MiB"), read_size("77")
    (2048, 1572864, 77)
    """
    plain = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = plain[-1:] if plain[-1:] in "KMGT" else ""
    try:
        found = float(plain.removesuffix(unit)) * _UNIT_BYTES[unit]
        if not 1 <= found < 2**63:
            raise ValueError
    except ValueError:
        raise OptionError(f"size is {text!r}, expected a number of bytes such as 500M or 2G") from None
    return int(found)
