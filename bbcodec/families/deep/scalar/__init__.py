# SPDX-License-Identifier: Apache-2.0
"""The coding of a chain of planes, sample by sample: the meaning of docs/deep.md, in plain numbers.

One text, two speeds: Python runs it as it stands, and `bbcodec.families.deep.jit` loads the same text under
another name, where `function` compiles it with numba. So the modules of this package import each other by
relative names, and everything in them is numbers, arrays and tuples of them. Integers fit 64 bits; floats are
`np.float32` and `np.float64` scalars, rounded after every operation.
"""
