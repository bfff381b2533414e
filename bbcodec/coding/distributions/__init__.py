# SPDX-License-Identifier: Apache-2.0
"""Codecs of distributions with integer frequencies: logistic, mixture of logistics, uniform, categorical.

Symbols are arrays of any shape, raveled in C order and coded by the vector rule of
:mod:`bbcodec.coding.kernels`. No probability depends on a float.
"""

from __future__ import annotations

from bbcodec.coding.distributions.categorical import Categorical, quantise
from bbcodec.coding.distributions.logistic import Logistic
from bbcodec.coding.distributions.mixture import LogisticMixture
from bbcodec.coding.distributions.uniform import Uniform

__all__ = ["Categorical", "Logistic", "LogisticMixture", "Uniform", "quantise"]
