# SPDX-License-Identifier: Apache-2.0
"""BB-ANS and Bit-Swap: exact inverses, equal costs, and the initial bits that tell them apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bbcodec.coding import ans, codecs
from bbcodec.coding.bits_back import BBANS, BitSwap, MarkovBBANS, initial_bits
from bbcodec.coding.codecs import Codec
from bbcodec.coding.distributions import Categorical, Logistic
from bbcodec.errors import MessageUnderflow

DIMS = 50


def random_message(lanes: int, tail: int, seed: int = 0) -> ans.Message:
    rng = np.random.default_rng(seed)
    head = rng.integers(ans.LOWER, ans.UPPER, lanes, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=tail, dtype=np.uint32), ())


def chain(layers: int) -> tuple[Codec, list[Callable[[Any], Codec]], list[Callable[[Any], Codec]]]:
    """A toy Markov chain of logistics: prior, likelihoods, posteriors."""
    prior = Logistic(np.full(DIMS, 64 * 100), 48, 256, "numpy")
    likelihoods = [lambda z, i=i: Logistic(64 * z[::-1] + i, 30 + i, 256, "numpy") for i in range(layers)]
    posteriors = [lambda z, i=i: Logistic(64 * z[::-1] - i, 28 + i, 256, "numpy") for i in range(layers)]
    return prior, likelihoods, posteriors


def data(seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(100, 40, DIMS), 0, 255).astype(np.int32)


@pytest.mark.parametrize("scheme", [BitSwap, MarkovBBANS])
@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("lanes", [1, 8])
def test_schemes_return_data_and_message(scheme: Any, layers: int, lanes: int) -> None:
    codec = scheme(*chain(layers))
    start = message = random_message(lanes, 300)
    for i in range(4):
        (message,) = codec.push(message, data(i))
    for i in reversed(range(4)):
        message, x = codec.pop(message)
        assert np.array_equal(x, data(i))
    assert ans.message_equal(message, start)
    popped, sampled = codec.pop(start)
    assert ans.message_equal(codec.push(popped, sampled)[0], start)


def test_one_layer_is_the_same_in_every_scheme() -> None:
    prior, likelihoods, posteriors = chain(1)
    start = random_message(4, 200)
    (plain,) = BBANS(prior, likelihoods[0], posteriors[0]).push(start, data())
    for scheme in (BitSwap, MarkovBBANS):
        assert ans.message_equal(scheme(prior, likelihoods, posteriors).push(start, data())[0], plain)


def test_cost_is_the_negative_elbo_of_the_latents_that_were_popped() -> None:
    from bbcodec.coding.distributions.logistic import bits

    start = random_message(1, 400)
    prior, (likelihood,), (posterior,) = chain(1)
    _, z = posterior(data()).pop(start)
    flipped = 64 * z[::-1]
    wanted = (
        bits(data(), flipped, 30, 256).sum()
        + bits(z, np.full(DIMS, 6400), 48, 256).sum()
        - bits(z, 64 * data()[::-1], 28, 256).sum()
    )
    (end,) = BBANS(prior, likelihood, posterior).push(start, data())
    assert codecs.message_bits(end) - codecs.message_bits(start) == pytest.approx(wanted, abs=0.1)


def test_bit_swap_needs_the_initial_bits_of_one_layer_and_bb_ans_of_all() -> None:
    swap, naive = (
        [initial_bits(scheme(*chain(n)), data()) for n in (1, 2, 4, 8)] for scheme in (BitSwap, MarkovBBANS)
    )
    assert swap[0] == naive[0] > 0
    assert max(swap) <= swap[0] + 64
    assert naive[3] > 6 * naive[0]
    assert all(b > a for a, b in itertools.pairwise(naive))


def test_initial_bits_are_exactly_what_a_message_must_hold() -> None:
    codec = MarkovBBANS(*chain(3))
    needed = initial_bits(codec, data(), seed=7)
    words = np.random.default_rng(7).integers(1 << 32, size=1 << 10, dtype=np.uint32)
    head, _ = ans.base_message(1)
    codec.push((head, (words[: needed // 32], ())), data())
    with pytest.raises(MessageUnderflow):
        codec.push((head, (words[: needed // 32 - 1], ())), data())


def test_initial_bits_of_plain_codecs_and_of_greedy_ones() -> None:
    assert initial_bits(codecs.uniform(8), 3) == 0
    assert initial_bits(codecs.uniform(8), [3] * 10, lanes=10) == 0
    q = codecs.repeat(codecs.uniform(16), 3000)
    greedy = BBANS(q, lambda z: codecs.uniform(16), lambda x: q)
    assert initial_bits(greedy, np.array([5])) == 16 * 3000
    with pytest.raises(MessageUnderflow):
        initial_bits(greedy, np.array([5]), limit_words=1499)


def test_a_list_of_latents_is_popped_before_the_data_is_pushed() -> None:
    """A posterior that is no Markov chain: the second latent depends on x and on the first."""

    def posterior(x: Any) -> Codec:
        def generator() -> Any:
            first = yield Logistic(64 * x, 30, 256, "numpy")
            yield Logistic(32 * (x + first), 24, 256, "numpy")

        return codecs.from_generator(generator)

    def likelihood(latents: Any) -> Codec:
        return Logistic(20 * latents[0] + 44 * latents[1], 32, 256, "numpy")

    prior = codecs.repeat(Logistic(np.full(DIMS, 6400), 48, 256, "numpy"), 2)
    codec = BBANS(prior, likelihood, posterior)
    start = random_message(3, 300)
    (message,) = codec.push(start, data())
    back, x = codec.pop(message)
    assert np.array_equal(x, data())
    assert ans.message_equal(back, start)


def test_bb_ans_beats_the_marginal_of_its_prior_on_the_same_bits() -> None:
    """With the exact posterior of a discrete model, bits back codes at the entropy of the data."""
    table = np.array([[7, 1], [1, 7]])  # p(z) = 1/2: p(x) = 1/2, posterior = likelihood
    codec = BBANS(
        Categorical([1, 1], (1,), "numpy"),
        lambda z: Categorical(table[z], (1,), "numpy"),
        lambda x: Categorical(table[x], (1,), "numpy"),
    )
    start = message = random_message(1, 100)
    for i in range(1000):
        (message,) = codec.push(message, [i % 2])
    assert codecs.message_bits(message) - codecs.message_bits(start) == pytest.approx(1000, abs=1)


def test_context_is_handed_through() -> None:
    def counting(codec: Codec) -> Codec:
        return Codec(
            lambda m, x, n: (*codec.push(m, x), n - 1),
            lambda m, n: (*codec.pop(m), n + 1),
        )

    prior, likelihoods, posteriors = chain(3)
    lift = [[lambda z, f=f: counting(f(z)) for f in layer] for layer in (likelihoods, posteriors)]
    for scheme in (BitSwap, MarkovBBANS):
        codec = scheme(counting(prior), *lift)
        start = random_message(2, 300)
        message, n = codec.push(start, data(), 50)
        back, x, m = codec.pop(message, n)
        assert (n, m) == (49, 50)
        assert np.array_equal(x, data())
        assert ans.message_equal(back, start)


def test_chains_that_do_not_fit_are_refused() -> None:
    prior, likelihoods, posteriors = chain(2)
    for scheme in (BitSwap, MarkovBBANS):
        with pytest.raises(ValueError, match="as many"):
            scheme(prior, likelihoods, posteriors[:1])
        with pytest.raises(ValueError, match="as many"):
            scheme(prior, [], [])
