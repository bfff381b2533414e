# SPDX-License-Identifier: Apache-2.0
"""Imports of models/: there are no circles, and latent/ and local/ do not import each other."""

from __future__ import annotations

import pytest
import rooms


def test_no_module_imports_itself_through_others() -> None:
    assert [circle for circle in rooms.circles() if circle[0].startswith("bbcodec.models")] == []


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
    """`rooms.circles` follows relative imports, which models/ uses throughout."""
    known = {name for name, _ in rooms.modules()}
    paths = dict(rooms.modules())
    train = "bbcodec.models.latent.train"
    assert {"bbcodec.models.data", "bbcodec.models.latent.checkpoint"} <= {
        *rooms._at_load(train, paths[train], known)
    }
