# SPDX-License-Identifier: Apache-2.0
"""Model families: each turns pixels into payloads with the probabilities of a model, and back."""
