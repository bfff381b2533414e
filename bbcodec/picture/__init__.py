# SPDX-License-Identifier: Apache-2.0
"""Pictures (samples, modes, palettes, metadata), and readers and writers of image files."""
