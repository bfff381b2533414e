# SPDX-License-Identifier: Apache-2.0
"""Released model files (``*.bbm``), read through ``importlib.resources``; README.md is the model card."""
