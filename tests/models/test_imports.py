# SPDX-License-Identifier: Apache-2.0
"""Imports of models/: there are no circles, and latent/ and local/ do not import each other."""

from __future__ import annotations

import pytest
import rooms


def test_no_module_imports_itself_through_others() -> None:
    """Not even inside of functions or for type checkers."""
    assert rooms.circles("bbcodec.models", at_load=False) == []


@pytest.mark.parametrize(("one", "other"), [("local", "latent"), ("latent", "local")])
def test_latent_and_local_do_not_import_each_other(one: str, other: str) -> None:
    known = {name for name, _ in rooms.modules()}
    found = {
        (name, imported)
        for name, path in rooms.modules()
        if name.startswith(f"bbcodec.models.{one}")
        for imported in rooms.imported(name, path, known)
        if imported.startswith(f"bbcodec.models.{other}")
    }
    assert found == set()


def test_relative_imports_count() -> None:
    """`rooms` follows relative imports, which models/ uses throughout."""
    known = {name for name, _ in rooms.modules()}
    name = "bbcodec.models.latent.train"
    found = set(rooms.imported(name, dict(rooms.modules())[name], known))
    assert {"bbcodec.models.data", "bbcodec.models.signals", "bbcodec.models.latent.checkpoint"} <= found
