# SPDX-License-Identifier: Apache-2.0
"""The family ``loglinear``: the mixtures of `local`, corrected by tables that learn while they code.

docs/loglinear.md defines it to the bit. `scalar` has the meaning of the correction in plain numbers,
`reference` runs it beside the base, `jit` compiles the same text, and `native` calls the C++ module.
"""
