# SPDX-License-Identifier: Apache-2.0
"""Real pictures, whole: Kodak and graphics come back, and the learned path beats optimised PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bbcodec

DATA = Path(__file__).parents[3] / "shared" / "data"
KODAK = sorted((DATA / "kodak").glob("*.png"))
GRAPHICS = sorted((DATA / "graphics").glob("*.png"))
needs_data = pytest.mark.skipif(not KODAK, reason="the test pictures are not at ../shared/data")


def png_size(image: Image.Image) -> int:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.tell()


@needs_data
@pytest.mark.parametrize("model", ["rvae", "markov"])
def test_kodak_learned(model: str) -> None:
    """All 24 come back, and together they beat optimised PNG."""
    coded = plain = 0
    for path in KODAK:
        image = Image.open(path)
        data = bbcodec.compress(image, method="learned", model=model, verify=False)
        assert np.array_equal(bbcodec.decompress(data), np.asarray(image)), path.name
        coded, plain = coded + len(data), plain + png_size(image)
    assert coded < plain


@needs_data
@pytest.mark.parametrize("path", KODAK[::6] + GRAPHICS, ids=lambda p: p.stem)
def test_auto_comes_back_with_mode_and_metadata(path: Path) -> None:
    image = Image.open(path)
    back = bbcodec.decompress_image(bbcodec.compress(image, verify=False))
    assert back.mode == image.mode
    assert back.tobytes() == image.tobytes()
    assert back.getpalette() == image.getpalette()
    for key in ("icc_profile", "exif", "dpi", "transparency"):
        assert back.info.get(key) == image.info.get(key), key
