# SPDX-License-Identifier: Apache-2.0
"""Random codecs on random messages: the data and the message come back exactly. Deterministic, bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcodec.backends import available
from bbcodec.coding import ans, codecs
from bbcodec.coding.bits_back import BBANS, BitSwap
from bbcodec.coding.codecs import Codec
from bbcodec.coding.distributions import Categorical, Logistic, LogisticMixture, Uniform, quantise
from bbcodec.errors import FormatError

few = settings(derandomize=True, deadline=None, max_examples=60, database=None)
seeds = st.integers(0, 2**32 - 1)
integers = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-300, 64 * 300))


@st.composite
def messages(draw: Any, tail: int = 400) -> ans.Message:
    """Valid messages: heads at, near and between the ends of their range; tails in pieces."""
    lanes = draw(st.integers(1, 9))
    edge = st.sampled_from([ans.LOWER, ans.LOWER + 1, ans.UPPER - 1, (1 << 43) - 1, 1 << 43])
    inside = st.integers(ans.LOWER, ans.UPPER - 1)
    head = np.array(draw(st.lists(st.one_of(edge, inside), min_size=lanes, max_size=lanes)), np.uint64)
    rng = np.random.default_rng(draw(seeds))
    stack: ans.Tail = (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())
    for size in draw(st.lists(st.integers(0, 5), max_size=6)):
        stack = (rng.integers(1 << 32, size=size, dtype=np.uint32), stack)
    return head, stack


@st.composite
def leaves(draw: Any, n: int, backend: str) -> Codec:
    """Codecs of an int32 vector of n symbols below 8 (so that they can be exchanged), of any kind."""
    kind = draw(st.sampled_from(["logistic", "mixture", "uniform", "categorical"]))
    rng = np.random.default_rng(draw(seeds))
    if kind == "logistic":
        vectors = st.lists(integers, min_size=n, max_size=n)
        return Logistic(np.array(draw(vectors), np.int64), rng.integers(-2, 82, n), 8, backend)
    if kind == "mixture":
        weights = quantise(rng.integers(0, 50, (n, 2)), draw(st.integers(1, 16)))
        return LogisticMixture(
            weights, rng.integers(-100, 612, (n, 2)), rng.integers(0, 80, (n, 2)), 8, backend
        )
    if kind == "uniform":
        return (
            Uniform(rng.integers(8, 10, n), None, backend)
            if draw(st.booleans())
            else Uniform(8, (n,), backend)
        )
    return Categorical(quantise(rng.integers(0, 99, (n, 8)), draw(st.integers(3, 27))), None, backend)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.array_equal(a, b)


def check(codec: Codec, message: ans.Message, symbol: Any) -> None:
    """Push then pop, and pop then push."""
    (pushed,) = codec.push(message, symbol)
    assert ((pushed[0] >= ans.LOWER) & (pushed[0] < ans.UPPER)).all()
    back, found = codec.pop(pushed)
    assert ans.message_equal(back, message)
    assert same(found, symbol)
    popped, sampled = codec.pop(message)
    assert ans.message_equal(codec.push(popped, sampled)[0], message)


@few
@given(st.data(), messages(), st.integers(0, 20), seeds)
def test_leaves(data: Any, message: ans.Message, n: int, seed: int) -> None:
    codec = data.draw(leaves(n, "numpy"))
    check(codec, message, np.random.default_rng(seed).integers(0, 8, n))


@few
@given(st.data(), messages(), seeds)
def test_combinators(data: Any, message: ans.Message, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lanes = message[0].size
    parts: list[Codec] = []
    symbols: list[Any] = []
    for n in data.draw(st.lists(st.integers(1, 6), max_size=4)):
        codec: Codec = data.draw(leaves(n, "numpy"))
        symbol: Any = rng.integers(0, 8, n)
        wrap = data.draw(st.sampled_from(["plain", "repeat", "substack"]))
        if wrap == "repeat":
            codec, symbol = codecs.repeat(codec, 2), [symbol, rng.integers(0, 8, n)]
        elif wrap == "substack":
            used = rng.permutation(lanes)[: rng.integers(1, lanes + 1)]
            codec = codecs.substack(codec, lambda head, used=used: head[used])
        parts.append(codec)
        symbols.append(symbol)
    check(codecs.serial(parts), message, symbols)


@few
@given(st.data(), messages(), st.integers(1, 8), seeds)
def test_bits_back(data: Any, message: ans.Message, n: int, seed: int) -> None:
    def conditional() -> Callable[[Any], Codec]:
        choices = [data.draw(leaves(n, "numpy")) for _ in range(2)]
        return lambda z: choices[int(np.sum(z)) % 2]

    prior = data.draw(leaves(n, "numpy"))
    x = np.random.default_rng(seed).integers(0, 8, n)
    two = [conditional() for _ in range(4)]
    for codec in (BBANS(prior, two[0], two[1]), BitSwap(prior, two[:2], two[2:])):
        try:
            (pushed,) = codec.push(message, x)
        except ValueError:
            continue  # a uniform over 9 sampled a latent that the next codec of 8 symbols cannot hold
        back, found = codec.pop(pushed)
        assert np.array_equal(found, x)
        assert ans.message_equal(back, message)


@few
@given(messages(), st.integers(1, 20))
def test_reshaping_the_head(message: ans.Message, lanes: int) -> None:
    reshaped = codecs.reshape_head(message, lanes)
    assert reshaped[0].shape == (lanes,)
    assert ans.message_equal(codecs.reshape_head(reshaped, message[0].size), message)
    assert ans.message_equal(codecs.unflatten(codecs.flatten(message), message[0].shape), message)


@few
@given(st.lists(st.integers(0, 2**32 - 1), max_size=40), st.integers(1, 8))
def test_any_words_give_a_message_or_a_format_error(words: list[int], lanes: int) -> None:
    array = np.array(words, np.uint32)
    for read in (ans.unflatten, codecs.unflatten):
        try:
            message = read(array, lanes)
            Logistic(np.arange(0, 1280, 64), 20, 256, "numpy").pop(message)
        except FormatError:
            pass


@pytest.mark.parametrize("backend", ["numba", "native"])
def test_backends_agree_on_anything(backend: str) -> None:
    if backend not in available():
        pytest.skip(f"no {backend} backend here")

    @few
    @given(
        messages(tail=50),
        st.sampled_from([1, 2, 7, 256, 511, 4096]),
        st.lists(
            st.tuples(integers, st.integers(-(2**31), 2**31 - 1) | st.integers(0, 79), seeds), max_size=40
        ),
    )
    def run(message: ans.Message, nsym: int, rows: list[tuple[int, int, int]]) -> None:
        mu, e, symbols = (np.array([row[i] for row in rows], np.int64) for i in range(3))
        ours, reference = (Logistic(mu, e, nsym, name) for name in (backend, "numpy"))
        popped, sampled = ours.pop(message)
        expected, wanted = reference.pop(message)
        assert ans.message_equal(popped, expected)
        assert np.array_equal(sampled, wanted)
        assert ans.message_equal(ours.push(popped, sampled)[0], message)
        (pushed,) = ours.push(message, symbols % nsym)
        assert ans.message_equal(pushed, reference.push(message, symbols % nsym)[0])

    run()
