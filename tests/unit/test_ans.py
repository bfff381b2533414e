# SPDX-License-Identifier: Apache-2.0
"""The rANS stack: invariants, immutability, and errors on malformed input."""

from __future__ import annotations

import numpy as np
import pytest

from bbcodec.coding import ans
from bbcodec.errors import BBCodecError, FormatError, MessageUnderflow


def random_message(shape: tuple[int, ...], tail: int, seed: int = 0) -> ans.Message:
    rng = np.random.default_rng(seed)
    head = rng.integers(ans.LOWER, ans.UPPER, shape, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())


def random_interval(
    rng: np.random.Generator, shape: tuple[int, ...], p: int
) -> tuple[np.ndarray, np.ndarray]:
    ends = np.sort(rng.integers(0, (1 << p) + 1, (2, *shape)), axis=0)
    start = np.minimum(ends[0], (1 << p) - 1)
    return start, np.maximum(ends[1] - start, 1)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 1, 3), ()])
@pytest.mark.parametrize("p", [0, 1, 8, 20, 27, 31])
def test_pop_undoes_push_and_push_undoes_pop(shape: tuple[int, ...], p: int) -> None:
    rng = np.random.default_rng(p)
    message = start_message = random_message(shape, 60, p)
    pushed = []
    for _ in range(20):
        pushed.append(random_interval(rng, shape, p))
        message = ans.push(message, *pushed[-1], p)
        assert message[0].shape == shape
        assert (message[0] >= ans.LOWER).all()
        assert (message[0] < ans.UPPER).all()
    for start, freq in reversed(pushed):
        cf, finish = ans.pop(message, p)
        assert (start <= cf).all()
        assert (cf < start + freq).all()
        message = finish(start, freq)
    assert ans.message_equal(message, start_message)
    for _ in range(4):
        cf, finish = ans.pop(message, p)
        popped = finish(cf, 1)
        assert ans.message_equal(ans.push(popped, cf, 1, p), message)
        message = popped


def test_extreme_lanes_keep_the_invariant() -> None:
    head = np.array([ans.LOWER, ans.UPPER - 1], np.uint64)
    for p in (0, 1, 20, 27, 31):
        for start, freq in ((0, 1), ((1 << p) - 1, 1), (0, 1 << p)):
            message = ans.push((head, ()), start, freq, p)
            assert (message[0] >= ans.LOWER).all()
            assert (message[0] < ans.UPPER).all()
            _, finish = ans.pop(message, p)
            assert ans.message_equal(finish(start, freq), (head, ()))


def test_nothing_passed_in_is_changed() -> None:
    message = random_message((4,), 10)
    copies = message[0].copy(), message[1][0].copy()
    message[0].flags.writeable = False
    message[1][0].flags.writeable = False
    pushed = ans.push(message, 5, 3, 20)
    _, finish = ans.pop(message, 20)
    finish(0, 1)
    ans.unflatten(ans.flatten(pushed), (4,))
    assert np.array_equal(message[0], copies[0])
    assert np.array_equal(message[1][0], copies[1])


def test_emitted_words_are_one_array_in_lane_order() -> None:
    head = np.array([[1 << 62, 1 << 31], [3 << 61, 1 << 62]], np.uint64) + np.uint64(7)
    _, tail = ans.push((head, ()), 0, 1, 20)
    assert len(tail) == 2
    assert tail[0].tolist() == [7, 7, 7]
    assert tail[1] == ()


def test_flatten_is_high_words_low_words_tail() -> None:
    head = np.array([(5 << 32) | 6, (7 << 32) | 8], np.uint64)
    tail = (np.array([1, 2], np.uint32), (np.array([3], np.uint32), ()))
    assert ans.flatten((head, tail)).tolist() == [5, 7, 6, 8, 1, 2, 3]


@pytest.mark.parametrize("shape", [1, 5, (2, 3)])
def test_unflatten_reads_what_flatten_wrote(shape: ans.Shape) -> None:
    for tail in (0, 1, 9):
        message = random_message(np.empty(shape).shape, tail)
        back = ans.unflatten(ans.flatten(message), shape)
        assert ans.message_equal(back, message)
        assert tail or back[1] == ()


def test_unflatten_refuses_malformed_words() -> None:
    words = ans.flatten(random_message((3,), 2))
    with pytest.raises(FormatError, match="at least 8 words, found 5"):
        ans.unflatten(words[:5], 4)
    for high, low in ((0, 0x7FFFFFFF), (0x80000000, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0)):
        bad = words.copy()
        bad[1], bad[4] = high, low
        with pytest.raises(FormatError, match="lane 1"):
            ans.unflatten(bad, 3)
    for wrong in (words.astype(np.uint64), words.reshape(2, 4)):
        with pytest.raises(ValueError, match="uint32"):
            ans.unflatten(wrong, 1)
    with pytest.raises(ValueError, match="at least one lane"):
        ans.unflatten(words, 0)


def test_an_empty_tail_underflows_and_never_invents_words() -> None:
    cf, finish = ans.pop(ans.base_message(3), 8)
    with pytest.raises(MessageUnderflow, match="3 words"):
        finish(cf, 1)
    cf, finish = ans.pop((np.full(3, ans.LOWER, np.uint64), (np.zeros(2, np.uint32), ())), 8)
    with pytest.raises(MessageUnderflow, match="holds 2"):
        finish(cf, 1)
    assert issubclass(MessageUnderflow, FormatError)
    assert issubclass(FormatError, BBCodecError)


def test_wrong_arguments_are_value_errors() -> None:
    message = ans.base_message(3)
    with pytest.raises(ValueError, match="zero"):
        ans.push(message, 0, [1, 0, 1], 8)
    with pytest.raises(ValueError, match="do not fit"):
        ans.push(message, np.zeros((2, 3)), 1, 8)
    with pytest.raises(ValueError, match="do not fit"):
        ans.pop(message, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="do not fit"):
        ans.pop(message, 0)[1](np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="at least one lane"):
        ans.base_message(0)


def test_tail_gather_and_pop() -> None:
    parts = [np.arange(a, b, dtype=np.uint32) for a, b in ((0, 2), (2, 2), (2, 5), (5, 105))]
    tail: ans.Tail = ()
    for part in reversed(parts):
        tail = (part, tail)
    for n in (0, 1, 2, 3, 5, 6, 105, 200):
        gathered = ans.tail_gather(tail, n)
        assert gathered
        assert len(gathered[0]) >= min(n, 105)
        assert np.array_equal(ans.flatten((ans.base_message(1)[0], gathered))[2:], np.arange(105))
        if n <= 105:
            words, rest = ans.tail_pop(tail, n)
            assert words.tolist() == list(range(n))
            assert ans.flatten((ans.base_message(1)[0], rest))[2:].tolist() == list(range(n, 105))
    assert ans.tail_pop(tail, 105)[1] == ()
