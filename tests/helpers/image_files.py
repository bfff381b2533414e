# SPDX-License-Identifier: Apache-2.0
"""What the tests of image files share: the odd files, and ways to read and to write."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bbcodec
from bbcodec.picture import formats
from bbcodec.picture.files import write_image
from bbcodec.picture.picture import Picture

CASES = Path(os.environ.get("BBCODEC_CASES", Path(__file__).parents[3] / "shared" / "cases"))
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the odd files are not at ../shared/cases")


def read(data: bytes) -> formats.Reading:
    return formats.read(io.BytesIO(data))


def written(picture: Picture, format: str = "png") -> bytes:
    out = io.BytesIO()
    write_image(out, picture, format=format)
    return out.getvalue()


def through(picture: Picture) -> Picture:
    """The picture of the `.bb` file of a picture."""
    return bbcodec.decompress_picture(bbcodec.compress(picture, method="classic"))


def saved(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or Image.new("RGB", (8, 8), (9, 80, 200))).save(out, form, **options)
    return out.getvalue()
