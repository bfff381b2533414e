# SPDX-License-Identifier: Apache-2.0
"""Find which room imports which: `python tests/helpers/rooms.py` prints the arrows, floor by floor.

A room is a package in ``bbcodec/`` or a module beside them. Imports inside functions and for type checkers
count too. docs/architecture.md explains the floors.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# From the top floor to the lowest. A room may import itself and rooms of lower floors.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("integrations", "models"),
    ("archive",),
    ("api",),
    ("arrays",),
    ("bbfile",),
    ("families",),
    ("modelfile", "classic"),
    ("engine", "coding", "picture"),
    ("container", "storage", "jobs", "backends"),
    ("errors", "_native"),
)
FLOOR = {room: len(FLOORS) - floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and path of every module of the package, ``bbcodec.models`` included."""
    for folder, package in (("bbcodec", "bbcodec"), ("models", "bbcodec.models")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *parts]).removesuffix(".__init__"), path


def imported(name: str, path: Path, known: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("bbcodec."))
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(name, path, node)
            if module == "bbcodec" or module.startswith("bbcodec."):
                for alias in node.names:
                    whole = f"{module}.{alias.name}"
                    yield whole if whole in known or module == "bbcodec" else module


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    """Return the module that a ``from`` statement names, without leading dots."""
    if not node.level:
        return node.module or ""
    base = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    above = base[: len(base) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def room(module: str) -> str:
    """Return the room of a module: the first part of its name below the package."""
    return module.split(".")[1] if "." in module else ""


def arrows() -> dict[tuple[str, str], list[str]]:
    """Return the modules behind every arrow from one room to another."""
    known = {name for name, _ in modules()}
    found: dict[tuple[str, str], list[str]] = {}
    for name, path in modules():
        for other in imported(name, path, known):
            pair = (room(name), room(other))
            if pair[0] != pair[1] and pair[1] in FLOOR and pair[0]:
                found.setdefault(pair, []).append(f"{name} -> {other}")
    return found


def circles(below: str = "bbcodec", *, at_load: bool = True) -> list[list[str]]:
    """Return the circles of modules below a package that import each other, shortest first.

    With `at_load`, only imports at the top of a module count, else those inside of functions and for type
    checkers, too.
    """
    found = _at_load if at_load else imported
    known = {name for name, _ in modules()}
    names = {name for name in known if f"{name}.".startswith(f"{below}.")}
    paths = {name: path for name, path in modules() if name in names}
    graph = {name: set(found(name, path, known)) & names - {name} for name, path in paths.items()}
    out = []
    for start in graph:
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop(0)
            for step in graph[path[-1]]:
                if step == start:
                    out.append([*path, start])
                    paths = []
                    break
                if step not in seen:
                    seen.add(step)
                    paths.append([*path, step])
    return sorted(out, key=len)


def _at_load(name: str, path: Path, known: set[str]) -> Iterator[str]:
    """Yield the modules that are imported by ``from`` statements at the top level of a module."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            module = _absolute(name, path, node)
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in known else module


def main() -> None:
    """Print every room with the rooms that it imports, and the arrows that point upward."""
    found = arrows()
    for rooms in FLOORS:
        for this in rooms:
            others = sorted((b for a, b in found if a == this), key=lambda b: -FLOOR[b])
            print(f"{this:<13} -> {', '.join(others) or '(nothing)'}")
    upward = [pair for pair in found if FLOOR[pair[0]] <= FLOOR[pair[1]]]
    for pair in upward:
        print("UPWARD", *pair, *found[pair], sep="\n  ")
    for circle in circles():
        print("CIRCLE", " -> ".join(circle))
    print(f"{len(FLOOR)} rooms, {len(found)} arrows, {len(upward)} upward, {len(circles())} circles")


if __name__ == "__main__":
    main()
