# SPDX-License-Identifier: Apache-2.0
"""The family of models for samples of up to 16 bits, in one plane or many: docs/deep.md."""
