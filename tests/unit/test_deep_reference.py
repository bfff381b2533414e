# SPDX-License-Identifier: Apache-2.0
"""The second decoder, written from docs/deep.md alone, reads the deep arrays that the package writes."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec import container, modelfile
from bbcodec.container import Reader, Section
from bbcodec.engine.graph import Graph
from bbcodec.errors import FormatError
from bbcodec.families.deep import chains, head
from bbcodec.families.deep.head import Channel, Head, Values
from bbcodec.families.deep.model import DeepModel, deep_model
from bbcodec.jobs import Execution

TESTS = Path(__file__).parents[1]
NUMBA = importlib.util.find_spec("numba") is not None
EXECUTION = Execution(1, "numba" if NUMBA else "numpy")
# Python alone takes a second for a few pixels, and so has the tiny arrays only.
compiled = pytest.mark.skipif(not NUMBA, reason="numba is not installed")
ANY = (-32768, 65535)


@pytest.fixture(scope="module")
def second() -> Iterator[SimpleNamespace]:
    """Modules of the second decoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS))
        names = ("container", "deep", "deep_head", "deep_plane", "deep_window", "modelfile", "wire")
        yield SimpleNamespace(**{name: importlib.import_module(f"reference.{name}") for name in names})


def file_of(**changes: Any) -> bytes:
    """Return a model file of this family, made from the released model `photo`."""
    photo = modelfile.load_named("photo")
    config = {name: value for name, value in photo.config.items() if name not in ("latents", "encoder")}
    config.update(own=[12, 6], earlier=[9, 5], phased=[10, 6])
    return modelfile.dump("deep", config | changes, Graph({}, {}), photo.tensors)


FILE = file_of()


@pytest.fixture(scope="module")
def model() -> DeepModel:
    return deep_model(modelfile.load(FILE))


def wave(shape: tuple[int, ...], noise: float, top: int, seed: int = 1) -> np.ndarray:
    """Return [T, C, H, W] of 0 to top: a wave that frames and channels share in part, and noise."""
    t, c, y, x = np.indices(shape)
    light = 0.5 + (0.4 - 0.1 * c) * np.sin(x / 4 + y / 9 + t / 5)
    light += np.random.default_rng(seed).normal(0, noise, shape)
    out: np.ndarray = np.clip(np.round(light * top), 0, top).astype(np.int64)
    return out


def used(samples: np.ndarray) -> Values:
    values = np.unique(samples)
    return Values(int(values[0]), len(values) - 1, values)


def assert_same(second: Any, array: np.ndarray, told: Head, model: DeepModel, file: bytes = FILE) -> None:
    """The second decoder gives the array that the package has encoded."""
    coded = chains.encode(array, told, model, EXECUTION).chains
    found = second.deep.decode_array(
        head.pack(told), [bytes(chain) for chain in coded], array.shape, second.modelfile.load(file)
    )
    assert np.array_equal(found, array)


@pytest.mark.parametrize("top", [1, 65535])
def test_tiny_arrays(top: int, second: Any, model: DeepModel) -> None:
    """Symbols are wide at the first pixel, whatever the top; a frame and a channel are references."""
    array = wave((2, 2, 2, 3), 0.05, top)
    whole = Values(0, top)
    told = Head(64, 2, (Channel(1, whole), Channel(0, whole, (0,), before=True, phased=True, role=1)))
    assert_same(second, array, told, model)


def test_no_planes(second: Any, model: DeepModel) -> None:
    array = np.full((2, 1, 3, 4), -77)
    assert_same(second, array, Head(16, 1, (Channel(0, Values(-77, 0)),)), model)


@compiled
@pytest.mark.parametrize("noise", [0.0003, 0.01, 0.3])
@pytest.mark.parametrize("top", [7, 255, 256, 1000, 65535])
def test_tops(top: int, noise: float, second: Any, model: DeepModel) -> None:
    """Windows that hold all symbols and those that do not."""
    array = wave((1, 1, 13, 17), noise, top) - 9
    assert_same(second, array, Head(1024, 1, (Channel(0, Values(-9, top)),)), model)


@compiled
@pytest.mark.parametrize("phased", [False, True])
def test_blocks(phased: bool, second: Any, model: DeepModel) -> None:
    """Blocks of a mosaic, with sides of 10 to 14."""
    array = wave((1, 1, 33, 22), 0.002, 30000)
    array[..., ::2, 1::2] += 3000
    assert_same(second, array, Head(16, 1, (Channel(0, Values(0, 65535), phased=phased),)), model)


@compiled
def test_far_samples(second: Any, model: DeepModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples below and above the window, and low bits."""
    seen: dict[str, set[int]] = {"deep_window": set(), "deep_plane": set()}
    for name, numbers in seen.items():
        module = getattr(second, name)

        def counted(message: Any, r: Any, pop: Any = module.pop_numbers, numbers: set[int] = numbers) -> Any:
            numbers |= set(r.tolist())
            return pop(message, r)

        monkeypatch.setattr(module, "pop_numbers", counted)
    array = wave((1, 1, 30, 20), 0.0, 1) * 20000 + 500
    jumps = np.random.default_rng(5).random(array.shape)
    array[jumps < 0.05], array[jumps > 0.95] = 0, 65535
    assert_same(second, array, Head(32, 1, (Channel(0, Values(0, 65535)),)), model)
    assert len(seen["deep_window"]) > 5  # distances
    assert {2, 4, 8, 16} <= seen["deep_plane"]  # low bits


@compiled
def test_sequences(second: Any, model: DeepModel) -> None:
    """Groups of two frames and one; both kinds of references, lists, roles, a constant channel."""
    array = wave((3, 4, 8, 10), 0.004, 4000)
    array[:, 1] = array[:, 1] // 7 * 14 - 5000
    array[:, 2] = array[:, 1, ::-1] + 0
    array[:, 3] = 12
    lists = used(array[:, 1])
    told = Head(
        64,
        2,
        (
            Channel(1, lists, before=True, role=3),
            Channel(3, Values(12, 0)),
            Channel(0, Values(0, 4100), (0,), before=True, phased=True, role=15),
            Channel(2, used(array[:, 2]), (2, 0), role=4),
        ),
    )
    assert_same(second, array, told, model)
    again = dataclasses.replace(told.channels[2], number=2, values=lists, references=(0,))
    told = Head(64, 1, (told.channels[0], again, Channel(0, Values(0, 4100), (1, 0)), told.channels[1]))
    assert_same(second, array, told, model)
    assert len(head.pack(told)) < len(lists.used) + 40  # type: ignore[arg-type]


@compiled
def test_a_role_of_several_channels(second: Any, model: DeepModel) -> None:
    """Last layers go on from plane to plane, and are those of two channels."""
    array = wave((2, 3, 9, 8), 0.01, 900)
    channels = [Channel(c, Values(0, 1000), (0,) if c else (), before=c == 0) for c in range(3)]
    channels[1:] = [dataclasses.replace(c, role=0) for c in channels[1:]]
    assert_same(second, array, Head(16, 65535, tuple(channels)), model)


@compiled
@pytest.mark.parametrize("changes", [{"every": 3, "ridge": 1 << 24}, {"rate_q": 0, "earlier": [0, 9]}])
def test_numbers_of_a_model(changes: dict[str, Any], second: Any) -> None:
    file = file_of(own=[16, 2], phased=[2, 10], along=[1, 3], down=[2, 4], **changes)
    array, whole = wave((1, 2, 12, 15), 0.02, 9999), Values(0, 9999)
    told = Head(64, 1, (Channel(0, whole, phased=True), Channel(1, whole, (0,), role=1)))
    assert_same(second, array, told, deep_model(modelfile.load(file)), file)


def deep_file(pixels: np.ndarray, model: DeepModel, file: bytes, mask: int, spoil: Any = None) -> bytes:
    """Return a file with one deep section of samples, with the model in it."""
    shown = pixels if pixels.ndim == 3 else pixels[..., None]
    array = np.moveaxis(shown, 2, 0)[None].astype(np.int64)
    told = Head(16, 1, tuple(Channel(c, Values(0, 65535)) for c in range(array.shape[1])))
    packed, coded = head.pack(told), chains.encode(array, told, model, EXECUTION).chains
    payload = bytes([mask]) + container.varint(len(packed)) + packed + container.varint(len(coded))
    payload += b"".join(container.varint(len(chain)) for chain in coded) + b"".join(map(bytes, coded))
    if spoil:
        payload = spoil(payload)
    named = Section(container.MODEL, hashlib.sha256(file).digest() + file)
    header = container.read(bbcodec.compress(pixels, method="classic")).header
    return container.write(header, [named, Section(container.CHAINS, payload)])


@compiled
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures(channels: int, second: Any, model: DeepModel) -> None:
    """`CHNS` of every mode of 16 bits."""
    pixels = np.moveaxis(wave((1, channels, 7, 20), 0.01, 65535)[0], 0, 2).astype(np.uint16)
    pixels = pixels[..., 0] if channels == 1 else pixels
    mask = 0x05 if channels % 2 else 0x0F
    data = deep_file(pixels, model, FILE, mask)
    assert np.array_equal(second.container.decode(data, {}).array(), pixels)
    wrong = [deep_file(pixels, model, FILE, 0x0F if mask == 0x05 else 0x05)]
    wrong.append(deep_file(pixels, model, FILE, 0x01))
    wrong.append(deep_file(pixels, model, FILE, mask, lambda payload: payload + b"\0"))
    for file in wrong:
        with pytest.raises(second.wire.Refused):
            second.container.decode(file, {})


def test_pictures_with_a_model_of_another_family(second: Any) -> None:
    file = modelfile.dump(
        "local", modelfile.load_named("photo").config, Graph({}, {}), modelfile.load_named("photo").tensors
    )
    pixels = np.full((3, 4), 300, np.uint16)
    header = container.read(bbcodec.compress(pixels, method="classic")).header
    told = head.pack(Head(16, 1, (Channel(0, Values(300, 0)),)))
    for content, right in ((file, False), (FILE, True)):
        named = Section(container.MODEL, hashlib.sha256(content).digest() + content)
        payload = Section(container.CHAINS, bytes([5, len(told)]) + told + b"\0")
        data = container.write(header, [named, payload])
        if right:
            assert np.array_equal(second.container.decode(data, {}).array(), pixels)
        else:
            with pytest.raises(second.wire.Refused, match="family"):
                second.container.decode(data, {})


# Heads of two frames of three channels: block, group; then number, flags, references, values.
RANGE = [0, 10, 9]  # 10 to 19
LIST = [5, 9, 2, 2, 4, 0x63, 0x64, 0x04, 0x00]  # -10, -8, -6
SOUND = [16, 1, 0, 0, *RANGE, 1, 0x15, 0, *LIST, 2, 0x28, 2]
HEADS: list[tuple[str, list[int]]] = [
    ("small blocks", [15, *SOUND[1:]]),
    ("large blocks", [0x81, 0x08, *SOUND[1:]]),
    ("no frames", [16, 0, *SOUND[2:]]),
    ("many frames", [16, 0x80, 0x80, 0x04, *SOUND[2:]]),
    ("bytes behind", [*SOUND, 0]),
    ("too short", SOUND[:-1]),
    ("a number twice", [16, 1, 1, *SOUND[3:]]),
    ("a number too large", [16, 1, 3, *SOUND[3:]]),
    ("three references", [16, 1, 0, 0, *RANGE, 1, 0x13, 0, 0, 0, *LIST, 2, 0x28, 2]),
    ("three references with that before", [16, 1, 0, 0, *RANGE, 1, 0, 2, 2, 0x16, 0, 1, 2]),
    ("a reference to itself", [16, 1, 0, 0, *RANGE, 1, 0x15, 1, *LIST, 2, 0x28, 2]),
    ("equal references", [16, 1, 0, 0, *RANGE, 1, 0, 2, 2, 0x12, 0, 0, 2]),
    ("a reference to a constant channel", [16, 1, 0, 0, 0, 20, 0, 1, 0x15, 0, *LIST, 2, 0x28, 2]),
    ("flags of a constant channel", [16, 1, 0, 8, 0, 20, 0, 1, 0, *RANGE, 2, 0, 2]),
    ("values of no kind", [16, 1, 0, 0, 3, 20, 9, *SOUND[7:]]),
    ("values of no channel", [16, 1, 0, 0, 2, *SOUND[7:]]),
    ("a large top", [16, 1, 0, 0, 0, 20, 0x80, 0x80, 0x04, *SOUND[7:]]),
    ("values beyond the samples", [16, 1, 0, 0, 0, 20, 0xF6, 0xFF, 0x03, *SOUND[7:]]),
    ("gaps of another size", [*SOUND[:9], 0, 5, 9, 2, 3, *LIST[4:], *SOUND[-3:]]),
    ("gaps that are left", [16, 1, 0, 0, *RANGE, 1, 0x15, 0, 5, 9, 1, *LIST[3:], 2, 0x28, 2]),
    ("gaps that are missing", [16, 1, 0, 0, *RANGE, 1, 0x15, 0, 5, 9, 3, *LIST[3:], 2, 0x28, 2]),
    ("no deflate", [16, 1, 0, 0, *RANGE, 1, 0x15, 0, *LIST[:5], 0xFF, 0xFF, 4, 0, 2, 0x28, 2]),
    ("bytes behind deflate", [16, 1, 0, 0, *RANGE, 1, 0x15, 0, *LIST[:4], 5, *LIST[5:], 0, 2, 0x28, 2]),
    ("a role of two kinds", [16, 1, 0, 0, *RANGE, 1, 0x01, 0, *LIST, 2, 0x28, 2]),
    ("a role of two kinds in second frames", [16, 2, 0, 0x18, *RANGE, 1, 0x14, *LIST, 2, 0x28, 2]),
    ("the same without such frames", [16, 1, 0, 0x18, *RANGE, 1, 0x14, *LIST, 2, 0x28, 2]),
    ("a long varint", [0x90, 0x00, *SOUND[1:]]),
]


def refusal(read: Callable[[], object], kind: type[Exception]) -> bool:
    try:
        read()
    except kind:
        return True
    return False


def test_a_sound_head(second: Any) -> None:
    told = second.deep_head.read(bytes(SOUND), (2, 3, 4, 5), ANY)
    assert [channel.values.tolist() for channel in told.channels[1:]] == [[-10, -8, -6]] * 2
    assert told.channels[1].references == [0]
    assert [(channel.before, channel.phased) for channel in told.channels[1:]] == [
        (True, False),
        (False, True),
    ]
    for shape, bounds in (((1, 3, 4, 5), ANY), ((2, 2, 4, 5), ANY), ((2, 3, 4, 5), (0, 65535))):
        with pytest.raises(second.wire.Refused):
            second.deep_head.read(bytes(SOUND), shape, bounds)


@pytest.mark.parametrize(("name", "data"), HEADS, ids=[name for name, _ in HEADS])
def test_damaged_heads(name: str, data: list[int], second: Any) -> None:
    """Both decoders refuse them."""

    def package() -> None:
        reader = Reader(bytes(data), "head")
        head.unpack(reader, 3, 2, *ANY)
        reader.finish()

    assert refusal(lambda: second.deep_head.read(bytes(data), (2, 3, 4, 5), ANY), second.wire.Refused), name
    assert refusal(package, FormatError), name


def test_damaged_chains(second: Any, model: DeepModel) -> None:
    """Chains that are too many, too few, too short; samples above the top; messages that do not end."""
    array = wave((1, 1, 3, 4), 0.3, 900)
    told = Head(16, 1, (Channel(0, Values(0, 900)),))
    (chain,) = (bytes(chain) for chain in chains.encode(array, told, model, EXECUTION).chains)
    mine, refused = second.modelfile.load(FILE), second.wire.Refused

    def decode(packed: bytes, parts: list[bytes], shape: tuple[int, ...] = array.shape) -> Any:
        return second.deep.decode_array(packed, parts, shape, mine)

    packed = head.pack(told)
    assert np.array_equal(decode(packed, [chain]), array)
    for parts in ([], [chain, chain], [chain[:-4]], [chain[:-2]], [chain + bytes(4)], [b""]):
        with pytest.raises(refused):
            decode(packed, parts)
    with pytest.raises(refused):
        decode(packed, [chain], (1, 1, 3, 5))
    spoiled = [bytes([*chain[:i], chain[i] ^ 64, *chain[i + 1 :]]) for i in range(0, len(chain), 3)]
    noise = [np.random.default_rng(i).bytes(64) for i in range(20)]
    spoiled += [data[:3] + b"\1" + data[4:] for data in noise]  # sound heads of a message
    for data in spoiled:
        with pytest.raises(refused):
            decode(packed, [data])
    with pytest.raises(refused, match="family"):
        second.deep.decode_array(packed, [chain], array.shape, dataclasses.replace(mine, family="local"))
    for config in ({**mine.config, "phased": [1, 6]}, {**mine.config, "latents": 0}):
        with pytest.raises(refused):
            second.deep.decode_array(packed, [chain], array.shape, dataclasses.replace(mine, config=config))
