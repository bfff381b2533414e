# SPDX-License-Identifier: Apache-2.0
"""The environment of a user: a `bbcodec` command on the path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The variables of a shell in which `bbcodec` and `python` are those of this environment."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("bbcodec", "-m bbcodec"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    return os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
