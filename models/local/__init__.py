# SPDX-License-Identifier: Apache-2.0
"""The family ``local`` in PyTorch: its head, latents of pictures, training, export, and fits to pictures."""
