# SPDX-License-Identifier: Apache-2.0
"""Facsimile compression in TIFF: runs of ITU-T T.4 in one or two dimensions, and T.6 (CCITT G3, G4, RLE).

A row that does not add up is an error here. libtiff writes a line to standard error instead, and goes on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError, UnsupportedImageError

__all__ = ["fax_rows"]

_PEEK_BITS: Final = 13  # the longest code
_EOL_BITS, _EOL = 12, 1
# Codes of runs of 0 to 63 pixels, then of 64, 128, ... 1728 (T.4, tables 2 and 3).
_WHITE: Final = """
00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010
101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010
00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010
00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100
00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100
11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101
011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011
010011000 010011001 010011010 011000 010011011
"""
_BLACK: Final = """
0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000
0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111
00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010
000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100
000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100
000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000
000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011
0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100
0000001010101 0000001011010 0000001011011 0000001100100 0000001100101
"""
# Of 1792, 1856, ... 2560, for both colours.
_LONG: Final = """
00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110
000000010111 000000011100 000000011101 000000011110 000000011111
"""
_PASS, _HORIZONTAL = 4, 5  # other modes are vertical: where the run ends, relative to the row above
_MODES: Final = {
    "0001": _PASS,
    "001": _HORIZONTAL,
    "1": 0,
    "011": 1,
    "000011": 2,
    "0000011": 3,
    "010": -1,
    "000010": -2,
    "0000010": -3,
}
_UNCOMPRESSED: Final = "0000001111"  # the extension that some writers of G4 use


def _table(codes: dict[str, int]) -> list[tuple[int, int] | None]:
    """Return value and length of the code that each window of 13 bits begins with."""
    table: list[tuple[int, int] | None] = [None] * (1 << _PEEK_BITS)
    for code, value in codes.items():
        free = _PEEK_BITS - len(code)
        first = int(code, 2) << free
        table[first : first + (1 << free)] = [(value, len(code))] * (1 << free)
    return table


def _runs(codes: str) -> list[tuple[int, int] | None]:
    lengths = (*range(64), *range(64, 1729, 64))
    long = zip(_LONG.split(), range(1792, 2561, 64), strict=True)
    return _table({**dict(zip(codes.split(), lengths, strict=True)), **dict(long)})


_RUN_TABLES: Final = (_runs(_WHITE), _runs(_BLACK))
_MODE_TABLE: Final = _table(_MODES)


def fax_rows(
    data: bytes | memoryview, rows: int, columns: int, *, scheme: int, options: int = 0
) -> NDArray[np.uint8]:
    """Return the samples ``[rows, columns]`` of a strip or tile, black as 1.

    Parameters
    ----------
    data : with the first pixel in the highest bit.
    rows, columns : pixels.
    scheme : 2 for runs in rows that begin at a byte, 3 for T.4, 4 for T.6.
    options : T4Options: 1 for rows in two dimensions, 2 for the uncompressed mode.

    Raises
    ------
    FormatError
        There is no code at a place, a row has too many pixels, or rows are missing.
    UnsupportedImageError
        The data use the uncompressed mode.
    """
    bits = _BitReader(data)
    marks = np.zeros((rows, columns + 1), np.uint8)
    above: list[int] = []
    for row in range(rows):
        if scheme == 4:
            above = _row_2d(bits, above, columns)
        elif scheme == 3:
            ended = bits.skip_eol()
            if options & 1 and not ended:
                raise bits.error("a row without its beginning")
            in_two = bool(options & 1) and not bits.take_bit()
            above = _row_2d(bits, above, columns) if in_two else _row_1d(bits, columns)
        else:
            bits.at = -(-bits.at // 8) * 8
            above = _row_1d(bits, columns)
        if bits.at > bits.count:
            raise bits.error("the end")
        if len(set(above)) < len(above):
            above = _without_empty_runs(above)
        marks[row, above] = 1
    np.bitwise_xor.accumulate(marks, axis=1, out=marks)
    return marks[:, :columns]


def _without_empty_runs(changes: list[int]) -> list[int]:
    kept: list[int] = []
    for at in changes:
        if kept and kept[-1] == at:
            kept.pop()
        else:
            kept.append(at)
    return kept


class _BitReader:
    """Reader of codes: `at` is the next bit, `count` the number of bits."""

    def __init__(self, data: bytes | memoryview) -> None:
        padded = np.zeros(len(data) + 4, np.uint32)
        padded[: len(data)] = np.frombuffer(data, np.uint8)
        word = padded[:-2] << np.uint32(16) | padded[1:-1] << np.uint32(8) | padded[2:]
        shifts = np.arange(24 - _PEEK_BITS, 24 - _PEEK_BITS - 8, -1, dtype=np.uint32)
        windows = word[:, None] >> shifts & np.uint32((1 << _PEEK_BITS) - 1)
        self.windows = memoryview(windows.astype(np.uint16).reshape(-1).tobytes()).cast("H")
        self.at, self.count = 0, 8 * len(data)

    def error(self, what: str) -> FormatError:
        return FormatError(f"TIFF: facsimile data are damaged: {what} at bit {self.at} of {self.count}")

    def peek(self) -> int:
        """Return the next 13 bits, with zeros behind the end."""
        if self.at > self.count:
            raise self.error("the end")
        return self.windows[self.at]

    def take_bit(self) -> int:
        bit = self.peek() >> (_PEEK_BITS - 1)
        self.at += 1
        return bit

    def skip_eol(self) -> bool:
        """Skip zeros and the one behind them, if they are an end-of-line code; return whether they were."""
        if self.peek() >> (_PEEK_BITS - _EOL_BITS) > _EOL:
            return False
        while self.at < self.count and not self.take_bit():
            pass
        return True

    def run(self, colour: int) -> int:
        """Return the length of the next run of a colour (0 white, 1 black)."""
        total = 0
        table = _RUN_TABLES[colour]
        while True:
            found = table[self.peek()]
            if found is None:
                raise self.error("no code of a run")
            self.at += found[1]
            total += found[0]
            if found[0] < 64:
                return total


def _row_1d(bits: _BitReader, columns: int) -> list[int]:
    """Return where a row changes its colour, for runs that begin with white."""
    changes: list[int] = []
    end = colour = 0
    while end < columns:
        end += bits.run(colour)
        changes.append(end)
        colour ^= 1
    if end > columns:
        raise bits.error("a row of too many pixels")
    return changes


def _row_2d(bits: _BitReader, above: list[int], columns: int) -> list[int]:
    """Return where a row changes its colour, for modes relative to the row above."""
    changes: list[int] = []
    reference = [*above, columns, columns, columns]
    at, colour, place = 0, 0, 0
    begun = False  # before the first pixel, a change at column 0 lies ahead
    while at < columns:
        found = _MODE_TABLE[bits.peek()]
        if found is None:
            if bits.peek() >> (_PEEK_BITS - len(_UNCOMPRESSED)) == int(_UNCOMPRESSED, 2):
                raise UnsupportedImageError(
                    "TIFF: the uncompressed mode of facsimile data is not supported; decode it to PNG first"
                )
            raise bits.error("no code of a mode")
        mode, length = found
        bits.at += length
        # The first change in the row above, right of here, to the colour that this row does not have here.
        while place > 0 and reference[place - 1] > at:
            place -= 1
        while reference[place] < columns and (
            reference[place] < at or (reference[place] == at and begun) or place & 1 != colour
        ):
            place += 1
        if mode == _PASS:
            at = reference[place + 1]
        elif mode == _HORIZONTAL:
            first = at + bits.run(colour)
            at = first + bits.run(colour ^ 1)
            changes += (first, at)
        else:
            end = reference[place] + mode
            if end < at:
                raise bits.error("a run of less than no pixels")
            at = end
            changes.append(at)
            colour ^= 1
        begun = True
    if at > columns:
        raise bits.error("a row of too many pixels")
    return changes
