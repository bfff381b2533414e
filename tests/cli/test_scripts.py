# SPDX-License-Identifier: Apache-2.0
"""Every script in `scripts/` prints exactly what the file beside it says, stdout and stderr together.

Sizes and times are written as N, as they depend on the version of Pillow and on the machine. To accept a new
output: `BBCODEC_ACCEPT=1 python -m pytest tests/cli/test_scripts.py`, and read the difference.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_prints_exactly(script: Path, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-uo", "pipefail", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    printed = re.sub(r"\d+ -> \d+ bytes, [\d.]+ bits/dim", "N -> N bytes, N bits/dim", done.stdout.decode())
    printed = re.sub(r"\b\d+ bytes\b", "N bytes", re.sub(r"\b\d+\.\d\d s\b", "N s", printed))
    expected = script.with_suffix(".out")
    if os.environ.get("BBCODEC_ACCEPT"):
        expected.write_text(printed)
    assert printed == expected.read_text()
    assert done.returncode == 0
