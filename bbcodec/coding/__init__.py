# SPDX-License-Identifier: Apache-2.0
"""Entropy coding: the rANS message, codecs and combinators, distributions, bits-back coding, kernels."""
