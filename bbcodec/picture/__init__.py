# SPDX-License-Identifier: Apache-2.0
"""Pictures: samples, modes, palettes and metadata, and files of other formats."""
