# SPDX-License-Identifier: Apache-2.0
"""Word-for-word equality with craystack.

The scenarios below run on any implementation of its protocol. ``golden/craystack_vectors.json`` holds the
words that the real craystack (https://github.com/j-towns/craystack) gave; where craystack is installed they
are computed again, and codecs of both packages are mixed. To write the file anew:
``python tests/unit/test_craystack.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bbcodec.coding import ans, bits_back, codecs, distributions

VECTORS = Path(__file__).parent.parent / "golden" / "craystack_vectors.json"


def ours() -> SimpleNamespace:
    return SimpleNamespace(
        ans=ans,
        uniform=codecs.uniform,
        big_uniform=codecs.big_uniform,
        benford=codecs.benford64,
        serial=codecs.serial,
        repeat=codecs.repeat,
        substack=codecs.substack,
        from_generator=codecs.from_generator,
        fold=codecs.flatten,
        unfold=codecs.unflatten,
        bbans=bits_back.BBANS,
        categorical=lambda freqs, _: distributions.Categorical(freqs),
    )


def theirs() -> SimpleNamespace:
    import craystack
    from craystack import bb_ans, rans

    return SimpleNamespace(
        ans=rans,
        uniform=craystack.Uniform,
        big_uniform=craystack.BigUniform,
        benford=craystack.Benford64,
        serial=craystack.from_iterable,
        repeat=craystack.repeat,
        substack=craystack.substack,
        from_generator=craystack.from_generator,
        fold=craystack.flatten,
        unfold=craystack.unflatten,
        bbans=bb_ans.BBANS,
        categorical=lambda freqs, p: craystack.Categorical(freqs / (1 << p), p),
    )


def random_words(seed: int, n: int) -> Any:
    """Words of a message: high words keep every lane within [2**31, 2**63)."""
    words = np.random.RandomState(seed).randint(0, 1 << 32, n, dtype=np.uint32)
    return np.maximum(words, 1) & np.uint32(0x7FFFFFFF)


def intervals(seed: int, shape: tuple[int, ...], p: int) -> tuple[Any, Any]:
    rng = np.random.RandomState(seed)
    freqs = rng.randint(1, 1 << rng.randint(1, p + 1), shape).astype(np.uint64)
    starts = (rng.randint(0, 1 << p, shape).astype(np.uint64)) % ((1 << p) - freqs + 1)
    return starts, freqs


def push_words(c: SimpleNamespace) -> dict[str, Any]:
    """Raw pushes on heads of several shapes and precisions."""
    out = {}
    for shape, p, n in (((1,), 8, 40), ((7,), 16, 12), ((3, 4), 27, 6)):
        message = c.ans.base_message(shape)
        for i in range(n):
            message = c.ans.push(message, *intervals(i, shape, p), p)
        out[f"{shape}"] = c.ans.flatten(message)
    return out


def pop_words(c: SimpleNamespace) -> dict[str, Any]:
    """Raw pops from random words, and a precision for every lane."""
    out = {}
    for shape, p in (((1,), 12), ((5,), 20), ((2, 3), 24)):
        message = c.ans.unflatten(random_words(p, 60), shape)
        for i in range(6):
            cf, finish = c.ans.pop(message, p)
            out[f"{shape} cf {i}"] = cf.ravel()
            message = finish(cf >> np.uint64(5) << np.uint64(5), 32)
        out[f"{shape}"] = c.ans.flatten(message)
    precisions = np.array([0, 3, 16], np.uint64)
    message = c.ans.push(c.ans.unflatten(random_words(3, 10), (3,)), [0, 7, 9], [1, 1, 5], precisions)
    out["precisions"] = c.ans.flatten(message)
    return out


def fold_words(c: SimpleNamespace) -> dict[str, Any]:
    """Folding the lanes into one, unfolding, and Benford64 and BigUniform by themselves."""
    out = {}
    for lanes in (1, 2, 3, 8, 13, 32):
        out[f"fold {lanes}"] = c.fold(c.ans.unflatten(random_words(lanes, 2 * lanes + 4), (lanes,)))
        out[f"base {lanes}"] = c.fold(c.ans.base_message((lanes,)))
        out[f"unfold {lanes}"] = c.ans.flatten(c.unfold(random_words(lanes + 1, 100), (lanes,)))
    numbers = (np.uint64(1) << np.arange(31, 63, dtype=np.uint64)) + np.arange(32, dtype=np.uint64)
    (message,) = c.benford.push(c.ans.base_message((32,)), numbers)
    out["benford"] = c.ans.flatten(message)
    precision = np.array([0, 7, 16, 33, 58], np.uint64)
    (message,) = c.big_uniform(precision).push(
        c.ans.base_message((5,)), (np.uint64(1) << precision) - np.uint64(1)
    )
    out["big uniform"] = c.ans.flatten(message)
    return out


def codec_words(c: SimpleNamespace) -> dict[str, Any]:
    """Uniform, categorical, serial, repeat, substack, generators, and BB-ANS."""
    freqs = np.array([[1, 2, 5], [3, 4, 1], [2, 2, 4], [6, 1, 1]])
    categorical = c.categorical(freqs, 3)
    first = c.substack(c.uniform(10), lambda head: head[:2])
    last = c.substack(c.repeat(c.uniform(20), 4), lambda head: head[::-1][:3])

    def dependent() -> Any:
        precision = yield c.uniform(4)
        yield c.uniform(precision)

    codec = c.serial([categorical, first, last, c.from_generator(dependent)])
    message = c.ans.unflatten(random_words(9, 200), (4,))
    out = {}
    for i in range(8):
        message, symbols = codec.pop(message)
        out[f"symbols {i}"] = np.concatenate([np.ravel(s) for s in symbols[:2]]).astype(np.uint64)
    out["popped"] = c.ans.flatten(message)
    r = np.random.RandomState(4)
    for _ in range(8):
        low = r.randint(0, 16, 4).astype(np.uint64)
        symbols = [
            r.randint(0, 3, 4).astype(np.uint64),
            r.randint(0, 1 << 10, 2).astype(np.uint64),
            list(r.randint(0, 1 << 20, (4, 3)).astype(np.uint64)),
            [low, (np.uint64(1) << low) - np.uint64(1)],
        ]
        (message,) = codec.push(message, symbols)
    out["pushed"] = c.ans.flatten(message)

    posterior = np.array([[5, 2, 1], [1, 6, 1], [2, 2, 4]])
    likelihood = np.array([[4, 2, 2], [1, 6, 1], [1, 1, 6]])
    vae = c.bbans(
        c.categorical(freqs, 3),
        lambda z: c.categorical(likelihood[z.astype(int)], 3),
        lambda x: c.categorical(posterior[x.astype(int)], 3),
    )
    message = c.ans.unflatten(random_words(5, 60), (4,))
    for _ in range(20):
        (message,) = vae.push(message, r.randint(0, 3, 4).astype(np.uint64))
    out["bb_ans"] = c.ans.flatten(message)
    return out


SCENARIOS = {f.__name__: f for f in (push_words, pop_words, fold_words, codec_words)}


def as_lists(result: dict[str, Any]) -> dict[str, list[int]]:
    return {key: [int(v) for v in values] for key, values in result.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_equals_frozen_craystack_words(name: str) -> None:
    assert as_lists(SCENARIOS[name](ours())) == json.loads(VECTORS.read_text())[name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_equals_installed_craystack(name: str) -> None:
    pytest.importorskip("craystack", reason="needs tests/requirements-craystack.txt")
    assert as_lists(SCENARIOS[name](theirs())) == as_lists(SCENARIOS[name](ours()))


def test_codecs_of_both_packages_mix() -> None:
    pytest.importorskip("craystack", reason="needs tests/requirements-craystack.txt")
    they, we = theirs(), ours()
    start = they.ans.unflatten(random_words(1, 200), (6,))
    logistic = distributions.Logistic(np.arange(0, 2560, 64), 24, 256, "numpy")
    symbols = [np.arange(40), np.arange(4, dtype=np.uint64), np.arange(5, dtype=np.uint64)]
    words = []
    for outer, inner in ((they, we), (we, they)):
        codec = outer.serial(
            [
                logistic,
                outer.substack(inner.uniform(9), lambda head: head[2:]),
                inner.substack(outer.uniform(9), lambda head: head[:5]),
            ]
        )
        (message,) = codec.push(start, symbols)
        words.append(they.ans.flatten(message))
        back, popped = codec.pop(message)
        assert np.array_equal(they.ans.flatten(back), we.ans.flatten(start))
        assert all(np.array_equal(a, b) for a, b in zip(popped, symbols, strict=True))
    assert np.array_equal(*words)


def test_benford64_is_right_where_craystack_takes_a_float_logarithm() -> None:
    numbers = (np.uint64(1) << np.arange(49, 63, dtype=np.uint64)) - np.uint64(1)
    start = ans.base_message(numbers.shape)
    (message,) = codecs.benford64.push(start, numbers)
    back, popped = codecs.benford64.pop(message)
    assert np.array_equal(popped, numbers)
    assert ans.message_equal(back, start)


if __name__ == "__main__":
    found = {name: as_lists(scenario(theirs())) for name, scenario in SCENARIOS.items()}
    VECTORS.write_text(json.dumps(found, separators=(",", ":")) + "\n")
