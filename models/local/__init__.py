# SPDX-License-Identifier: Apache-2.0
"""The family ``local`` in PyTorch: its head, picture latents, training, export, fits and custom models."""
