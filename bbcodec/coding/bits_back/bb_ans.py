# SPDX-License-Identifier: Apache-2.0
"""BB-ANS (Townsend, Bird and Barber, ICLR 2019): bits-back coding with one latent or one block of latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bbcodec.coding.ans import Message
from bbcodec.coding.codecs import Codec


def BBANS(prior: Codec, likelihood: Callable[[Any], Codec], posterior: Callable[[Any], Codec]) -> Codec:
    """Return a codec of data x with a latent z::

         latent          observed
         ( z )  ------->  ( x )          p(z) p(x | z),  approximate posterior q(z | x)

    Encoding pops z with q(z | x), pushes x with p(x | z), then pushes z with p(z). Decoding does the reverse.
    The cost is ``log2 q(z | x) - log2 p(x | z) - log2 p(z)`` bits, on average the negative ELBO.

    Parameters
    ----------
    prior : Codec of z
    likelihood : callable, z -> Codec of x
    posterior : callable, x -> Codec of z
        z may be a list of latents, for example of a hierarchy, with codecs from ``serial`` or
        ``from_generator``. Then all of them are popped before x is pushed.

    Raises
    ------
    MessageUnderflow
        Also when pushing: the message has fewer bits than z takes (the *initial bits*).

    Examples
    --------
    With any model, decoding returns x and exactly the message before the push:

    >>> from bbcodec.coding import ans
    >>> from bbcodec.coding.distributions import Categorical, Uniform
    >>> codec = BBANS(
    ...     prior=Uniform(2, (1,), "numpy"),
    ...     likelihood=lambda z: Categorical([[7, 1], [1, 7]][int(z[0])], (1,), "numpy"),
    ...     posterior=lambda x: Categorical([[6, 2], [2, 6]][int(x[0])], (1,), "numpy"),
    ... )
    >>> start = ans.push(ans.base_message(1), 12345, 1, 16)
    >>> message, = codec.push(start, [1])
    >>> end, x = codec.pop(message)
    >>> int(x[0]), ans.message_equal(end, start)
    (1, True)
    """

    def push(message: Message, data: Any, *context: Any) -> tuple[Any, ...]:
        message, latent, *rest = posterior(data).pop(message, *context)
        message, *rest = likelihood(latent).push(message, data, *rest)
        return prior.push(message, latent, *rest)

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, latent, *rest = prior.pop(message, *context)
        message, data, *rest = likelihood(latent).pop(message, *rest)
        message, *rest = posterior(data).push(message, latent, *rest)
        return message, data, *rest

    return Codec(push, pop)
