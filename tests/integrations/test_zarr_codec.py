# SPDX-License-Identifier: Apache-2.0
"""The codec of Zarr v3: found by its entry point; chunks at edges, byte orders, shards; damaged stores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_pictures import pictures

from bbcodec.errors import FormatError, OptionError, UnsupportedImageError

zarr = pytest.importorskip("zarr", minversion="3.0", reason="needs the extra zarr")

IMAGES = np.stack(pictures(7, 8, 9))
PLANES = np.moveaxis(IMAGES, -1, 1)
DEEP = (IMAGES[..., 0] * np.uint16(211)).astype(np.uint16)


def create(array: np.ndarray, store: Any = None, **options: Any) -> Any:
    """An array on a store, whose chunks have three pictures each unless told otherwise."""
    configuration = {"model": "fast", **options.pop("configuration", {})}
    options = {"chunks": (3, *array.shape[1:]), "dtype": array.dtype, **options}
    made = zarr.create_array(
        {} if store is None else store,
        shape=array.shape,
        serializer={"name": "bbcodec", "configuration": configuration},
        compressors=None,
        **options,
    )
    made[:] = array
    return made


def test_a_fresh_process_finds_it(tmp_path: Path) -> None:
    create(IMAGES, tmp_path / "images.zarr")
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, numpy as np, zarr\n"
        "assert not any(name.startswith('bbcodec') for name in sys.modules)\n"
        "array = zarr.open_array('images.zarr', mode='r')\n"
        "assert np.array_equal(array[:], np.load('images.npy'))\n"
        "assert 'bbcodec.integrations.zarr' in sys.modules\n"
        "assert not {'torch', 'numba'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_chunks_at_the_edges() -> None:
    store: dict[str, Any] = {}
    create(IMAGES, store, chunks=(3, 5, 5, 3))
    found = zarr.open_array(store)
    assert np.array_equal(found[:], IMAGES)
    assert np.array_equal(found[2:5, 3:7, 1:8, 1], IMAGES[2:5, 3:7, 1:8, 1])
    found[6, 2:4, 8] = 77
    changed = IMAGES.copy()
    changed[6, 2:4, 8] = 77
    assert np.array_equal(found[:], changed)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_byte_orders_and_layouts(dtype: str, order: str) -> None:
    array = DEEP.astype(dtype, order=order)
    made = create(array, config={"order": order})
    assert np.array_equal(made[:], array)
    assert made.dtype == array.dtype


def test_written_in_one_byte_order_and_read_in_the_other() -> None:
    store: dict[str, Any] = {}
    create(DEEP.astype(">u2"), store)
    assert np.array_equal(zarr.open_array(store)[:], DEEP)


def test_configuration_is_in_the_metadata() -> None:
    (codec,) = create(IMAGES, configuration={"method": "learned"}).metadata.to_dict()["codecs"]
    wanted = {"model": "fast", "method": "learned", "layout": "auto", "verify": True}
    assert codec == {"name": "bbcodec", "configuration": wanted}


def test_other_codecs_before_and_around() -> None:
    shards = create(IMAGES, chunks=(2, 8, 9, 3), shards=(4, 8, 9, 3))
    assert np.array_equal(shards[3:6], IMAGES[3:6])
    turned = create(PLANES, filters=[zarr.codecs.TransposeCodec(order=(0, 2, 3, 1))])
    assert np.array_equal(turned[:], PLANES)
    first = create(PLANES, configuration={"layout": "chw"})
    assert np.array_equal(first[:], PLANES)


def test_zarr_v2_takes_the_codec_of_numcodecs() -> None:
    numcodecs = pytest.importorskip("numcodecs")
    codec = numcodecs.get_codec({"id": "bbcodec", "model": "fast"})
    for order in ("C", "F"):
        store: dict[str, Any] = {}
        made = zarr.create_array(
            store,
            shape=DEEP.shape,
            chunks=(3, 5, 5),
            dtype=">u2",
            order=order,
            zarr_format=2,
            compressors=[codec],
        )
        made[:] = DEEP
        assert np.array_equal(zarr.open_array(store)[:], DEEP)


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4), "c8"), ((4, 4), "M8[s]"), ((16,), "u1")])
def test_arrays_that_cannot_be_coded(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(UnsupportedImageError, match="chunk of"):
        zarr.create_array({}, shape=shape, dtype=dtype, serializer={"name": "bbcodec"}, compressors=None)


def test_options_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match="level"):
        create(IMAGES, configuration={"level": 3})
    with pytest.raises(OptionError, match="method"):
        create(IMAGES, configuration={"method": "best"})


def test_damage_is_noticed(tmp_path: Path) -> None:
    made = create(IMAGES, tmp_path / "images.zarr")
    path = tmp_path / "images.zarr" / "c" / "1" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert np.array_equal(made[:3], IMAGES[:3])
    with pytest.raises(FormatError, match="checksum"):
        made[3:6]


def test_chunks_of_another_array_are_refused() -> None:
    store: dict[str, Any] = {}
    create(IMAGES, store)
    other: dict[str, Any] = {}
    create(IMAGES[..., 0], other)
    store["c/0/0/0/0"] = other["c/0/0/0"]
    with pytest.raises(FormatError, match="the array expects"):
        zarr.open_array(store)[:3]


@pytest.mark.parametrize("place", ["compressors", "filters"])
def test_it_is_no_compressor(place: str) -> None:
    """Zarr says so before the codec is asked; docs/plugins.md quotes the message."""
    wrong = {place: {"name": "bbcodec", "configuration": {}}}
    with pytest.raises(TypeError, match=r"BytesBytesCodec|ArrayArrayCodec"):
        zarr.create_array({}, shape=(4, 5), chunks=(4, 5), dtype="u2", **wrong)


def test_the_schema_of_the_codec_is_its_configuration() -> None:
    from bbcodec.integrations.zarr import BBCodec

    place = Path(__file__).parents[2] / "docs" / "zarr-codec" / "schema.json"
    schema = json.loads(place.read_text())["properties"]
    written = BBCodec().to_dict()
    assert schema["name"]["const"] == written["name"]
    known = schema["configuration"]["properties"]
    assert {name: entry["default"] for name, entry in known.items()} == written["configuration"]
    for name in ("method", "layout"):
        for value in known[name]["enum"]:
            assert BBCodec(**{name: value}).to_dict()["configuration"][name] == value


def test_ome_zarr_layouts(tmp_path: Path) -> None:
    """Times, channels, slices, rows, columns, in chunks of planes and of volumes, and in shards."""
    y, x = np.mgrid[:24, :20]
    base = 900 + 9 * x + 4 * y + 30 * np.arange(4)[:, None, None]
    stack = base + 100 * np.arange(2)[:, None, None, None] + 7 * np.arange(3)[:, None, None, None, None]
    for dtype in ("uint16", "int16", "float32"):
        array = (stack - 1200 * (dtype == "int16")).astype(dtype)
        for chunks in ((1, 1, 1, 24, 20), (1, 2, 4, 24, 20)):
            shards = {"shards": (3, 2, 4, 24, 20)} if chunks[2] == 4 else {}
            options = {"chunks": chunks, "configuration": {"model": "quick", "layout": "hw"}, **shards}
            made = create(array, **options)
            assert np.array_equal(made[:], array)
            assert np.array_equal(made[1, 1, 2], array[1, 1, 2])
