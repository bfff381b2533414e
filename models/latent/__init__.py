# SPDX-License-Identifier: Apache-2.0
"""PyTorch networks of the latent-variable families: ResNet VAE, Markov chain, Flow++; training and export."""
