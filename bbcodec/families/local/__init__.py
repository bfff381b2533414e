# SPDX-License-Identifier: Apache-2.0
"""The model family ``local`` codes each pixel given its causal neighbours. docs/local.md specifies it.

====================  =========================================================================
`model`               a checked model file: everything the other modules rely on
`order`               the coding order (wavefronts), and the positions of the neighbours
`tables`              the integer tables of the family
`least_squares`       the two least-squares predictors of a channel
`features`            the slow activity, and the 48 context features
`network`             hidden layers with 1-bit weights, and the mixture of logistics
`learning`            the last layer, which learns while it codes
`reference`           all of this in decoding order, in NumPy; it defines the format
`fitted`              the fit in a file: changes of the model, and the view of the picture
`codec`               the codec of a group of blocks, and the choice of the implementation
`blocks`, `groups`    whole pictures; batches of small pictures
`latents`             latents of blocks, by bits back
====================  =========================================================================
"""

from __future__ import annotations
