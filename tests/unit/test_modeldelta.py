# SPDX-License-Identifier: Apache-2.0
"""Models as changes of released ones: restored exactly, small, embedded, and refused when damaged."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec import modelfile
from bbcodec.container import varint
from bbcodec.engine.graph import Graph
from bbcodec.errors import BBCodecError, ModelError, ModelMissingError
from bbcodec.modelfile import delta, registry


def changed(name: str = "fast", seed: int = 3, config: dict[str, Any] | None = None) -> bytes:
    """A released model with a few weights changed, and a tensor that it does not have."""
    parent = modelfile.load_named(name)
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for key, tensor in parent.tensors.items():
        tensors[key] = tensor
        if key in ("first_w", "out_w"):
            change = rng.integers(-2, 3, tensor.shape) * (rng.random(tensor.shape) < 0.1)
            step = 1 << 12 if key == "out_w" else 1
            tensors[key] = np.clip(tensor + change * step, -127, 1 << 21).astype(tensor.dtype)
    hidden = parent.config["hidden"]
    tensors["positions"] = rng.integers(-9, 9, (3, 9, hidden)).astype(np.int32)
    return modelfile.dump("local", {**parent.config, **(config or {})}, Graph({}, {}), tensors)


@pytest.mark.parametrize("with_parent", [False, True])
def test_it_comes_back_byte_by_byte(with_parent: bool) -> None:
    data, parent = changed(), modelfile.load_named("fast")
    made = delta.make(data, parent if with_parent else None)
    assert registry.restore(made) == data
    assert delta.parent_of(made) == (parent.id if with_parent else None)
    assert delta.id_of(made) == delta.id_of(data) == hashlib.sha256(data).hexdigest()
    assert modelfile.load(made) == modelfile.load(data)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_every_type_wraps_at_its_ends(dtype: str) -> None:
    ends = np.iinfo(dtype)
    rows = [[ends.min, ends.max, 0, 1], [ends.max, ends.min, 1, ends.max], [0, 0, 0, 0]]
    old, new = (
        modelfile.dump("toy", {}, Graph({}, {}), {"t": np.array(rows[at : at + 2], dtype)}) for at in (0, 1)
    )
    for data, parent in ((new, old), (old, new), (old, old)):
        content = modelfile.split(data)[1]["tensors"][0]
        base = modelfile.load(parent).tensors["t"]
        target = modelfile.load(data).tensors["t"]
        packed = delta._pack(target, delta._base({"t": base}, content))
        again, end = delta._unpack(memoryview(packed), 0, base)
        assert end == len(packed)
        assert again.dtype == np.dtype(dtype)
        assert np.array_equal(again, target)
    assert registry.restore(delta.make(new)) == new


def test_small_changes_take_few_bytes_and_the_nearest_parent_is_found() -> None:
    data = changed("photo")
    best = registry.smallest(data)
    assert delta.parent_of(best) == modelfile.load_named("photo").id
    assert len(best) < len(data) / 4
    assert delta.smallest(data, []) in (data, delta.make(data))


def test_files_embed_it(tmp_path: Any) -> None:
    path = tmp_path / "mine.bbm"
    path.write_bytes(changed())
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    data = bbcodec.compress(image, method="learned", model=path, embed_model=True)
    alone = bbcodec.compress(image, method="learned", model=path)
    assert len(data) - len(alone) == pytest.approx(len(registry.smallest(path.read_bytes())), abs=4)
    path.unlink()
    assert np.array_equal(bbcodec.decompress(data), image)
    assert bbcodec.info(data).model_embedded
    with pytest.raises(ModelMissingError, match="neither embedded nor installed"):
        bbcodec.decompress(alone)


def test_a_delta_is_a_model_by_its_path(tmp_path: Any) -> None:
    whole, short = tmp_path / "whole.bbm", tmp_path / "short.bbm"
    whole.write_bytes(changed())
    short.write_bytes(registry.smallest(whole.read_bytes()))
    image = np.zeros((8, 8, 3), np.uint8)
    files = [bbcodec.compress(image, method="learned", model=m, embed_model=True) for m in (whole, short)]
    assert files[0] == files[1]


def test_damage_is_refused() -> None:
    data = delta.make(changed(), modelfile.load_named("fast"))
    for end in (0, 7, 8, 9, 40, 73, 80, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelError):
            registry.restore(data[:end])
    rng = np.random.default_rng(0)
    for at in [8, 41, 60, 73, 75, *rng.integers(9, len(data), 60)]:
        broken = bytearray(data)
        broken[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(BBCodecError):
            modelfile.load(broken)
    with pytest.raises(ModelError):
        registry.restore(data + b"\0")


def test_a_missing_parent_is_named() -> None:
    data = bytearray(delta.make(changed(), modelfile.load_named("fast")))
    data[9:41] = bytes(range(32))
    with pytest.raises(ModelMissingError, match=f"changes of model {bytes(range(32)).hex()}"):
        modelfile.load(data)


def test_what_is_too_large_is_refused_before_it_is_made() -> None:
    whole = modelfile.dump("toy", {}, Graph({}, {}), {"t": np.zeros(8, np.int8)})
    header, content, _ = modelfile.split(whole)
    content["tensors"][0]["shape"] = [1 << 29]
    bomb = zlib.compress(json.dumps(content).encode())
    made = delta.make(whole)
    at = 73 + len(varint(len(header)))
    forged = made[:73] + varint(len(bomb)) + bomb + made[at + len(header) :]
    with pytest.raises(ModelError, match="at most"):
        registry.restore(forged)
