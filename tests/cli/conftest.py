# SPDX-License-Identifier: Apache-2.0
"""A folder to work in, with a `bbcodec` command on the path, and pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Shell = Callable[[str], "subprocess.CompletedProcess[bytes]"]

_COMMANDS = {
    "bbcodec": '#!/bin/sh\nexec "{python}" -m bbcodec "$@"\n',
    # same A B: fails unless two images have the same mode and pixels
    "same": "#!{python}\n"
    "import sys\n"
    "from PIL import Image\n"
    "a, b = (Image.open(name) for name in sys.argv[1:])\n"
    "sys.exit(0 if (a.mode, a.size, a.tobytes()) == (b.mode, b.size, b.tobytes()) else 'images differ')\n",
}


def photograph(height: int, width: int) -> Image.Image:
    """Return a picture with gradients, edges and noise."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([40 + 3 * x, 60 + 2 * y + 50 * (x // 16 % 2), 128 + 90 * np.sin((x + y) / 9)], axis=2)
    return Image.fromarray(np.clip(base + random.normal(0, 4, base.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An otherwise empty folder with photo.png (48 x 32 RGB)."""
    place = tmp_path / "work"
    place.mkdir()
    photograph(32, 48).save(place / "photo.png", dpi=(300, 300))
    return place


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user: `bbcodec` and `same` on the path, a fixed width for help texts."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in _COMMANDS.items():
        (commands / name).write_text(text.format(python=sys.executable))
        (commands / name).chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def shell(folder: Path, environment: dict[str, str]) -> Shell:
    """Run bash commands in `folder`."""

    def run(script: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run
