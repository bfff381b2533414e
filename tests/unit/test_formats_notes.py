# SPDX-License-Identifier: Apache-2.0
"""Notes of the source's format in `.bb` files: kept, checked, stripped, told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bbcodec
from bbcodec.errors import UnsupportedImageError
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import Picture


def test_notes_are_kept_and_checked() -> None:
    notes = (Note("tiff", "270/2", b"words\0", 3), Note("png", "gAMA", bytes(4)), Note("new", "x", b""))
    picture = Picture(np.zeros((2, 3), np.uint8), "L", metadata=Metadata(notes=notes))
    data = bbcodec.compress(picture)
    assert bbcodec.decompress_picture(data).metadata.notes == notes
    assert not bbcodec.decompress_picture(bbcodec.compress(picture, keep_metadata=False)).metadata
    for wrong in (Note("", "x"), Note("png", "é"), Note("png", "x", b"", 256)):
        with pytest.raises(bbcodec.OptionError, match="note"):
            bbcodec.compress(picture, metadata={"notes": [wrong]})
    many = tuple(Note("png", "gAMA") for _ in range(10_001))
    with pytest.raises(UnsupportedImageError, match="at most 10000"):
        bbcodec.compress(Picture(picture.pixels, "L", metadata=Metadata(notes=many)))


def test_stripping_leaves_what_says_what_the_samples_mean() -> None:
    notes = (Note("png", "depth", b"\x02"), Note("png", "gAMA", bytes(4)), Note("tiff", "262/3", b"\0\0"))
    picture = Picture(
        np.zeros((2, 2), np.uint8), "L", metadata=Metadata(icc=b"icc", colour_key=0, notes=notes)
    )
    kept = bbcodec.decompress_picture(bbcodec.compress(picture, keep_metadata=False)).metadata
    assert kept == Metadata(colour_key=0, notes=(notes[0], notes[2]))


def test_what_a_file_says_of_its_notes_is_json() -> None:
    notes = (Note("png", "gAMA", bytes(4)),)
    picture = Picture(np.zeros((2, 2), np.uint8), "L", metadata=Metadata(notes=notes))
    report = bbcodec.info(bbcodec.compress(picture))
    assert json.loads(json.dumps(report.metadata)) == {"notes": [{"format": "png", "key": "gAMA", "size": 4}]}
