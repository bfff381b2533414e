# SPDX-License-Identifier: Apache-2.0
"""The .bbm file: round trip, names and ids, and what hostile bytes do."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bbcodec import modelfile
from bbcodec.engine import Function, Graph, Input, Mul, Program, Qconv, Requantise
from bbcodec.errors import ModelError, ModelMissingError

WEIGHT = np.arange(-6, 6, dtype=np.int8).reshape(4, 1, 1, 3)


def graph() -> Graph:
    ops = (
        Qconv("x", "a", "w", 1),
        Requantise("a", "r", "mul", "add", 3, -99, 99),
        Mul("r", "r", "y", 4, 0, 255),
    )
    tensors = {"w": WEIGHT, "mul": np.arange(4, dtype=np.int32), "add": np.arange(4)}
    return Graph({"f": Function((Input("x", "stream", 3, -9, 9),), ops, ("y",))}, tensors)


def sample() -> bytes:
    extra = {"grid": np.array([[1, 2], [3, 65535]], np.uint16)}
    return modelfile.dump("toy", {"tile": 32, "name": "ü"}, graph(), extra, notes={"data": "none"})


def rewrite(data: bytes, change: Callable[[dict[str, Any]], None], blob: bytes | None = None) -> bytes:
    """The same file with another header, checksums and lengths made right again."""
    fixed = modelfile.modelfile._PREAMBLE
    size = fixed.unpack(data[: fixed.size])[3]
    content = json.loads(zlib.decompress(data[fixed.size : fixed.size + size]))
    change(content)
    return assemble(
        zlib.compress(json.dumps(content).encode()), data[fixed.size + size :] if blob is None else blob
    )


def assemble(header: bytes, blob: bytes = b"") -> bytes:
    sums = zlib.crc32(header), zlib.crc32(blob)
    return (
        modelfile.modelfile._PREAMBLE.pack(modelfile.MAGIC, 1, 0, len(header), len(blob), *sums)
        + header
        + blob
    )


def test_round_trip() -> None:
    data = sample()
    model = modelfile.load(data)
    assert model.id == hashlib.sha256(data).hexdigest()
    assert (model.family, model.config, model.nbytes) == ("toy", {"tile": 32, "name": "ü"}, len(data))
    assert model.notes == {"data": "none"}
    assert model.graph.functions == graph().functions
    assert set(model.tensors) == {"w", "mul", "add", "grid"}
    assert np.array_equal(model.tensors["w"], WEIGHT)
    assert model.tensors["grid"].dtype == np.uint16
    assert not model.tensors["w"].flags.writeable
    assert modelfile.dump("toy", model.config, model.graph, notes=model.notes) == data
    assert modelfile.load(bytearray(data)) == model
    assert hash(modelfile.load(memoryview(data))) == hash(model)
    x = np.full((1, 2, 2, 3), 3, np.int16)
    for backend in ("numpy", None):
        found = Program(model.graph, backend)("f", {"x": x})["y"]
        assert np.array_equal(found, Program(graph(), "numpy")("f", {"x": x})["y"])


def test_dump_refuses_what_it_could_not_load() -> None:
    with pytest.raises(ModelError, match="float64"):
        modelfile.dump("toy", {}, graph(), {"t": np.zeros(3)})
    with pytest.raises(ModelError, match="twice"):
        modelfile.dump("toy", {}, graph(), {"w": WEIGHT + np.int8(1)})
    broken = Graph(graph().functions, {**graph().tensors, "mul": np.zeros(3, np.int32)})
    with pytest.raises(ModelError, match="mul"):
        modelfile.dump("toy", {}, broken)
    with pytest.raises(ValueError, match="JSON"):
        modelfile.dump("toy", {"scale": float("nan")}, graph())


def test_every_truncation_is_an_error() -> None:
    data = sample()
    for size in range(len(data)):
        with pytest.raises(ModelError):
            modelfile.load(data[:size])
    with pytest.raises(ModelError, match="expected"):
        modelfile.load(data + b"\0")


def test_every_changed_byte_is_an_error() -> None:
    data = sample()
    for index in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            broken = bytearray(data)
            broken[index] ^= flip
            with pytest.raises(ModelError):
                modelfile.load(broken)


def test_every_changed_byte_of_the_json_is_an_error_or_a_model() -> None:
    """Checksums made right: what is left is the parser itself."""
    data = sample()
    fixed = modelfile.modelfile._PREAMBLE
    size = fixed.unpack(data[: fixed.size])[3]
    text = zlib.decompress(data[fixed.size : fixed.size + size])
    blob = data[fixed.size + size :]
    for index in range(len(text)):
        for flip in (0x01, 0x10, 0x80):
            broken = bytearray(text)
            broken[index] ^= flip
            made = assemble(zlib.compress(bytes(broken), 1), blob)
            try:
                model = modelfile.load(made)
            except ModelError:
                continue
            assert model.id != modelfile.load(data).id


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("notes"),
        lambda c: c.update(more=1),
        lambda c: c.update(family=1),
        lambda c: c.update(config=[]),
        lambda c: c.update(functions=[]),
        lambda c: c.update(tensors={}),
        lambda c: c["tensors"].append(1),
        lambda c: c["tensors"].append(c["tensors"][0]),
        lambda c: c["tensors"].pop(),
        lambda c: c["tensors"][0].update(dtype="float32"),
        lambda c: c["tensors"][0].update(dtype=["int8"]),
        lambda c: c["tensors"][0].update(dtype="int16"),
        lambda c: c["tensors"][0].update(shape=[-4]),
        lambda c: c["tensors"][0].update(shape=[1 << 29] * 8),
        lambda c: c["tensors"][0].update(shape=[1] * 9),
        lambda c: c["tensors"][0].update(shape=[True]),
        lambda c: c["tensors"][0].update(shape=4),
        lambda c: c["tensors"][0].update(offset=8),
        lambda c: c["tensors"][1].update(offset=0),
        lambda c: c["tensors"][0].update(name=7),
        lambda c: c["functions"]["f"]["ops"].reverse(),
        lambda c: c["functions"]["f"]["ops"][0].update(kernel=3),
        lambda c: c["functions"]["f"]["ops"][1].update(shift=1 << 70),
        lambda c: c["functions"]["f"]["ops"][2].update(shift=0),
        lambda c: c["functions"]["f"]["ops"][2].update(shift=16),
        lambda c: c["functions"]["f"]["ops"][2].update(shift=1 << 70),
        lambda c: c["functions"]["f"]["ops"][2].update(y="x"),
        lambda c: c["functions"]["f"]["ops"][2].update(y="a"),
        lambda c: c["functions"]["f"]["ops"][2].update(y="y"),
        lambda c: c["functions"]["f"]["ops"][2].update(hi=1 << 15),
        lambda c: c["functions"]["f"]["ops"][2].pop("y"),
        lambda c: c["functions"]["f"]["inputs"][0].update(channels=10**18),
        lambda c: c["functions"]["f"]["inputs"][0].update(kind="acc"),
    ],
)
def test_hostile_headers(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(ModelError):
        modelfile.load(rewrite(sample(), change))


def test_hostile_streams() -> None:
    bomb = zlib.compress(b" " * (64 << 20), 9)
    deep = zlib.compress(b"[" * 1_000_000)
    twice = zlib.compress(b'{"family":"a","family":"b","config":{},"functions":{},"tensors":[],"notes":{}}')
    for header in (
        bomb,
        deep,
        twice,
        b"",
        b"abc",
        zlib.compress(b"{}"),
        zlib.compress(b"\xff"),
        zlib.compress(b"NaN"),
    ):
        with pytest.raises(ModelError):
            modelfile.load(assemble(header))
    with pytest.raises(ModelError, match="magic"):
        modelfile.load(b"")
    good = zlib.compress(b'{"family":"a","config":{},"functions":{},"tensors":[],"notes":{}}')
    assert modelfile.load(assemble(good)).tensors == {}
    with pytest.raises(ModelError):
        modelfile.load(assemble(good + b"x"))
    with pytest.raises(ModelError, match="8 bytes after the last tensor"):
        modelfile.load(assemble(good, b"12345678"))


def test_numbers_that_are_not_finite_are_refused() -> None:
    for number in (b"1e999", b"-1e999", b"Infinity", b"NaN"):
        for text in (
            b'{"family":"a","config":{"a":%s},"functions":{},"tensors":[],"notes":{}}',
            b'{"family":"a","config":{},"functions":{},"tensors":[],"notes":{"a":[%s]}}',
        ):
            with pytest.raises(ModelError, match="not a"):
                modelfile.load(assemble(zlib.compress(text % number)))
    fine = b'{"family":"a","config":{"a":1.5e3},"functions":{},"tensors":[],"notes":{}}'
    assert modelfile.load(assemble(zlib.compress(fine))).config == {"a": 1500.0}


def test_load_by_name_id_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sample()
    path = tmp_path / "toy.bbm"
    path.write_bytes(data)
    monkeypatch.setattr(modelfile.registry, "released", lambda: {"toy": path})
    model = modelfile.load(data)
    for name in ("toy", model.id, model.id[:8], path, str(path)):
        assert modelfile.load_named(name) == model
    assert modelfile.load_named("toy") is modelfile.load_named(path)
    for name in ("other", "0" * 64, tmp_path / "other.bbm", tmp_path):
        with pytest.raises(ModelMissingError):
            modelfile.load_named(name)
    path.write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r"toy\.bbm"):
        modelfile.load_named("toy")


def test_released_models_load() -> None:
    for name in modelfile.released():
        assert modelfile.load_named(name).nbytes > 0
