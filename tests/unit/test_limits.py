# SPDX-License-Identifier: Apache-2.0
"""Bombs: small files that declare or unfold to much. Each is refused, in little memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bbcodec
from bbcodec import container, modelfile
from bbcodec.archive import Archive, sections, tables
from bbcodec.bbfile import memory
from bbcodec.cli import app
from bbcodec.container import Limits, Section, varint
from bbcodec.errors import FormatError, LimitError, ModelError, OptionError
from bbcodec.modelfile import delta, registry
from bbcodec.picture.picture import MODES

GRAY = bbcodec.compress(np.zeros((2, 2), np.uint8))


@contextlib.contextmanager
def little(most: float = 16e6) -> Iterator[None]:
    """Check that the block takes little memory, in bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


@cache
def deflated(size: int, fill: bytes = b"\0") -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [deflater.compress(fill * (1 << 16)) for _ in range(size >> 16)]
    return b"".join([*parts, deflater.flush()])


# --- pictures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iccp", "exif", "xmpd", "text"])
@pytest.mark.parametrize("declared", [1 << 27, 1 << 40, 100])
def test_metadata(kind: str, declared: int) -> None:
    good = container.read(GRAY)
    bomb = Section(kind, b"\1" + varint(declared) + deflated(1 << 27))
    data = container.write(good.header, [*good.sections, bomb])
    with little(), pytest.raises((FormatError, LimitError)):
        bbcodec.decompress(data)
    with little():
        found = bbcodec.salvage(data)
    assert [loss.what for loss in found.lost] == [kind]


@pytest.mark.parametrize("side", [2**15, 2**32 - 1])
@pytest.mark.parametrize("kind", ["CHNS", "CLSC"])
def test_declared_sizes(side: int, kind: str) -> None:
    header = container.Header(MODES["RGB"].code, 0, side, side, bytes(8))
    model = Section("MODL", bytes.fromhex(modelfile.load_named("fast").id))
    for payload in (b"\1\1\10" + bytes(8), b"\1" + bytes(60), b"\1" + b"\xff" * 60, b"\1\0"):
        data = container.write(header, [model, Section(kind, payload)])
        with little(), pytest.raises((FormatError, LimitError)):
            bbcodec.decompress(data)


def test_counts_of_checksums() -> None:
    good = container.read(GRAY)
    for payload in (varint(2**50), varint(10**6) + bytes(2000)):
        data = container.write(good.header, [*good.sections, Section("sums", payload)])
        with little(), pytest.raises(FormatError):
            bbcodec.info(data)


# --- models -----------------------------------------------------------------------------------------------


def test_changes_of_a_model_that_unfold_to_much() -> None:
    """Gigabytes of zeros behind a header of one small tensor."""
    model = modelfile.load_named("fast")
    sound = delta.make(modelfile.released()["fast"].read_bytes(), model)
    reader = container.Reader(sound, "delta")
    reader.take(8 + 1 + 64, "ids")
    reader.take(reader.varint("header"), "header")
    head = sound[: reader.offset]
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(24)) + packer.flush()
    with little(), pytest.raises(ModelError):
        registry.restore(head + packed)


def test_a_header_of_a_model_that_unfolds_to_much() -> None:
    packed = zlib.compress(b'{"a": "' + b" " * (1 << 25) + b'"}', 9)
    fixed = modelfile.assemble(packed, b"")
    model = Section("MODL", hashlib.sha256(fixed).digest() + fixed)
    header = container.Header(MODES["RGB"].code, 0, 8, 8, bytes(8))
    data = container.write(header, [model, Section("CHNS", b"\1\1\10" + bytes(8))])
    with little(40e6), pytest.raises(FormatError):
        bbcodec.decompress(data)


# --- archives ---------------------------------------------------------------------------------------------


def table(size: int, packed: bytes) -> bytes:
    return varint(size) + varint(len(packed)) + packed


@pytest.mark.parametrize("size", [1 << 27, 1 << 40, 77])
def test_tables_that_unfold_to_much(size: int) -> None:
    bomb = table(size, deflated(1 << 27))
    for read, head in ((tables.unpack_index, b"\0"), (tables.unpack_batch, b"\0\3" + bytes(8))):
        with little(), pytest.raises((FormatError, LimitError)):
            read(head + bomb + b"\1", 10**9)
    index = sections.section("INDX", b"\0" + bomb)
    at = sections.HEAD_SIZE
    data = sections.head() + index + sections.tail(at, at + len(index))
    with little(), pytest.raises((FormatError, LimitError)):
        Archive(io.BytesIO(data))


def test_the_limit_of_a_table_can_be_set() -> None:
    file = io.BytesIO()
    with Archive(file, "w", method="classic") as archive:
        archive["some name that takes its bytes"] = np.zeros((4, 4), np.uint8)
    with pytest.raises(LimitError, match="table of section INDX"):
        Archive(file, limits=Limits(max_metadata=20))
    assert len(Archive(file, limits=Limits(max_metadata=100))) == 1


@pytest.mark.parametrize(
    "raw",
    [
        varint(2**60),
        b"\0" + varint(2**60),
        b"\0\1\1" + varint(2**60),
        b"\0\1\1\2" + b"\0\1a\0\1b" + b"\1\0\1\1" + varint(2**60),
    ],
)
def test_counts_of_archives(raw: bytes) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflater.compress(raw) + deflater.flush()
    with little(), pytest.raises(FormatError):
        tables.unpack_index(b"\0" + table(len(raw), packed), 10**6)


# --- memory -----------------------------------------------------------------------------------------------


def test_max_memory_refuses_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = np.zeros((300, 400, 3), np.uint8)
    data = bbcodec.compress(image)
    needed = memory.estimate(300 * 400, MODES["RGB"], len(data), 1)
    allowed, refused = Limits(max_memory=needed), Limits(max_memory=needed - 1)
    assert np.array_equal(bbcodec.decompress(data, limits=allowed, threads=1), image)
    for read in (bbcodec.decompress, bbcodec.salvage):
        with pytest.raises(LimitError, match=f"300 RGB takes about {needed} bytes .* limit is {needed - 1}"):
            read(data, limits=refused, threads=1)
    Path("x.bb").write_bytes(data)
    with Archive("a.bb", "w", method="classic") as archive:
        archive["one"] = image
    for words in (
        ["decompress", "x.bb"],
        ["decompress", "--salvage", "x.bb"],
        ["test", "x.bb"],
        ["test", "a.bb"],
        ["get", "a.bb", "one"],
        ["unpack", "a.bb"],
        ["unpack", "--salvage", "a.bb"],
    ):
        done = CliRunner().invoke(app, [*words, "--max-memory", "16M"])
        assert done.exit_code == 1, words
        assert "bytes of memory to decode, the limit is 16777216" in done.stderr
    assert not list(Path().glob("*.png"))
    assert CliRunner().invoke(app, ["unpack", "a.bb", "--max-memory", "1G"]).exit_code == 0
    assert CliRunner().invoke(app, ["info", "x.bb", "--max-memory", "1M"]).exit_code == 0  # decodes nothing
    assert CliRunner().invoke(app, ["test", "x.bb", "--max-memory", "lots"]).exit_code == 2


def test_the_estimate_is_above_what_python_allocates() -> None:
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3)).astype(np.uint8) // 16
    for method, model in (("classic", "fast"), ("learned", "fast")):
        data = bbcodec.compress(image, method=method, model=model, threads=1, verify=False)
        with little(memory.estimate(700 * 900, MODES["RGB"], len(data), 1)):
            bbcodec.decompress(data, threads=1)


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "1X", "nan", "inf", "1e30", "5 5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="expected a number of bytes"):
        memory.read_size(text)
