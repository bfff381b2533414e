# SPDX-License-Identifier: Apache-2.0
"""Integer frequency tables and their codecs: logistic, mixture of logistics, uniform, categorical.

Symbols are arrays of any shape, raveled in C order and coded by the vector rule of
:mod:`bbcodec.rans_kernels`. No float decides a probability here.
"""

from __future__ import annotations

from bbcodec.distributions.categorical import Categorical, quantise
from bbcodec.distributions.logistic import Logistic
from bbcodec.distributions.mixture import LogisticMixture
from bbcodec.distributions.uniform import Uniform

__all__ = ["Categorical", "Logistic", "LogisticMixture", "Uniform", "quantise"]
