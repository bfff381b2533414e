# SPDX-License-Identifier: Apache-2.0
"""The container: layout to the byte, checks, limits, unknown sections."""

from __future__ import annotations

import struct
import zlib

import pytest

from bbcodec import container
from bbcodec.container import Header, Limits, Reader, Section, varint
from bbcodec.errors import FormatError, LimitError

HEADER = Header(mode=4, flags=0, width=640, height=480, digest=b"12345678")


def file_of(*sections: Section, header: Header = HEADER) -> bytes:
    return container.write(header, sections)


SIZE = 28  # bytes of this header: two for each side


def with_header(data: bytes, at: int, value: bytes, instead: int | None = None) -> bytes:
    """Return a file with changed header bytes and a checksum that fits them."""
    head = data[:at] + value + data[at + (len(value) if instead is None else instead) : SIZE - 4]
    return head + struct.pack("<I", zlib.crc32(head)) + data[SIZE:]


def test_layout_to_the_byte() -> None:
    data = file_of(Section("CLSC", b"\x01abc"), Section("exif", b"xy"))
    head = b"\x89BBC\r\n\x1a\n" + bytes([1, 0, 4, 0, 0x80, 5, 0xE0, 3]) + b"12345678"
    expected = head + struct.pack("<I", zlib.crc32(head))
    for body in (b"CLSC\x04\x01abc", b"exif\x02xy"):
        expected += body + struct.pack("<I", zlib.crc32(body))
    assert data == expected + b"\0"
    assert len(head) + 4 == SIZE
    assert len(file_of(header=Header(4, 0, 127, 1, bytes(8)))) == 26 + 1
    assert len(file_of(header=Header(4, 0, 2**32 - 1, 2**32 - 1, bytes(8)))) == 34 + 1


def test_round_trip_gives_sections_in_order() -> None:
    sections = [
        Section("PLTE", b"p"),
        Section("CLSC", b"a" * 300),
        Section("CLSC", b""),
        Section("text", b"t"),
    ]
    parsed = container.read(file_of(*sections))
    assert parsed.header == HEADER
    assert [(s.kind, bytes(s.payload)) for s in parsed.sections] == [(s.kind, s.payload) for s in sections]
    assert parsed.one("text") is parsed.sections[3]
    assert parsed.one("exif") is None
    assert len(parsed.all("CLSC")) == 2


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63 - 1])
def test_varint_round_trip(value: int) -> None:
    reader = Reader(varint(value), "test")
    assert reader.varint("value") == value
    reader.finish()


@pytest.mark.parametrize("raw", [b"\x80\x00", b"\xff" * 9 + b"\x01", b"\x80" * 10, b"\x80", b""])
def test_varint_refuses(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Reader(raw, "test").varint("value")


@pytest.mark.parametrize("value", [-1, 2**63])
def test_varint_range(value: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        varint(value)


def test_unknown_ancillary_is_kept_aside_and_unknown_critical_refused() -> None:
    assert len(container.read(file_of(Section("zzzz", b"future"))).sections) == 1
    with pytest.raises(FormatError, match="unknown critical section 'ZZZZ'"):
        container.read(file_of(Section("ZZZZ", b"future")))


@pytest.mark.parametrize("data", [b"", b"\x89BBC", b"\x89PNG\r\n\x1a\n" + bytes(40), b"BM" + bytes(100)])
def test_wrong_magic_or_too_short(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"magic|needs"):
        container.read(data)


def test_text_mode_transfer_is_noticed() -> None:
    with pytest.raises(FormatError, match="magic"):
        container.read(file_of().replace(b"\r\n", b"\n"))


def test_versions() -> None:
    newer_minor = with_header(file_of(), 9, b"\x07")
    assert container.read(newer_minor).header.version == (1, 7)
    with pytest.raises(FormatError, match=r"format version is 2\.0"):
        container.read(with_header(file_of(), 8, b"\x02"))
    with pytest.raises(FormatError, match=r"format version is 2\.9"):
        container.read(container.MAGIC + b"\2\x09 and another header")


def test_unknown_flags_and_empty_size() -> None:
    with pytest.raises(FormatError, match="flags"):
        container.read(with_header(file_of(), 11, b"\x02"))
    for side in (0, 2**32, 2**63 - 1):
        with pytest.raises(FormatError, match=f"{side} x 480"):
            container.read(with_header(file_of(), 12, varint(side), 2))


def test_pixel_limit() -> None:
    huge = with_header(file_of(), 12, varint(2**32 - 1) * 2, 4)
    with pytest.raises(LimitError, match="4294967295 x 4294967295"):
        container.read(huge)
    with pytest.raises(LimitError, match="limit is 1000"):
        container.read(file_of(), limits=Limits(max_pixels=1000))
    assert container.read(huge, limits=Limits(max_pixels=2**64)).header.width == 2**32 - 1


def test_end_marker() -> None:
    data = file_of(Section("CLSC", b"a"))
    with pytest.raises(FormatError, match="1 bytes too many"):
        container.read(data + b"\0")
    with pytest.raises(FormatError, match="section type or end marker"):
        container.read(data[:-1])
    with pytest.raises(FormatError, match="section type"):
        container.read(data[:-1] + b"\1")


def test_section_type_must_be_letters() -> None:
    with pytest.raises(FormatError, match="four ASCII letters"):
        container.read(file_of(Section("AB1D", b"")))


def test_length_beyond_the_file() -> None:
    data = file_of()[:-1] + b"CLSC" + varint(2**60)
    with pytest.raises(FormatError, match="CLSC needs 1152921504606846976 bytes, found 0"):
        container.read(data)


@pytest.mark.parametrize("kind", ["PLTE", "MODL", "CHNS", "exif", "zzzz"])
def test_second_section_of_a_kind(kind: str) -> None:
    with pytest.raises(FormatError, match="second section"):
        container.read(file_of(Section(kind, b"a"), Section(kind, b"a")))


def test_every_changed_byte_is_noticed() -> None:
    data = file_of(Section("CLSC", bytes(range(20))), Section("exif", b"meta"))
    for at in range(len(data)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            with pytest.raises(FormatError):
                container.read(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])


def test_every_truncation_is_noticed() -> None:
    data = file_of(Section("CLSC", bytes(range(20))), Section("exif", b"meta"))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            container.read(data[:size])


def test_reader_names_field_and_offset() -> None:
    reader = Reader(b"abc", "section TEST", 100)
    reader.take(2, "first")
    with pytest.raises(FormatError, match=r"section TEST: second needs 4 bytes, found 1.*at byte 102"):
        reader.u32("second")
