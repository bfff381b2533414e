# SPDX-License-Identifier: Apache-2.0
"""Models of the family `loglinear`: contexts, and model files made from those of `local`."""
