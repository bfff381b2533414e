# SPDX-License-Identifier: Apache-2.0
"""A short fuzz run over every surface, and tests that the harness detects what it looks for."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fuzz_engine
import fuzz_forms
import fuzz_mutations
import fuzz_surfaces
import pytest
from fuzz_engine import Bounds, Loop
from fuzz_surfaces import SURFACES

# Executions of a surface: they take at most half a second.
MANY, FEW = 400, 100
SLOW = {"model": FEW, "delta": FEW, "local": FEW, "photo": FEW, "rvae": FEW, "flowpp": FEW, "cli": 6}


@pytest.mark.parametrize("surface", SURFACES)
def test_seeds_and_what_is_made_of_them(surface: str) -> None:
    loop = Loop([surface], seed=0, bounds=Bounds(seconds=30))  # test machines may be slow
    finds = list(loop.each(SLOW.get(surface, MANY)))
    assert not finds, "\n".join(f"{find.kind}: {find.text}" for find in finds[:3])
    assert loop.executions == loop.counts[surface] == SLOW.get(surface, MANY)


@pytest.mark.parametrize("surface", [name for name in SURFACES if name != "cli"])
def test_seeds_are_sound(surface: str) -> None:
    for data in fuzz_engine.seeds(surface):
        SURFACES[surface].run(data)


def test_what_was_found_once_is_not_found_again() -> None:
    """Run in a new process: growth of memory is visible only in a small process."""
    here = Path(__file__).parent
    paths = sorted((here / "found").iterdir())
    done = subprocess.run(
        [sys.executable, here / "run.py", "--replay", *paths], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\n") == len(paths) > 0


@pytest.mark.parametrize("surface", [name for name, found in SURFACES.items() if found.form])
def test_taken_apart_and_put_together_a_seed_is_as_sound_as_before(surface: str) -> None:
    form = SURFACES[surface].form
    assert form
    for data in fuzz_engine.seeds(surface):
        again = form.join(form.split(data))
        assert len(form.split(again)) == len(form.split(data)) >= 2
        if surface not in ("metadata", "delta"):
            SURFACES[surface].run(again)


def test_the_seed_decides_everything() -> None:
    def inputs(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        pool = fuzz_engine.seeds("container")
        form = fuzz_forms.CONTAINER
        return [fuzz_forms.mutate(rng, form, rng.choice(pool), rng.choice(pool)) for _ in range(50)]

    assert inputs(3) == inputs(3) != inputs(4)
    assert len(set(inputs(3))) > 45


def test_json_stays_json() -> None:
    rng = random.Random(0)
    text = b'{"a":[1,2,{"b":"c"}],"d":null}'
    changed = {fuzz_mutations.change_json(rng, text) for _ in range(50)}
    assert len(changed) > 25
    for found in changed:
        fuzz_engine.json.loads(found)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], None]], None]:
    """Return a function that replaces the surface rans."""

    def plant(run: Callable[[bytes], None]) -> None:
        monkeypatch.setitem(SURFACES, "rans", fuzz_surfaces.Surface(run, None, 1))

    return plant


def _loops(data: bytes) -> None:
    while True:
        pass


def _grows(data: bytes) -> None:
    _grows.kept = b"\1" * (256 << 20)  # type: ignore[attr-defined]


def _fails(data: bytes) -> None:
    raise KeyError("planted")


@pytest.mark.parametrize(
    ("run", "kind"),
    [(_loops, "late"), (_grows, "memory"), (_fails, "crash")],
    ids=["loops", "grows", "fails"],
)
def test_what_is_planted_is_found(
    planted: Callable[[Callable[[bytes], None]], None],
    run: Callable[[bytes], None],
    kind: str,
    tmp_path: Path,
) -> None:
    planted(run)
    find, _ = fuzz_engine.attempt("rans", b"x", Bounds(seconds=0.05 if kind == "late" else 30))
    _grows.__dict__.clear()
    assert find is not None
    assert find.kind == kind
    path = find.write(tmp_path, 5)
    assert path.read_bytes() == b"x"
    assert '"seed": 5' in path.with_suffix(".txt").read_text()


def test_an_error_of_ours_is_none() -> None:
    find, place = fuzz_engine.attempt("container", b"no file", Bounds(seconds=30))
    assert find is None
    assert place != ("fine",)
