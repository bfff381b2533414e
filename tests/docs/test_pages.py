# SPDX-License-Identifier: Apache-2.0
"""Every example of the documentation runs: `sh` and `python` blocks of docs/*.md, page by page, in order."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXTRAS = {"plugins": ["zarr", "numcodecs", "imageio", "torch"], "pipelines": ["fsspec", "distributed"],
           "training": ["torch"]}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """An example: its language, its text, and its line."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = [Block(m[1], m[2], text[: m.start()].count("\n") + 2) for m in _BLOCK.finditer(text)]
    assert text.count("\n```") + text.startswith("```") == 2 * len(found), (
        f"{page.name}: a fence is not closed"
    )
    return [block for block in found if block.language in ("sh", "python")]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if blocks(page)]


def picture(height: int, width: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 120 + 60 * np.sin(x / (5 + seed % 3) + seed) * np.cos(y / 7)
    pixels = light[..., None] + rng.normal(0, 3, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages say stands there."""
    place = tmp_path / "work"
    (place / "photos" / "more").mkdir(parents=True)
    picture(64, 96, 0).save(place / "photo.png")
    for i in range(13):
        picture(32, 32, i).save(place / "photos" / ("more" if i == 12 else "") / f"p{i:02}.png")
    return place


def test_there_are_pages() -> None:
    assert {"archives", "command-line", "api", "README"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, folder: Path, environment: dict[str, str]) -> None:
    for name in _EXTRAS.get(page.stem, []):
        pytest.importorskip(name, reason=f"docs/{page.name} needs {name}")
    for block in blocks(page):
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[block.language]
        done = subprocess.run(
            [*command, block.text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        where = f"docs/{page.name}, line {block.line}"
        assert done.returncode == 0, f"{where}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{where}: {done.stderr}"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"docs/{page.name}: {target}"
