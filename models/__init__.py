# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of bbcodec: networks, data, training and export (installed as ``bbcodec.models``).

Everything here needs the extra ``train`` (torch) except the folder ``released``. It holds the exported
``.bbm`` files that compress and decompress read. ``bbcodec`` imports this code inside of functions only.
"""
