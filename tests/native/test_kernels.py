# SPDX-License-Identifier: Apache-2.0
"""The native module by itself: every kernel on every target against NumPy, merged steps, bad arguments.

The random sweeps over shapes are in ``tests/property/test_engine_property.py``; here stand the corners.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bbcodec import _native
from bbcodec.engine import bits, native, reference
from bbcodec.engine.graph import Requantise, Sign

Array = np.ndarray[Any, Any]


@pytest.fixture(params=_native.targets(), autouse=True)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _native.target()
    _native.set_target(request.param)
    assert _native.target() == request.param
    yield request.param
    _native.set_target(before)


def acc(conv: Any, x: Array, outputs: int) -> Array:
    out = np.full((*x.shape[:3], outputs), -1, np.int32)
    conv.acc(x, out)
    return out


@pytest.fixture(params=["never", "always"])
def slices(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways of bit convolutions, whatever would pay."""
    _native.set_slices(request.param)
    yield request.param
    _native.set_slices("automatic")


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 8), (5, 1, 1), (1, 9, 1), (2, 3, 5), (3, 16, 16), (1, 2, 700)]
)
@pytest.mark.parametrize(("channels", "outputs"), [(64, 64), (1, 1), (70, 9), (256, 24)])
@pytest.mark.usefixtures("slices")
def test_bit_conv(shape: tuple[int, int, int], channels: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    x = bits.pack(rng.integers(0, 2, (*shape, channels)))
    for kernel in (1, 3, 5):
        weight = bits.pack(rng.integers(0, 2, (outputs, kernel, kernel, channels)))
        found = acc(_native.BitConv(weight, channels), x, outputs)
        assert np.array_equal(found, reference.bconv(x, weight, channels))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 8), (5, 1, 1), (1, 9, 1), (2, 3, 5), (3, 16, 16), (1, 2, 700)]
)
@pytest.mark.parametrize(("channels", "outputs"), [(64, 64), (1, 1), (3, 17), (129, 40)])
def test_int_conv(shape: tuple[int, int, int], channels: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-500, 500, (*shape, channels)).astype(np.int16)
    for kernel in (1, 3, 5):
        weight = rng.integers(-128, 128, (outputs, kernel, kernel, channels)).astype(np.int8)
        assert np.array_equal(acc(_native.IntConv(weight), x, outputs), reference.qconv(x, weight))


@pytest.mark.parametrize(
    ("lo", "hi"), [(0, 255), (-128, 127), (-255, 0), (-255, -250), (7, 255), (-200, 55), (-1, 1), (-128, 128)]
)
@pytest.mark.parametrize(("channels", "outputs"), [(64, 64), (1, 1), (3, 17), (130, 40)])
def test_int_conv_of_bytes(lo: int, hi: int, channels: int, outputs: int) -> None:
    """Ranges that bytes hold, and one that they do not; sums at their ends, and padding in all of them."""
    rng = np.random.default_rng(channels)
    for kernel, shape in ((1, (3, 5, 1)), (3, (2, 9, 7)), (3, (1, 1, 1)), (5, (2, 3, 11))):
        size = (outputs, kernel, kernel, channels)
        ends = np.sign(rng.integers(-1, 2, (outputs, 1, 1, 1)))
        for weight in (
            rng.integers(-128, 128, size),
            rng.choice([-1, 1], size),
            np.broadcast_to(np.where(ends < 0, -128, 127 * ends), size),
        ):
            narrow = np.ascontiguousarray(weight, np.int8)
            conv = _native.IntConv(narrow, lo, hi)
            for x in (
                rng.integers(lo, hi, (*shape, channels), endpoint=True),
                rng.choice([lo, hi], (*shape, channels)),
                np.full((*shape, channels), lo),
                np.full((*shape, channels), hi),
            ):
                stream = x.astype(np.int16)
                assert np.array_equal(acc(conv, stream, outputs), reference.qconv(stream, narrow))


def test_bytes_of_a_map_in_many_groups() -> None:
    """More images than are padded at once."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (40, 12, 30, 33)).astype(np.int16)
    weight = rng.integers(-128, 128, (5, 3, 3, 33)).astype(np.int8)
    assert np.array_equal(acc(_native.IntConv(weight, 0, 255), x, 5), reference.qconv(x, weight))


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("case", range(12))
def test_bit_conv_on_maps_of_all_sizes(case: int) -> None:
    """Images that end inside of vectors, maps narrower than the kernel, segments that end inside of rows."""
    rng = np.random.default_rng(case)
    shapes = [(1, 1, 513), (3, 23, 31), (1, 70, 64), (700, 1, 1), (9, 2, 37), (1, 300, 2)]
    shape = shapes[case % 6] if case < 10 else (1, 5, 1300)
    channels, outputs = (int(n) for n in rng.integers(1, 90, 2))
    x = bits.pack(rng.integers(0, 2, (*shape, channels)))
    for kernel in (1, 3, 5):
        weight = bits.pack(rng.integers(0, 2, (outputs, kernel, kernel, channels)))
        conv = _native.BitConv(weight, channels)
        raw = reference.bconv(x, weight, channels)
        assert np.array_equal(acc(conv, x, outputs), raw)
        # Limits that occur, that are always and never reached, and either sense.
        rows = raw.reshape(-1, outputs)
        limits = rows[rng.integers(0, len(rows), outputs), np.arange(outputs)]
        limits = (limits + rng.integers(-1, 2, outputs)).astype(np.int32)
        total = kernel * kernel * channels
        ends = np.array(
            [-(1 << 31), -total - 1, -total, 1 - total, total, total + 1, (1 << 31) - 1], np.int32
        )
        limits[::3] = rng.choice(ends, len(limits[::3]))
        flips = rng.integers(0, 2, outputs).astype(np.uint8)
        signs = np.empty((*shape, bits.words(outputs)), np.uint64)
        conv.sign(x, _native.Threshold(limits, flips), signs)
        assert np.array_equal(signs, bits.pack((raw < limits) ^ flips.astype(bool)))
        mul = rng.integers(-5000, 5000, outputs).astype(np.int32)
        add = rng.integers(-(1 << 20), 1 << 20, outputs)
        stream = np.empty((*shape, outputs), np.int16)
        conv.scale(x, _native.Scale(mul, add, 9, -3000, 2999), stream)
        assert np.array_equal(stream, reference.requantise(raw, mul, add, 9, -3000, 2999))


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize(
    ("kernel", "channels"), [(1, 8192), (3, 3500), (5, 2600), (5, 2700), (1, 1023), (1, 1024)]
)
def test_counters_are_wide_enough(kernel: int, channels: int) -> None:
    """All inputs differ from their weights, or none does; 5 x 5 x 2700 is more than slices can count."""
    x = bits.pack(np.ones((1, 2, 3, channels), bool))
    weight = bits.pack(
        np.stack([np.zeros((kernel, kernel, channels), bool), np.ones((kernel, kernel, channels), bool)])
    )
    assert np.array_equal(acc(_native.BitConv(weight, channels), x, 2), reference.bconv(x, weight, channels))


@pytest.mark.usefixtures("slices")
def test_many_words_do_not_overflow_byte_sums() -> None:
    # 5 * 5 * 8 words, all bits different: byte-wise partial sums must be flushed in time.
    channels = 512
    x = bits.pack(np.ones((1, 2, 3, channels), bool))
    weight = bits.pack(np.zeros((9, 5, 5, channels), bool))
    found = acc(_native.BitConv(weight, channels), x, 9)
    assert np.array_equal(found, reference.bconv(x, weight, channels))


def test_int_conv_at_the_ends_of_the_accumulator() -> None:
    # 127 * 516 * 32768 is just below 2^31, and with 512 times -128 it is 2^31 less one step.
    for weight, value, channels in (
        (127, -32768, 516),
        (-128, 32767, 512),
        (127, 32767, 516),
        (-128, -32767, 512),
    ):
        x = np.full((1, 1, 3, channels), value, np.int16)
        conv = _native.IntConv(np.full((2, 1, 1, channels), weight, np.int8))
        assert weight * value * channels in range(-(1 << 31) + 1, 1 << 31)
        assert np.all(acc(conv, x, 2) == weight * value * channels)


@pytest.mark.parametrize("channels", [1, 5, 8, 13, 64, 100])
@pytest.mark.parametrize("shift", [1, 2, 31, 32, 33, 40])
def test_scale_at_the_ends_of_int64(channels: int, shift: int) -> None:
    rng = np.random.default_rng(shift)
    ends = np.array([-(1 << 31) + 1, (1 << 31) - 1, 0, 1, -1])
    x = rng.choice(ends, (2, 3, 7, channels)).astype(np.int32)
    mul = rng.choice([-(1 << 31), (1 << 31) - 1, 0, 1, -1], channels).astype(np.int32)
    add = rng.choice([-(1 << 61), 1 << 61, 0, -(1 << (shift - 1)), -(1 << (shift - 1)) - 1], channels)
    for lo, hi in ((-32768, 32767), (-5, 7), (3, 3), (-9, -2)):
        out = np.empty(x.shape, np.int16)
        _native.Scale(mul, add, shift, lo, hi).run(x, out)
        assert np.array_equal(out, reference.requantise(x, mul, add, shift, lo, hi))


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 200])
def test_threshold_is_the_sign_of_the_scale(channels: int) -> None:
    rng = np.random.default_rng(channels)
    inputs = 40
    x = rng.integers(-32768, 32768, (2, 3, 11, inputs)).astype(np.int16)
    weight = rng.integers(-128, 128, (channels, 1, 1, inputs)).astype(np.int8)
    conv = _native.IntConv(weight)
    raw = acc(conv, x, channels)
    for trial in range(40):
        mul = rng.integers(-5, 6, channels).astype(np.int32)
        if trial % 4 == 0:
            mul = rng.choice([-(1 << 31), (1 << 31) - 1, -1, 0, 1], channels).astype(np.int32)
        shift = int(rng.integers(1, 41))
        # Put the threshold right onto accumulators that occur.
        add = (
            -raw[0, 0, trial % 11].astype(np.int64) * mul - (1 << (shift - 1)) + rng.integers(-2, 3, channels)
        )
        if trial % 5 == 0:
            add = rng.choice([-(1 << 61), 1 << 61], channels)
        lo, hi = [(-32768, 32767), (-1, 0), (0, 5), (-7, -1), (-1, -1), (0, 0)][trial % 6]
        op = Requantise("a", "y", "mul", "add", shift, lo, hi)
        tensors = {"mul": mul, "add": add, "t": np.zeros(channels, np.int16)}
        if trial % 3:
            tensors["t"] = rng.choice([-32768, 32767, -5, -1, 0, 1, 4], channels).astype(np.int16)
        threshold = native._threshold(op, Sign("y", "s", "t"), tensors)
        out = np.empty((*x.shape[:3], bits.words(channels)), np.uint64)
        conv.sign(x, threshold, out)
        assert np.array_equal(
            out, reference.sign(reference.requantise(raw, mul, add, shift, lo, hi), tensors["t"])
        )


@pytest.mark.parametrize("channels", [1, 16, 31, 32, 33, 63, 64, 65, 127, 200])
def test_maps(channels: int) -> None:
    rng = np.random.default_rng(channels)
    x, y = (rng.integers(-32768, 32768, (2, 4, 6, channels)).astype(np.int16) for _ in range(2))
    out = np.empty(x.shape, np.int16)
    for lo, hi in ((-32768, 32767), (-100, 50), (7, 7)):
        _native.add(x, y, lo, hi, out)
        assert np.array_equal(out, reference.add_streams(x, y, lo, hi))
        for shift in (1, 8, 15):
            _native.mul(x, y, shift, lo, hi, out)
            assert np.array_equal(out, reference.multiply_streams(x, y, shift, lo, hi))
    packed = np.full((2, 4, 6, bits.words(channels)), 99, np.uint64)
    threshold = rng.integers(-32768, 32768, channels).astype(np.int16)
    threshold[: channels // 2] = 0
    _native.sign(x, threshold, packed)
    assert np.array_equal(packed, reference.sign(x, threshold))
    table = rng.integers(-32768, 32768, 77).astype(np.int16)
    _native.look_up(x, table, 30, out)
    assert np.array_equal(out, reference.look_up(x, table, 30))


@pytest.mark.usefixtures("slices")
def test_calls_from_many_threads_agree() -> None:
    rng = np.random.default_rng(3)
    weight = bits.pack(rng.integers(0, 2, (64, 3, 3, 64)))
    conv = _native.BitConv(weight, 64)
    maps = [bits.pack(rng.integers(0, 2, (2, side, 9, 64))) for side in (3, 8, 17, 30)]
    expected = [acc(conv, x, 64) for x in maps]
    failures: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(acc(conv, maps[index], 64), expected[index]):
                failures.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(maps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_read_only_arrays_are_accepted_and_never_written() -> None:
    x = np.ones((1, 2, 2, 3), np.int16)
    x.setflags(write=False)
    out = np.empty((1, 2, 2, 1), np.uint64)
    _native.sign(x, np.zeros(3, np.int16), out)
    assert not out.any()
    out.setflags(write=False)
    with pytest.raises(TypeError):
        _native.sign(x, np.zeros(3, np.int16), out)
    with pytest.raises(ValueError, match="threshold"):
        _native.sign(x, np.zeros(2, np.int16), np.empty((1, 2, 2, 1), np.uint64))


def test_bad_arguments_are_errors() -> None:
    conv = _native.BitConv(np.zeros((4, 3, 3, 1), np.uint64), 64)
    x = np.zeros((1, 2, 2, 1), np.uint64)
    for out in (
        np.zeros((1, 2, 2, 3), np.int32),
        np.zeros((1, 2, 1, 4), np.int32),
        np.zeros((2, 2, 2, 4), np.int32),
    ):
        with pytest.raises(ValueError, match="output"):
            conv.acc(x, out)
    with pytest.raises(ValueError, match="input"):
        conv.acc(np.zeros((1, 2, 2, 2), np.uint64), np.zeros((1, 2, 2, 4), np.int32))
    with pytest.raises(TypeError):
        conv.acc(x.astype(np.int64), np.zeros((1, 2, 2, 4), np.int32))
    with pytest.raises(TypeError):
        conv.acc(np.zeros((1, 2, 2, 2), np.uint64)[..., ::2], np.zeros((1, 2, 2, 4), np.int32))
    scale = _native.Scale(np.ones(3, np.int32), np.zeros(3, np.int64), 1, 0, 1)
    with pytest.raises(ValueError, match="scale"):
        conv.scale(x, scale, np.zeros((1, 2, 2, 4), np.int16))
    threshold = _native.Threshold(np.zeros(3, np.int32), np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="threshold"):
        conv.sign(x, threshold, np.zeros((1, 2, 2, 1), np.uint64))
    for bad in (
        np.zeros((4, 2, 2, 1), np.uint64),
        np.zeros((4, 3, 1, 1), np.uint64),
        np.zeros((4, 3, 3, 2), np.uint64),
    ):
        with pytest.raises(ValueError, match=r"kernel|weight"):
            _native.BitConv(bad, 64)
    for lo, hi in ((1, 0), (-32769, 0), (0, 32768)):
        with pytest.raises(ValueError, match="int16"):
            _native.IntConv(np.zeros((1, 1, 1, 1), np.int8), lo, hi)
    for shift, lo, hi, add in (
        (0, 0, 1, 0),
        (41, 0, 1, 0),
        (1, 2, 1, 0),
        (1, 0, 40000, 0),
        (1, 0, 1, (1 << 61) + 1),
    ):
        with pytest.raises(ValueError, match=r"shift|int16|add"):
            _native.Scale(np.ones(1, np.int32), np.full(1, add), shift, lo, hi)
    with pytest.raises(ValueError, match="never"):
        _native.set_slices("sometimes")
    with pytest.raises(ValueError, match="sse9"):
        _native.set_target("sse9")
    stream = np.zeros((1, 2, 2, 4), np.int16)
    for shift, lo, hi in ((0, 0, 1), (16, 0, 1), (-1, 0, 1), (1, 2, 1), (1, -40000, 1), (1, 0, 40000)):
        with pytest.raises(ValueError, match=r"shift|int16"):
            _native.mul(stream, stream, shift, lo, hi, stream)
    for x, y, out in itertools.permutations((stream, stream, stream[:, :1])):
        with pytest.raises(ValueError, match="output"):
            _native.mul(x, y, 1, 0, 1, out)
    with pytest.raises(TypeError):
        _native.mul(stream.astype(np.int32), stream, 1, 0, 1, stream)
    with pytest.raises(ValueError, match="output"):
        _native.space_to_depth(stream, stream)
    with pytest.raises(ValueError, match="output"):
        _native.depth_to_space(stream, stream)
    with pytest.raises(ValueError, match="table"):
        _native.look_up(stream, np.zeros(0, np.int16), 0, stream)
