# SPDX-License-Identifier: Apache-2.0
"""The rooms of the package keep their order: what docs/architecture.md says holds for the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import rooms

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
MAX_ROOT_MODULES = 8  # files beside the folders of the rooms
# Only these may look at the name of a family: to register it, and to store it.
KNOW_FAMILIES = ("bbcodec.families", "bbcodec.modelfile", "bbcodec.models")


def test_no_arrow_goes_upward() -> None:
    upward = {
        pair: modules
        for pair, modules in rooms.arrows().items()
        if rooms.FLOOR[pair[0]] <= rooms.FLOOR[pair[1]]
    }
    assert not upward


def test_no_modules_import_each_other() -> None:
    assert rooms.circles() == []


def test_every_room_has_its_floor() -> None:
    found = {rooms.room(name) for name, _ in rooms.modules()} - {""}
    assert found - rooms.FLOOR.keys() == set()
    assert rooms.FLOOR.keys() - found == {"_native"}  # which is compiled


def test_few_modules_stand_beside_the_rooms() -> None:
    found = sorted(path.name for path in (ROOT / "bbcodec").glob("*.py"))
    assert len(found) <= MAX_ROOT_MODULES, found


def comparisons_of_families(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield comparisons of an attribute ``family`` with text, and what is matched against it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = [part for side in sides for part in getattr(side, "elts", [side])]
            if any(isinstance(side, ast.Attribute) and side.attr == "family" for side in sides) and any(
                isinstance(text, ast.Constant) and isinstance(text.value, str) for text in texts
            ):
                yield node
        elif isinstance(node, ast.Match) and getattr(node.subject, "attr", None) == "family":
            yield node.subject


@pytest.mark.parametrize(
    "code", ["m.family == 'local'", "'local' != m.family", "m.family in ('rvae', 'markov')"]
)
def test_comparisons_are_found(code: str) -> None:
    assert list(comparisons_of_families(ast.parse(code)))


def test_only_families_know_families() -> None:
    found = [
        f"{name}, line {node.lineno}"
        for name, path in rooms.modules()
        if not name.startswith(KNOW_FAMILIES)
        for node in comparisons_of_families(ast.parse(path.read_text()))
    ]
    assert not found


def test_the_page_names_every_room() -> None:
    named = set(re.findall(r"`([\w/.]+)`", PAGE.read_text()))
    assert set(rooms.FLOOR) - named == set()


def test_the_page_names_files_that_are_there() -> None:
    """All paths but those of the tree before the rooms, of files to come (NAME), and of native/."""
    text = re.sub(r"- Before.*?(?=- After)", "", PAGE.read_text(), flags=re.DOTALL)
    paths = {path for path in re.findall(r"`([\w/.-]+(?:/|\.py|\.md|\.txt))`", text) if path.count("/")}
    known = {path for path in paths if not re.search(r"NAME|FAMILY|^native/", path)}
    assert len(known) > 30
    missing = [path for path in known if not any((top / path).exists() for top in (ROOT, ROOT / "bbcodec"))]
    assert sorted(missing) == []


def test_the_page_is_wrapped() -> None:
    assert max(map(len, PAGE.read_text().splitlines())) <= 100
