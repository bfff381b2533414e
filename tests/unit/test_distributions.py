# SPDX-License-Identifier: Apache-2.0
"""The integer logistic and its relatives: frozen tables, valid intervals, one answer from every backend."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest

from bbcodec.backends import available
from bbcodec.coding import ans, logistic_tables
from bbcodec.coding.distributions import Categorical, Logistic, LogisticMixture, Uniform, logistic, quantise
from bbcodec.coding.kernels import kernels
from bbcodec.errors import FormatError, MessageUnderflow, OptionError

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in available(), reason=f"no {name} backend here"))
    for name in ("numpy", "numba", "native")
]


def random_message(lanes: ans.Shape, tail: int, seed: int = 0) -> ans.Message:
    rng = np.random.default_rng(seed)
    head = rng.integers(ans.LOWER, ans.UPPER, lanes, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())


def random_parameters(n: int, nsym: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Locations inside and far outside, all scales, and symbols from the tails as well as from the middle."""
    rng = np.random.default_rng(seed)
    mu = rng.integers(-64 * nsym, 128 * nsym, n)
    mu[::7] = rng.integers(-(1 << 31), 1 << 31, len(mu[::7]))
    e = rng.integers(-3, 90, n)
    symbols = np.where(rng.random(n) < 0.5, rng.integers(0, nsym, n), np.clip((mu + 32) // 64, 0, nsym - 1))
    return mu.astype(np.int32), e.astype(np.int32), symbols.astype(np.int32)


# --------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        (logistic_tables.sigmoid_table, "d3b0a129ed5ab25bf8ae8940016d1456a1f38c1a308f50f1417f000d05a351fe"),
        (
            logistic_tables.inverse_scale_table,
            "f116882e78311ea1d8f6e9ae1ca5a9a5a0d0cadef96f779a2d58c18c2d72cbe7",
        ),
    ],
)
def test_tables_never_change(table: Any, digest: str) -> None:
    assert hashlib.sha256(table().astype("<i8").tobytes()).hexdigest() == digest
    assert not table().flags.writeable


def test_tables_are_what_they_say() -> None:
    sigmoid = 2**30 / (1 + np.exp((512 - np.arange(1025)) / 32))
    sigmoid[0], sigmoid[-1] = 0, 1 << 30
    assert np.abs(logistic_tables.sigmoid_table() - sigmoid).max() <= 0.5 + 1e-6
    assert (np.diff(logistic_tables.sigmoid_table()) > 0).all()
    assert np.array_equal(
        logistic_tables.sigmoid_table() + logistic_tables.sigmoid_table()[::-1], np.full(1025, 1 << 30)
    )
    assert np.abs(logistic_tables.inverse_scale_table() - 2.0 ** (22 - np.arange(80) / 8)).max() <= 0.5


@pytest.mark.parametrize("nsym", [1, 2, 3, 256, 512, 4096])
def test_every_interval_is_valid(nsym: int) -> None:
    locations = [-(1 << 31), -(1 << 17), -(1 << 17) - 1, -1, 0, 31, 32, 64 * nsym // 2, 64 * nsym, 1 << 17]
    mu, e = (v.ravel().astype(np.int32) for v in np.meshgrid(locations, [-5, 0, 1, 24, 40, 79, 99]))
    centre, inverse = logistic_tables.clamp_parameters(mu, e)
    k = np.arange(nsym + 1, dtype=np.int64)
    cdf = logistic_tables.logistic_cdf(k, centre[:, None], inverse[:, None], nsym)
    assert (cdf[:, 0] == 0).all()
    assert (cdf[:, -1] == 1 << 20).all()
    assert (np.diff(cdf, axis=1) >= 1).all()


def test_probabilities_are_those_of_a_logistic() -> None:
    k = np.arange(257, dtype=np.float64)
    for mu, e in ((8192, 24), (5000, 16), (16000, 40), (100, 32)):
        edge = 1 / (1 + np.exp(-(k - 0.5 - mu / 64) / 2 ** (e / 8 - 3)))
        edge[0], edge[-1] = 0, 1
        cost = logistic.bits(np.arange(256), np.full(256, mu), e, 256)
        wanted = -np.log2(np.diff(edge) * (1 - 256 / 2**20) + 2**-20)
        assert np.abs(cost - wanted)[cost < 14].max() < 0.02
        assert 2.0**-cost @ np.ones(256) == pytest.approx(1)


def test_bits_is_what_the_message_grows_by() -> None:
    from bbcodec.coding.codecs import message_bits

    mu, e, x = random_parameters(3000, 256, 5)
    (message,) = Logistic(mu, e, 256, "numpy").push(ans.base_message(4), x)
    assert message_bits(message) == pytest.approx(logistic.bits(x, mu, e, 256).sum(), rel=1e-5)


# ------------------------------------------------------------------------------------------- backends


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("nsym", [1, 2, 256, 512, 4096])
@pytest.mark.parametrize(("lanes", "n"), [(1, 200), (7, 300), (32, 5), (32, 320), (5, 0), (64, 64)])
@pytest.mark.parametrize("floor", [0, 1])
def test_backends_equal_the_reference(backend: str, nsym: int, lanes: int, n: int, floor: int) -> None:
    mu, e, x = random_parameters(n, nsym, nsym + lanes)
    start = random_message(lanes, n + 5, n)
    ours, reference = (Logistic(mu, e, nsym, name, floor=floor) for name in (backend, "numpy"))
    if not floor:  # only symbols that were popped are sure to have a probability
        _, x = reference.pop(random_message(lanes, n + 5, n + 1))
    (pushed,) = ours.push(start, x)
    assert ans.message_equal(pushed, reference.push(start, x)[0])
    back, symbols = ours.pop(pushed)
    assert ans.message_equal(back, start)
    assert np.array_equal(symbols, x)
    assert symbols.dtype == np.int32
    popped, sampled = ours.pop(start)
    expected, wanted = reference.pop(start)
    assert ans.message_equal(popped, expected)
    assert np.array_equal(sampled, wanted)
    assert ans.message_equal(ours.push(popped, sampled)[0], start)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_floor_no_sample_is_an_outlier_and_the_impossible_is_refused(backend: str) -> None:
    codec = Logistic(np.full(100_000, 64 * 256), 16, 512, backend, floor=0)  # scale: half a symbol
    _, sampled = codec.pop(random_message(64, 60_000, 3))
    assert np.abs(sampled - 256).max() <= 10
    with pytest.raises(FormatError, match="damaged message"):
        codec.push(ans.base_message(4), np.full(100_000, 300))


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_find_every_symbol_from_both_ends_of_its_interval(backend: str) -> None:
    nsym = 256
    for mu, e in ((8192, 24), (8192, 0), (-(1 << 17), 79), (1 << 17, 0), (300, 79), (16383, 5), (8192, 60)):
        centre, inverse = logistic_tables.clamp_parameters(np.array([mu], np.int32), np.array([e], np.int32))
        cdf = logistic_tables.logistic_cdf(np.arange(nsym + 1, dtype=np.int64), centre, inverse, nsym)
        cf = np.concatenate([cdf[:-1], cdf[1:] - 1]).astype(np.uint64)
        head = (np.uint64(1) << np.uint64(40)) + cf
        same = np.full(len(cf), mu, np.int32), np.full(len(cf), e, np.int32)
        _, symbols, _ = kernels(backend).pop_logistic(head, *same, nsym, 1, np.zeros(len(cf), np.uint32))
        assert np.array_equal(symbols, np.tile(np.arange(nsym), 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_push_freqs_equals_ans(backend: str) -> None:
    rng = np.random.default_rng(1)
    for p in (0, 5, 20, 27, 31):
        freqs = rng.integers(1, (1 << p) + 1, 50).astype(np.uint64)
        starts = rng.integers(0, (1 << p) - freqs + np.uint64(1)).astype(np.uint64)
        head, _ = random_message(50, 0, p)
        pushed, words = kernels(backend).push_freqs(head, starts, freqs, p)
        assert ans.message_equal((pushed, (words, ())), ans.push((head, ()), starts, freqs, p))


@pytest.mark.parametrize("backend", BACKENDS)
def test_sections_begin_at_lane_0(backend: str) -> None:
    rng = np.random.default_rng(1)
    sections = np.array([3, 0, 8, 9, 17, 1], np.int64)
    for p in (0, 5, 11, 12, 20, 31):
        n = int(sections.sum())
        freqs = rng.integers(1, (1 << p) + 1, n).astype(np.uint32)
        freqs[::5] = rng.integers(1, min(9, (1 << p) + 1), len(freqs[::5]))  # large quotients
        starts = rng.integers(0, (1 << p) - freqs.astype(np.int64) + 1).astype(np.uint32)
        head, _ = random_message(8, 0, p)
        pushed, words = kernels(backend).push_sections(head, starts, freqs, sections, p)
        expected, tail = head, []
        ends = np.cumsum(sections)
        for one in map(slice, (ends - sections)[::-1].tolist(), ends[::-1].tolist()):
            intervals = (starts[one].astype(np.uint64), freqs[one].astype(np.uint64))
            expected, some = kernels("numpy").push_freqs(expected, *intervals, p)
            tail.append(some)
        assert np.array_equal(pushed, expected)
        assert np.array_equal(words, np.concatenate(tail[::-1]))
        for wrong in (sections[:-1], sections + 1, np.array([-1, n + 1], np.int64)):
            with pytest.raises(ValueError, match="sections"):
                kernels(backend).push_sections(head, starts, freqs, wrong, p)
        with pytest.raises(ValueError, match="interval"):
            kernels(backend).push_sections(head, starts, freqs * np.uint32(0), sections, p)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_change_nothing_passed_in_and_refuse_nonsense(backend: str) -> None:
    k = kernels(backend)
    head, (words, _) = random_message(3, 6)
    mu, e, x = (np.array(v, np.int32) for v in ([64, 128, 0, 5], [20, 21, 22, 23], [0, 1, 2, 3]))
    for array in (head, words, mu, e, x):
        array.flags.writeable = False
    copies = [a.copy() for a in (head, words)]
    k.push_logistic(head, x, mu, e, 4, 1)
    k.pop_logistic(head, mu, e, 4, 1, words)
    assert np.array_equal(head, copies[0])
    assert np.array_equal(words, copies[1])
    none = np.empty(0, np.uint64)
    for nsym in (0, -1, 4097, 3):  # 3: a symbol is out of range
        with pytest.raises(ValueError, match=r"nsym|symbol"):
            k.push_logistic(head, x, mu, e, nsym, 1)
    with pytest.raises(ValueError, match="symbol"):
        k.push_logistic(head, np.array([0, 1, -1, 0], np.int32), mu, e, 4, 1)
    with pytest.raises(ValueError, match="length"):
        k.push_logistic(head, x[:3], mu, e, 4, 1)
    with pytest.raises(ValueError, match="lane"):
        k.push_logistic(none, x, mu, e, 4, 1)
    with pytest.raises(ValueError, match="length"):
        k.pop_logistic(head, mu, e[:2], 4, 1, words)
    with pytest.raises(ValueError, match="lane"):
        k.pop_logistic(none, mu, e, 4, 1, words)
    with pytest.raises(ValueError, match="nsym"):
        k.pop_logistic(head, mu, e, 0, 1, words)
    for start, freq, p in (
        (0, 0, 8),
        (250, 10, 8),
        (0, 257, 8),
        (1 << 63, 1 << 63, 8),
        (0, 1, 32),
        (0, 1, -1),
    ):
        with pytest.raises(ValueError, match=r"precision|interval"):
            k.push_freqs(head, np.array([start], np.uint64), np.array([freq], np.uint64), p)


@pytest.mark.parametrize("backend", BACKENDS)
def test_running_out_of_words_underflows(backend: str) -> None:
    mu, e, x = random_parameters(500, 256, 3)
    codec = Logistic(mu, e, 256, backend)
    ((head, tail),) = codec.push(ans.base_message(8), x)
    words = ans.flatten((head, tail))[16:]
    assert codec.pop((head, (words[:7], (words[7:], ()))))[1].tolist() == x.tolist()
    for keep in (0, 1, len(words) - 1):
        with pytest.raises(MessageUnderflow):
            codec.pop((head, (words[:keep], ())))
    with pytest.raises(MessageUnderflow):
        codec.pop(ans.base_message(8))


def test_an_unknown_backend_is_an_option_error() -> None:
    with pytest.raises(OptionError):
        kernels("fortran")


# ------------------------------------------------------------------------------------------ parameters


@pytest.mark.parametrize("backend", BACKENDS)
def test_logistic_takes_any_shape_and_integer_dtype(backend: str) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    start = random_message((3, 2), 40)
    codec = Logistic(64 * np.arange(4, dtype=np.int64), np.full((2, 3, 1), 30, np.uint8), 256, backend)
    (pushed,) = codec.push(start, x)
    assert pushed[0].shape == (3, 2)
    back, symbols = codec.pop(pushed)
    assert np.array_equal(symbols, x)
    assert ans.message_equal(back, start)
    transposed = Logistic(np.full((4, 6), 640).T, 20, 256, backend)
    (pushed,) = transposed.push(start, np.arange(24).reshape(4, 6).T)
    assert np.array_equal(transposed.pop(pushed)[1], np.arange(24).reshape(4, 6).T)
    scalar = Logistic(100, 20, 256, backend)
    assert scalar.pop(scalar.push(start, np.uint8(3))[0])[1] == 3
    far = Logistic(np.array([1 << 40, -(1 << 40)]), np.array([1 << 40, -(1 << 40)]), 256, backend)
    near = Logistic(np.array([1 << 17, -(1 << 17)]), np.array([79, 0]), 256, backend)
    assert ans.message_equal(far.push(start, [5, 6])[0], near.push(start, [5, 6])[0])


def test_logistic_refuses_floats_and_wrong_shapes() -> None:
    with pytest.raises(TypeError):
        Logistic(np.zeros(3), 20, 256)
    with pytest.raises(ValueError, match="nsym"):
        Logistic(np.zeros(3, int), 20, 5000)
    with pytest.raises(ValueError, match="shape"):
        Logistic(np.zeros(3, int), 20, 256, "numpy").push(ans.base_message(1), np.zeros(4, int))
    with pytest.raises(ValueError, match="symbols"):
        logistic.bits(np.array([256]), np.zeros(1, int), 20, 256)


# --------------------------------------------------------------------------------- other distributions


def check(codec: Any, start: ans.Message, symbols: Any) -> ans.Message:
    (pushed,) = codec.push(start, symbols)
    back, found = codec.pop(pushed)
    assert np.array_equal(found, symbols)
    assert ans.message_equal(back, start)
    popped, sampled = codec.pop(start)
    assert ans.message_equal(codec.push(popped, sampled)[0], start)
    return pushed


def test_mixture_of_one_is_the_logistic() -> None:
    mu, e, x = random_parameters(60, 256, 8)
    start = random_message(8, 80)
    single = LogisticMixture(np.array([16]), mu[:, None], e[:, None], 256, "numpy")
    assert ans.message_equal(check(single, start, x), Logistic(mu, e, 256, "numpy").push(start, x)[0])


@pytest.mark.parametrize("nsym", [1, 2, 300, 4096])
def test_mixtures(nsym: int) -> None:
    rng = np.random.default_rng(nsym)
    mu = rng.integers(-100, 64 * nsym + 100, (3, 10, 3))
    weights = quantise(rng.integers(0, 100, (3, 10, 3)), 16)
    codec = LogisticMixture(weights, mu, rng.integers(0, 80, (3, 10, 3)), nsym, "numpy")
    check(codec, random_message(7, 60), rng.integers(0, nsym, (3, 10)))
    for bad in (np.full((3, 10, 3), nsym), np.full((3, 10), -1), np.full((3, 10), nsym)):
        with pytest.raises(ValueError, match=r"symbols|shape"):
            codec.push(random_message(7, 60), bad)


def test_mixture_refuses_bad_weights() -> None:
    for weights in ([3, 4], [-1, 5], [0, 0], [1 << 16, 1 << 16], [[1, 3], [2, 6]]):
        with pytest.raises(ValueError, match="weights"):
            LogisticMixture(np.array(weights), [0, 64], 20, 256)
    with pytest.raises(TypeError):
        LogisticMixture([0.5, 0.5], [0, 64], 20, 256)


def test_uniform() -> None:
    start = random_message(4, 60)
    for n in (1, 2, 3, 255, 256, 1000, (1 << 20) - 1, 1 << 20):
        check(Uniform(n, (5, 2), "numpy"), start, np.array([[0, n - 1]] * 5))
        check(Uniform(n, None, "numpy"), start, np.array([0, n - 1, n // 2, 0]))
    sizes = np.arange(1, 31).reshape(5, 6)
    check(Uniform(sizes, None, "numpy"), start, sizes - 1)
    with pytest.raises(ValueError, match="not in 0"):
        Uniform(sizes, None, "numpy").push(start, sizes)
    for n in (0, (1 << 20) + 1):
        with pytest.raises(ValueError, match="nsym"):
            Uniform(n)
    with pytest.raises(TypeError):
        Uniform(3.0)


def test_categorical() -> None:
    start = random_message(4, 60)
    check(Categorical([1, 0, 3, 4], None, "numpy"), start, np.array([3, 0, 2, 2]))
    check(Categorical([[1, 3]], (7,), "numpy"), start, np.array([0, 1, 1, 1, 0, 0, 1]))
    check(Categorical([[1, 3], [2, 2], [4, 0]], None, "numpy"), start, np.array([0, 1, 0]))
    check(Categorical([[1, 3], [2, 2]], (5, 2), "numpy"), start, np.array([[0, 1]] * 5))
    check(Categorical([1 << 27], (3,), "numpy"), start, np.zeros(3, int))
    for symbol in (1, 4, -1):  # 1 has frequency zero
        with pytest.raises(ValueError, match=r"symbol|interval"):
            Categorical([1, 0, 3, 4], (1,), "numpy").push(start, [symbol])
    for freqs in ([1, 2], [], [-1, 2], [0, 0], [[1, 3], [1, 7]], [1 << 28], 4):
        with pytest.raises(ValueError, match=r"frequencies|axis"):
            Categorical(freqs if freqs else np.array(freqs, int))
    with pytest.raises(TypeError):
        Categorical([0.5, 0.5])


def test_quantise() -> None:
    rng = np.random.default_rng(0)
    for k in (1, 2, 100, 1024):
        counts = rng.integers(0, 1 << 20, (4, k)) * rng.integers(0, 2, (4, k))
        freqs = quantise(counts, 16)
        assert (freqs >= 1).all()
        assert (freqs.sum(axis=-1) == 1 << 16).all()
    assert quantise([0, 0, 0, 0], 4).tolist() == [4, 4, 4, 4]
    assert quantise([5], 0).tolist() == [1]
    assert math.log2(quantise([1 << 34, 1], 27)[0]) == pytest.approx(27, abs=1e-6)
    for counts, p in (([1, 2, 3], 1), ([-1, 3], 8), ([1 << 35], 8), ([], 8), ([1], 28)):
        with pytest.raises(ValueError, match=r"counts|precision"):
            quantise(counts, p)
