# SPDX-License-Identifier: Apache-2.0
"""Every example in a docstring of the package is a test."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import bbcodec

# Not bbcodec.__path__: an editable install adds the folder above, which holds the package once more.
FOLDER = str(Path(bbcodec.__file__).parent)
# Importing these has side effects or needs an extra; they hold no examples.
SKIPPED = ("bbcodec.__main__", "bbcodec._native", "bbcodec.models")
EXTRAS = ("numcodecs", "torch", "zarr")
MODULES = ["bbcodec"] + [
    found.name for found in pkgutil.walk_packages([FOLDER], "bbcodec.") if not found.name.startswith(SKIPPED)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if ".jit" in name:
        pytest.importorskip("numba")
    if name.startswith("bbcodec.integrations.") and (extra := name.rpartition(".")[2]) in EXTRAS:
        pytest.importorskip(extra)
    if name.endswith(".native"):
        pytest.importorskip("bbcodec._native")
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0
