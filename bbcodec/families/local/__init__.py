# SPDX-License-Identifier: Apache-2.0
"""The model family ``local``: a pixel given its decoded neighbours. The specification is docs/local.md.

====================  =========================================================================
`model`               a model file, checked: everything the other modules rely on
`order`               which pixels are coded at which time, and where their neighbours lie
`tables`              the integer tables of the family
`least_squares`       the two predictors of a channel
`features`            slow activity, and the 48 inputs of the network
`network`             the 1-bit network, and the mixture from its outputs
`learning`            the last layer, which goes on learning
`reference`           all of it in decoding order, in NumPy: the meaning of the format
`fitted`              what a file changes in its model, and how its picture is turned
`codec`               the codec of a group of blocks, and the choice between implementations
====================  =========================================================================
"""

from __future__ import annotations
