# SPDX-License-Identifier: Apache-2.0
"""Latent-variable models of the paper in PyTorch: ResNet VAE, Markov chain, Flow++; training and export."""
