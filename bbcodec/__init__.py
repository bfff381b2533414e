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
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bbcodec.api import (
        compress,
        cost_map,
        decompress,
        decompress_image,
        decompress_picture,
        info,
        read,
        read_image,
        salvage,
        write,
    )
    from bbcodec.archive import Archive
    from bbcodec.arrays.info import ArrayInfo
    from bbcodec.arrays.reader import ArrayFile
    from bbcodec.bbfile.info import Info
    from bbcodec.bbfile.salvage import Loss, Salvaged
    from bbcodec.container import Limits
    from bbcodec.errors import (
        BBCodecError,
        FloatModeError,
        FormatError,
        LeftOutWarning,
        LimitError,
        MessageUnderflow,
        ModelError,
        ModelMissingError,
        OptionError,
        UnsupportedImageError,
    )
    from bbcodec.picture.files import write_image
    from bbcodec.picture.metadata import Metadata
    from bbcodec.picture.picture import Picture

    __version__: str

__all__ = [
    "Archive",
    "ArrayFile",
    "ArrayInfo",
    "BBCodecError",
    "FloatModeError",
    "FormatError",
    "Info",
    "LeftOutWarning",
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
    "__version__",
    "compress",
    "cost_map",
    "decompress",
    "decompress_image",
    "decompress_picture",
    "info",
    "read",
    "read_image",
    "salvage",
    "write",
    "write_image",
]

# In a clone this folder hides the installed package. The folder models/ stands beside it there, and the
# compiled module is found where the package is installed. An editable installation has seen to both.
_here = os.path.dirname(__file__)
_clone = os.path.dirname(_here)
if _clone not in __path__ and not os.path.isdir(os.path.join(_here, "models")):
    _installed = (os.path.join(os.path.abspath(place), __name__) for place in sys.path)
    _folders = dict.fromkeys([_clone, *_installed])
    __path__ += [folder for folder in _folders if folder not in __path__ and os.path.isdir(folder)]

# NumPy and Pillow take a fifth of a second to import. Names are looked up at first use (PEP 562), so that the
# command line shows its help at once.
_HOMES = {
    "api": (
        *("compress", "cost_map", "decompress", "decompress_image", "decompress_picture"),
        *("info", "read", "read_image", "salvage", "write"),
    ),
    "archive": ("Archive",),
    "arrays.info": ("ArrayInfo",),
    "arrays.reader": ("ArrayFile",),
    "bbfile.info": ("Info",),
    "bbfile.salvage": ("Loss", "Salvaged"),
    "container": ("Limits",),
    "picture.files": ("write_image",),
    "picture.metadata": ("Metadata",),
    "picture.picture": ("Picture",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_DEPRECATED_NAMES = {"bit_map": "cost_map"}  # names of version 0.1; they go with version 0.3


if not TYPE_CHECKING:  # a type checker must see only the names that exist

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("bbcodec")
        if name in _DEPRECATED_NAMES:
            import warnings

            now = _DEPRECATED_NAMES[name]
            warnings.warn(f"bbcodec.{name} is now bbcodec.{now}", DeprecationWarning, stacklevel=2)
            name = now
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
