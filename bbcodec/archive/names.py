# SPDX-License-Identifier: Apache-2.0
"""Names of pictures in tables of an archive: what a name may be, and how names are packed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Final

from bbcodec.archive.budget import Budget
from bbcodec.container import Reader, varint
from bbcodec.errors import OptionError

__all__ = ["MAX_NAME_BYTES", "check_name", "pack", "read", "unpack"]

MAX_NAME_BYTES: Final = 4096
_STEP_BYTES: Final = 1 << 20  # of names that are taken from the budget at a time
_NOT_IN_A_PATH: Final = ("//", "/./", "/../", "\0")  # in a name with a slash before and behind it


def check_name(name: str) -> str:
    """Return the name if an archive can hold it: a relative path of parts joined by ``/``.

    Raises
    ------
    OptionError
        The name is empty, absolute, too long or not Unicode, or has an empty part, ``.``, ``..`` or a NUL.
    """
    try:
        wrong = _problem(name, len(name.encode("utf-8")))
    except UnicodeEncodeError:
        wrong = "is not Unicode text"
    if wrong:
        raise OptionError(f"name {name!r} {wrong}")
    return name


def _problem(name: str, size: int) -> str | None:
    """Return what is wrong with a name of `size` bytes, as the end of a sentence, or None."""
    if not 0 < size <= MAX_NAME_BYTES:
        return f"has {size} bytes, expected 1 to {MAX_NAME_BYTES}"
    framed = f"/{name}/"
    if "//" in framed or "/." in framed or "\0" in framed:
        if not any(part in framed for part in _NOT_IN_A_PATH):  # the name of a hidden file
            return None
        return "is not a relative path: it has an empty part, '.', '..' or a NUL"
    return None


def pack(names: Iterable[str]) -> list[bytes]:
    """Pack names, each without the prefix that it shares with the previous name."""
    out, before = [], b""
    for name in names:
        raw = name.encode("utf-8")
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(before, raw, strict=False))
        same = sum(1 for _ in shared)
        out.append(varint(same) + varint(len(raw) - same) + raw[same:])
        before = raw
    return out


def unpack(reader: Reader, count: int, budget: Budget) -> list[str]:
    """Return the names that `pack` packed; raise `LimitError` if they are too long together.

    There may be millions, so numbers of one or two bytes, which all lengths of names are, are read here.
    """
    view, at = reader.peek(), 0  # what is read here is taken from the reader at the end, or before an error
    out, before, untaken = [], b"", 0
    for _ in range(count):
        lengths = []
        for what in ("bytes shared with the name before", "bytes of a name"):
            pair = view[at : at + 2]
            if pair and pair[0] < 0x80:
                lengths.append(pair[0])
                at += 1
            elif len(pair) == 2 and 0 < pair[1] < 0x80:
                lengths.append(pair[0] & 0x7F | pair[1] << 7)
                at += 2
            else:
                reader.take(at, "names")
                raise reader.error(f"{what} is {reader.varint(what)}, expected at most {MAX_NAME_BYTES}")
        same, rest = lengths
        if same > len(before) or same + rest > MAX_NAME_BYTES or at + rest > len(view):
            reader.take(at, "names")
            raise reader.error(
                f"a name shares {same} bytes and adds {rest}, expected at most {len(before)} shared, "
                f"{MAX_NAME_BYTES} together and {reader.left} added"
            )
        untaken += same + rest
        if untaken > _STEP_BYTES:
            budget.take_name(untaken)
            untaken = 0
        before = before[:same] + view[at : at + rest]
        at += rest
        out.append(read(reader, before))
    budget.take_name(untaken)
    reader.take(at, "names")
    return out


def read(reader: Reader, raw: bytes) -> str:
    """Return bytes as a name that an archive can hold; raise `FormatError` if it cannot."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise reader.error(f"name {raw!r} is not UTF-8") from None
    if wrong := _problem(name, len(raw)):
        raise reader.error(f"name {name!r} {wrong}")
    return name
