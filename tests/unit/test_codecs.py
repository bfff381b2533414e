# SPDX-License-Identifier: Apache-2.0
"""Every combinator returns the symbols and exactly the message, and hands contexts along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bbcodec.coding import ans, codecs
from bbcodec.coding.codecs import Codec
from bbcodec.errors import FormatError, MessageUnderflow


def random_message(lanes: ans.Shape, tail: int = 300, seed: int = 0) -> ans.Message:
    rng = np.random.default_rng(seed)
    head = rng.integers(ans.LOWER, ans.UPPER, lanes, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.array_equal(a, b)


def check(codec: Codec, message: ans.Message, symbol: Any = None) -> None:
    """Push then pop, and pop then push: the data and the message come back exactly."""
    popped, sampled = codec.pop(message)
    (again,) = codec.push(popped, sampled)
    assert ans.message_equal(again, message)
    symbol = sampled if symbol is None else symbol
    (pushed,) = codec.push(message, symbol)
    back, found = codec.pop(pushed)
    assert ans.message_equal(back, message)
    assert same(found, symbol)


@pytest.mark.parametrize("shape", [(1,), (6,), (2, 3)])
def test_uniform_codecs(shape: tuple[int, ...]) -> None:
    message = random_message(shape)
    for p in (0, 1, 9, 16, 27):
        check(codecs.uniform(p), message)
        check(codecs.uniform(p), message, np.full(shape, (1 << p) - 1, np.uint64))
    per_lane = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape) * np.uint64(10)
    check(codecs.big_uniform(per_lane), message, (np.uint64(1) << per_lane) - np.uint64(1))
    check(codecs.big_uniform(64), message, np.full(shape, (1 << 64) - 1, np.uint64))


def test_uniform_refuses_symbols_that_do_not_fit() -> None:
    for symbol in (16, -1, [0, 99]):
        with pytest.raises(ValueError, match="does not fit"):
            codecs.uniform(4).push(random_message(2), symbol)


def test_non_uniform_and_its_check() -> None:
    ends = np.array([0, 3, 4, 16])
    codec = codecs.non_uniform(
        lambda s: (ends[s], ends[s + 1] - ends[s]), lambda cf: np.searchsorted(ends, cf, "right") - 1, 4
    )
    check(codec, random_message(5), np.array([0, 1, 2, 0, 2]))
    wrong = codecs.non_uniform(lambda s: (ends[s], ends[s + 1] - ends[s]), lambda cf: np.ones(5, int), 4)
    with pytest.raises(ValueError, match="disagree"):
        wrong.pop(random_message(5))


def test_serial_repeat_and_generators() -> None:
    message = random_message(4)
    u = codecs.uniform
    check(codecs.serial([]), message, [])
    check(codecs.serial([u(3), u(20), u(0)]), message)
    check(codecs.repeat(codecs.serial([u(5), u(7)]), 6), message)

    def dependent() -> Any:
        n = yield codecs.substack(u(2), lambda head: head[:1])
        for _ in range(int(n[0])):
            yield u(9)

    for n in range(4):
        row = np.arange(4, dtype=np.uint64)
        check(codecs.from_generator(dependent), message, [np.array([n], np.uint64)] + [row] * n)
    for symbols in ([row], [row] * 3):
        with pytest.raises(ValueError, match="do not fit a chain"):
            codecs.serial([u(3), u(20)]).push(message, symbols)


def test_serial_lists_codecs_in_decode_order() -> None:
    (message,) = codecs.serial([codecs.uniform(4), codecs.uniform(8)]).push(ans.base_message(1), [[3], [200]])
    message, first = codecs.uniform(4).pop(message)
    message, second = codecs.uniform(8).pop(message)
    assert (first[0], second[0]) == (3, 200)


@pytest.mark.parametrize(
    "view",
    [
        lambda head: head[:2],
        lambda head: head[1:],
        lambda head: head[::-1],
        lambda head: np.reshape(head[:6], (2, 3)),
        lambda head: head[[4, 0, 2]],
        lambda head: head[3],
        lambda head: head,
    ],
)
def test_substack_touches_its_lanes_only(view: Any) -> None:
    message = random_message((7,))
    codec = codecs.substack(codecs.uniform(20), view)
    check(codec, message)
    shape = np.shape(view(message[0]))
    ((new_head, _),) = codec.push(message, np.zeros(shape, np.uint64))
    untouched = np.setdiff1d(np.arange(7), np.ravel(view(np.arange(7))))
    assert np.array_equal(new_head[untouched], message[0][untouched])


def test_substack_of_a_shaped_head_and_wrong_views() -> None:
    check(codecs.substack(codecs.uniform(13), lambda head: head[1].T), random_message((2, 3, 4)))
    with pytest.raises(ValueError, match="more than once"):
        codecs.substack(codecs.uniform(4), lambda head: head[[0, 0]]).pop(random_message(3))
    shrink = Codec(lambda m, x: (ans.base_message(1),), lambda m: (ans.base_message(1), 0))
    with pytest.raises(ValueError, match="turned a head"):
        codecs.substack(shrink, lambda head: head[:2]).pop(random_message(3))


def test_context_passes_through_every_combinator() -> None:
    counter = Codec(
        lambda m, x, n: (*codecs.uniform(3).push(m, x), n - 1),
        lambda m, n: (*codecs.uniform(3).pop(m), n + 1),
    )
    codec = codecs.serial(
        [
            counter,
            codecs.substack(counter, lambda head: head[:2]),
            codecs.repeat(counter, 3),
            codecs.uniform(5),
        ]
    )
    message = random_message(4)
    popped, symbols, n = codec.pop(message, 10)
    assert n == 15
    again, n = codec.push(popped, symbols, n)
    assert n == 10
    assert ans.message_equal(again, message)


def test_vector_codec_follows_the_vector_rule() -> None:
    ends = np.array([0, 1, 5, 8])
    codec = codecs.vector_codec(
        lambda s, part: (ends[s], ends[s + 1] - ends[s]),
        lambda cf, part: np.searchsorted(ends, cf, "right") - 1,
        (5,),
        3,
        "numpy",
    )
    symbols = np.array([0, 1, 2, 0, 1])
    check(codec, random_message(2), symbols)
    check(codec, random_message((1, 8)), symbols)
    by_hand = random_message(2)
    for group in (slice(4, 5), slice(2, 4), slice(0, 2)):  # reverse order, the partial group first
        s = symbols[group]
        head = by_hand[0].copy()
        head[: len(s)], tail = ans.push((head[: len(s)], by_hand[1]), ends[s], ends[s + 1] - ends[s], 3)
        by_hand = head, tail
    assert ans.message_equal(codec.push(random_message(2), symbols)[0], by_hand)


def test_as_symbols_is_strict() -> None:
    assert codecs.as_symbols(np.array([[1, 2]], np.uint8), (1, 2)).tolist() == [1, 2]
    for wrong in (np.array([1 << 32]), np.array([1 << 31], np.uint32), np.array([1 << 63], np.uint64)):
        with pytest.raises(ValueError, match="32 bits"):
            codecs.as_symbols(wrong, (1,))
    with pytest.raises(TypeError, match="integers"):
        codecs.as_symbols([1.0], (1,))
    with pytest.raises(ValueError, match="shape"):
        codecs.as_symbols([1, 2], (1, 2))


def test_benford64_is_exact_around_every_power_of_two() -> None:
    powers = np.uint64(1) << np.arange(31, 64, dtype=np.uint64)
    numbers = np.concatenate([powers[:-1], powers[1:] - np.uint64(1), powers[:-1] + np.uint64(1)])
    message = random_message(numbers.shape, 2000)
    check(codecs.benford64, message, numbers)
    for wrong in (ans.LOWER - 1, ans.UPPER, 0):
        with pytest.raises(ValueError, match="Benford64"):
            codecs.benford64.push(message, np.full(numbers.shape, wrong, np.uint64))


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7, 8, 31, 64, 100])
def test_flatten_folds_the_lanes(lanes: int) -> None:
    message = random_message(lanes, 20)
    words = codecs.flatten(message)
    assert ans.message_equal(codecs.unflatten(words, lanes), message)
    assert 32 * len(words) <= codecs.message_bits(message) + 64 + 36.2 * lanes  # 31 + log2(32) and rounding
    few, many = codecs.reshape_head(message, (3,)), codecs.reshape_head(random_message(3, 999), (5, 4))
    assert few[0].shape == (3,)
    assert many[0].shape == (5, 4)
    assert ans.message_equal(codecs.reshape_head(few, lanes), message)
    assert ans.message_equal(codecs.reshape_head(many, 3), random_message(3, 999))


def test_unflatten_of_too_few_words_is_a_format_error() -> None:
    words = codecs.flatten(random_message(8, 4))
    with pytest.raises(MessageUnderflow):
        codecs.unflatten(words[:6], 8)
    with pytest.raises(FormatError):
        codecs.unflatten(words[:1], 8)
    with pytest.raises(ValueError, match="at least one lane"):
        codecs.unflatten(words, 0)


def test_message_bits_counts_information() -> None:
    message = ans.base_message(3)
    assert codecs.message_bits(message) == 0
    for _ in range(10):
        (message,) = codecs.uniform(12).push(message, [1, 2, 3])
    assert codecs.message_bits(message) == pytest.approx(360, abs=0.01)
