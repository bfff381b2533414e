# SPDX-License-Identifier: Apache-2.0
"""Integer frequency tables and their codecs: logistic, mixture of logistics, uniform, categorical.

Symbols are arrays of any shape, raveled in C order and coded by the vector rule of
:mod:`bbcodec.coding.kernels`. No float decides a probability here.
"""

from __future__ import annotations

from bbcodec.coding.distributions.categorical import Categorical, quantise
from bbcodec.coding.distributions.logistic import Logistic
from bbcodec.coding.distributions.mixture import LogisticMixture
from bbcodec.coding.distributions.uniform import Uniform

__all__ = ["Categorical", "Logistic", "LogisticMixture", "Uniform", "quantise"]
