# SPDX-License-Identifier: Apache-2.0
"""The numcodecs codec: found by its entry point, the contract of numcodecs, flat buffers."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_pictures import pictures

from bbcodec.errors import FormatError, OptionError, UnsupportedImageError

numcodecs = pytest.importorskip("numcodecs", reason="needs the extra zarr")

STACK = np.stack(pictures(3, 8, 9))


def codec(**options: object) -> numcodecs.abc.Codec:
    return numcodecs.get_codec({"id": "bbcodec", "model": "fast", **options})


def test_a_fresh_process_finds_it(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", STACK)
    (tmp_path / "chunk").write_bytes(codec().encode(STACK))
    code = (
        "import sys, numcodecs, numpy as np\n"
        "assert not any(name.startswith('bbcodec') for name in sys.modules)\n"
        "codec = numcodecs.get_codec({'id': 'bbcodec'})\n"
        "found = codec.decode(open('chunk', 'rb').read())\n"
        "assert np.array_equal(found, np.load('stack.npy'))\n"
        "assert not {'torch', 'numba', 'zarr'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_configuration_is_json_and_makes_the_codec_again() -> None:
    made = codec(method="learned", shape=(8, 9, 3), dtype=np.uint16, layout="hwc", verify=False, threads=2)
    configuration = json.loads(json.dumps(made.get_config()))
    again = numcodecs.get_codec(dict(configuration))
    assert again == made
    assert again.get_config() == configuration
    assert pickle.loads(pickle.dumps(made)) == made
    assert "fast" in repr(made)


def test_decode_into_an_array() -> None:
    data = codec().encode(STACK)
    for out in (np.empty_like(STACK), np.empty(STACK.size, np.uint8), bytearray(STACK.size)):
        codec().decode(data, out=out)
        assert bytes(out) == STACK.tobytes()
    by_column = np.empty_like(STACK, order="F")
    codec().decode(codec().encode(np.asfortranarray(STACK)), out=by_column)
    assert np.array_equal(by_column, STACK)
    with pytest.raises(ValueError, match="reshape"):
        codec().decode(data, out=np.empty(5, np.uint8))


def test_bytes_come_back_in_the_order_of_memory() -> None:
    for array in (STACK, np.asfortranarray(STACK), (STACK[..., 0] * np.uint16(200)).astype(">u2")):
        found = codec().decode(codec().encode(array))
        assert found.tobytes("A") == array.tobytes("A")


def test_any_buffer_holds_a_chunk() -> None:
    data = codec().encode(STACK)
    for held in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert np.array_equal(codec().decode(held), STACK)


def test_flat_buffers_need_a_shape() -> None:
    with pytest.raises(UnsupportedImageError, match="shape"):
        codec().encode(STACK.tobytes())
    shaped = codec(shape=[8, 9, 3])
    assert np.array_equal(shaped.decode(shaped.encode(STACK.tobytes())), STACK)
    assert shaped.encode(STACK.reshape(-1)) == codec().encode(STACK)
    with pytest.raises(UnsupportedImageError, match="whole number"):
        shaped.encode(bytes(100))
    deep = (STACK[..., 0] * np.uint16(200)).astype("<u2")
    other = codec(shape=[8, 9], dtype="<u2")
    assert np.array_equal(other.decode(other.encode(deep.tobytes())), deep)
    assert np.array_equal(other.decode(other.encode(deep.reshape(-1))), deep)


def test_what_it_refuses() -> None:
    for wrong in (np.zeros((4, 4), complex), np.zeros((4, 4), "datetime64[s]")):
        with pytest.raises(UnsupportedImageError, match=r"integers or floats"):
            codec().encode(wrong)
    with pytest.raises(OptionError, match="method"):
        codec(method="best")
    with pytest.raises(UnsupportedImageError, match="complex64"):
        codec(shape=[4, 4], dtype="c8")
    with pytest.raises(FormatError, match="checksum"):
        codec().decode(b"\0" * 100)
    with pytest.raises(FormatError):
        codec().decode(b"")
