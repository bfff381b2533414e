# SPDX-License-Identifier: Apache-2.0
"""A few of the damages of tests/fuzz/damages.py on every run."""

from __future__ import annotations

import sys

import pytest
from damages import main


def test_no_damage_gives_a_wrong_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["damages.py", "--count", "70", "--seed", "1"])
    assert main() == 0
