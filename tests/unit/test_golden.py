# SPDX-License-Identifier: Apache-2.0
"""Files written once are decoded for ever, by every backend, to the same pixels."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import bbcodec
from bbcodec.engine import select

GOLDEN = Path(__file__).parents[1] / "golden"
_spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
assert _spec is not None
assert _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())


def test_the_manifest_names_every_file() -> None:
    assert sorted(MANIFEST) == sorted(path.name for path in GOLDEN.glob("*.bb*")) == sorted(make.everything())
    assert len(MANIFEST) >= 42


# No backend takes part in the classic methods.
CASES = [(n, b) for n in sorted(MANIFEST) for b in select.available() if b == "native" or "classic" not in n]


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_golden_file_gives_its_pixels(name: str, backend: str) -> None:
    assert make.decoded((GOLDEN / name).read_bytes(), backend) == MANIFEST[name]


@pytest.mark.parametrize("name", make.REPEATED)
def test_encoders_still_write_the_golden_bytes(name: str) -> None:
    assert make.everything()[name]() == (GOLDEN / name).read_bytes()


def test_golden_metadata() -> None:
    image = bbcodec.decompress_image((GOLDEN / "classic_rgb.bb").read_bytes())
    assert image.info["icc_profile"] == bytes(range(200))
    assert image.info["dpi"] == (72.0, 96.0)
