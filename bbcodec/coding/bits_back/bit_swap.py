# SPDX-License-Identifier: Apache-2.0
"""Bit-Swap (Kingma, Abbeel and Ho, ICML 2019), and plain BB-ANS on the same Markov chain for comparison.

Both code x = z_0 with a chain of L latents whose generative and inference models are Markov::

    z_L ---> ... ---> z_1 ---> z_0        prior p(z_L),  likelihoods[i](z_{i+1}) = p(z_i | z_{i+1})
    z_L <--- ... <--- z_1 <--- z_0                       posteriors[i](z_i)      = q(z_{i+1} | z_i)

Both cost the same bits. Bit-Swap pushes z_i as soon as z_{i+1} is known, so it needs the initial bits of one
layer or little more. BB-ANS pops all layers first. If the posterior of every layer depends on x, the model is
not such a chain: use :func:`bbcodec.coding.bits_back.BBANS` for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from bbcodec.coding.ans import Message
from bbcodec.coding.bits_back.bb_ans import BBANS
from bbcodec.coding.codecs import Codec, from_generator

CodecOf = Callable[[Any], Codec]


def BitSwap(prior: Codec, likelihoods: Sequence[CodecOf], posteriors: Sequence[CodecOf]) -> Codec:
    """Return a codec of z_0 that interleaves pops and pushes, layer by layer.

    Parameters
    ----------
    prior : Codec of z_L
    likelihoods : L callables, ``likelihoods[i](z_{i+1})`` is a Codec of z_i
    posteriors : L callables, ``posteriors[i](z_i)`` is a Codec of z_{i+1}

    Raises
    ------
    MessageUnderflow
        Also when pushing: the message has too few initial bits.
    ValueError
        The numbers of likelihoods and posteriors differ, or are 0.
    """
    _check(likelihoods, posteriors)

    def push(message: Message, data: Any, *context: Any) -> tuple[Any, ...]:
        z = data
        for likelihood, posterior in zip(likelihoods, posteriors, strict=True):
            message, above, *context_ = posterior(z).pop(message, *context)
            message, *context_ = likelihood(above).push(message, z, *context_)
            z, context = above, tuple(context_)
        return prior.push(message, z, *context)

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, z, *context_ = prior.pop(message, *context)
        for likelihood, posterior in zip(reversed(likelihoods), reversed(posteriors), strict=True):
            message, below, *context_ = likelihood(z).pop(message, *context_)
            message, *context_ = posterior(below).push(message, z, *context_)
            z = below
        return message, z, *context_

    return Codec(push, pop)


def MarkovBBANS(prior: Codec, likelihoods: Sequence[CodecOf], posteriors: Sequence[CodecOf]) -> Codec:
    """Return a BB-ANS codec of z_0 that pops z_1 .. z_L before it pushes.

    Parameters and errors are those of :func:`BitSwap`.
    """
    _check(likelihoods, posteriors)

    def posterior(data: Any) -> Codec:
        def upwards() -> Generator[Codec, Any, None]:
            z = data
            for layer in posteriors:
                z = yield layer(z)

        return from_generator(upwards)

    def downwards() -> Generator[Codec, Any, None]:
        z = yield prior
        for layer in reversed(likelihoods[1:]):
            z = yield layer(z)

    def likelihood(latents: Sequence[Any]) -> Codec:
        return likelihoods[0](latents[0])

    return BBANS(_reversed_list(from_generator(downwards)), likelihood, posterior)


def _reversed_list(codec: Codec) -> Codec:
    """Return the codec of the reversed list of symbols: here, z_1 .. z_L from a codec of z_L .. z_1."""

    def push(message: Message, symbols: Sequence[Any], *context: Any) -> tuple[Any, ...]:
        return codec.push(message, list(reversed(symbols)), *context)

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, symbols, *rest = codec.pop(message, *context)
        return message, symbols[::-1], *rest

    return Codec(push, pop)


def _check(likelihoods: Sequence[CodecOf], posteriors: Sequence[CodecOf]) -> None:
    if not likelihoods or len(likelihoods) != len(posteriors):
        raise ValueError(
            f"as many likelihoods as posteriors are needed, got {len(likelihoods)}, {len(posteriors)}"
        )
