# SPDX-License-Identifier: Apache-2.0
"""What an installation consists of, and that a clone does not hide it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import bbcodec
from bbcodec.modelfile import released

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_requirements_have_no_url(project: dict[str, Any]) -> None:
    """Package indexes refuse them."""
    asked = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    assert len(asked) > 10
    assert not [requirement for requirement in asked if "@" in requirement or "://" in requirement]


def test_what_is_imported_is_declared(project: dict[str, Any]) -> None:
    declared = {re.split(r"[\[<>=~! ]", line)[0] for line in project["project"]["dependencies"]}
    assert declared == {"numpy", "pillow", "rich", "typer"}


def test_groups_are_for_developers_and_extras_for_users(project: dict[str, Any]) -> None:
    assert {"lint", "test"} <= project["dependency-groups"].keys()
    assert not project["dependency-groups"].keys() & project["project"]["optional-dependencies"].keys()


def test_torch_is_pinned_for_developers_alone(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins["torch"])
    (train,) = project["project"]["optional-dependencies"]["train"]
    assert re.fullmatch(r"torch>=\d+\.\d+", train)
    assert "--constraint constraints.txt" in (ROOT / "Makefile").read_text()


def test_one_place_tells_the_version(project: dict[str, Any]) -> None:
    version = project["project"]["version"]
    assert bbcodec.__version__ == version
    cited = re.findall(r"^version: *\"?([^\"\n]+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited in ([], [version])
    assert re.search(
        r"^project\(bbcodec LANGUAGES CXX\)$", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE
    )


CHILD = """
import sys
from pathlib import Path
import numpy as np
import bbcodec
from bbcodec import _native, backends
from bbcodec.modelfile import released
pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
data = bbcodec.compress(pixels, method="learned", model="fast")
assert np.array_equal(bbcodec.decompress(data), pixels)
assert backends.backend_name() == "native"
print(Path(bbcodec.__file__).parent)
print(Path(_native.__file__).parent)
print(released()["fast"].parent)
"""


def run_at(folder: Path, places: list[str], code: str = CHILD) -> list[str]:
    """Return the lines that Python prints when it starts in a folder.

    No .pth file is read (-S), so that an editable installation is not seen.
    """
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join([*places, *others])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which the package is installed as from a wheel."""
    native = pytest.importorskip("bbcodec._native", exc_type=ImportError)
    package = tmp_path / "site" / "bbcodec"
    package.mkdir(parents=True)
    for path in (*(ROOT / "bbcodec").iterdir(), ROOT / "models", Path(native.__file__)):
        if path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    return tmp_path / "site"


def test_an_installed_package_works_elsewhere(site: Path, tmp_path: Path) -> None:
    package = str(site / "bbcodec")
    assert run_at(tmp_path, [str(site)]) == [package, package, f"{package}/models/released"]


def test_an_installed_package_works_in_a_clone(site: Path) -> None:
    """Python files and models are those of the clone, the compiled module is the installed one."""
    expected = [str(ROOT / "bbcodec"), str(site / "bbcodec"), str(ROOT / "models" / "released")]
    assert run_at(ROOT, [str(site)]) == expected


def test_models_are_found_without_an_installation() -> None:
    code = "from bbcodec.modelfile import released; print(*released())"
    assert run_at(ROOT, [], code) == [" ".join(released())]
