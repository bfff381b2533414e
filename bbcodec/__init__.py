# SPDX-License-Identifier: Apache-2.0
"""Lossless image compression with binary latent-variable models and bits-back coding.

Examples
--------
>>> import numpy as np
>>> import bbcodec
>>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
>>> data = bbcodec.compress(picture)
>>> np.array_equal(bbcodec.decompress(data), picture)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bbcodec.api import compress, decompress, decompress_image, decompress_picture
    from bbcodec.archive import Archive
    from bbcodec.bbfile.cost_map import bit_map, cost_map
    from bbcodec.bbfile.info import Info, info
    from bbcodec.bbfile.salvage import Loss, Salvaged, salvage
    from bbcodec.container import Limits
    from bbcodec.errors import (
        BBCodecError,
        FormatError,
        LimitError,
        MessageUnderflow,
        ModelError,
        ModelMissingError,
        OptionError,
        UnsupportedImageError,
    )
    from bbcodec.picture.files import read_image, write_image
    from bbcodec.picture.metadata import Metadata
    from bbcodec.picture.picture import Picture

__all__ = [
    "Archive",
    "BBCodecError",
    "FormatError",
    "Info",
    "LimitError",
    "Limits",
    "Loss",
    "MessageUnderflow",
    "Metadata",
    "ModelError",
    "ModelMissingError",
    "OptionError",
    "Picture",
    "Salvaged",
    "UnsupportedImageError",
    "bit_map",
    "compress",
    "cost_map",
    "decompress",
    "decompress_image",
    "decompress_picture",
    "info",
    "read_image",
    "salvage",
    "write_image",
]

# NumPy and Pillow take a fifth of a second to import: names are looked up when they are first used (PEP 562),
# so that the command line can show its help at once.
_HOME = {
    "Archive": "archive",
    "Info": "bbfile.info",
    "Limits": "container",
    "Loss": "bbfile.salvage",
    "Metadata": "picture.metadata",
    "Picture": "picture.picture",
    "Salvaged": "bbfile.salvage",
    "bit_map": "bbfile.cost_map",
    "cost_map": "bbfile.cost_map",
    "compress": "api",
    "decompress": "api",
    "decompress_image": "api",
    "decompress_picture": "api",
    "info": "bbfile.info",
    "read_image": "picture.files",
    "salvage": "bbfile.salvage",
    "write_image": "picture.files",
}


if not TYPE_CHECKING:  # a type checker must see which names exist

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
