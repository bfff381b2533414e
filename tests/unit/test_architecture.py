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


# Standard streams are prepared before anything is imported.
OPEN_FILES = ("bbcodec.storage.", "bbcodec.__main__")
_WRITERS = {
    "os": {"open", "rename", "replace", "link", "symlink", "unlink", "remove", "truncate", "mkfifo"},
    "shutil": {"copy", "copy2", "copyfile", "copyfileobj", "move", "rmtree"},
    "tempfile": {"NamedTemporaryFile", "TemporaryFile", "mkstemp", "mkdtemp", "TemporaryDirectory"},
    "np": {"save", "savez", "savez_compressed", "savetxt"},
    "io": {"FileIO"},
}


def files_written(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield calls that open a file for writing, or that rename or delete one, by its name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        where, name = getattr(node.func, "value", None), getattr(node.func, "attr", None)
        if name is None:
            name = getattr(node.func, "id", None)
        if name == "open" and getattr(where, "id", None) != "os":
            words = [*node.args[:2], *(word.value for word in node.keywords if word.arg == "mode")]
            texts = [word.value for word in words if isinstance(word, ast.Constant)]
            if any(
                isinstance(text, str) and re.fullmatch("[rwxabt+]*[wxa+][rwxabt+]*", text) for text in texts
            ):
                yield node
        elif where is not None and name in ("write_bytes", "write_text", "touch", "tofile"):
            yield node
        elif name in _WRITERS.get(getattr(where, "id", ""), ()):
            # A library may write into a file that is open already.
            opened = node.args and isinstance(node.args[0], ast.Name)
            if not (getattr(where, "id", "") == "np" and opened):
                yield node


@pytest.mark.parametrize(
    "code",
    [
        "open(name, 'wb')",
        "open(name, mode='a')",
        "path.open('r+b')",
        "os.open(name, flags)",
        "os.replace(a, b)",
        "path.write_bytes(data)",
        "np.savez(folder / name)",
        "shutil.move(a, b)",
    ],
)
def test_files_that_are_written_are_found(code: str) -> None:
    assert list(files_written(ast.parse(code)))


@pytest.mark.parametrize("code", ["open(name, 'rb')", "storage.open(name)", "np.savez(file)", "a.replace(b)"])
def test_other_calls_are_not_taken_for_them(code: str) -> None:
    assert not list(files_written(ast.parse(code)))


def test_only_storage_writes_files() -> None:
    """One room has the rules for what exists, links, devices, permissions and interruptions."""
    found = [
        f"{name}, line {node.lineno}"
        for name, path in rooms.modules()
        if not name.startswith(OPEN_FILES)
        for node in files_written(ast.parse(path.read_text()))
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
