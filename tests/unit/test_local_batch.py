# SPDX-License-Identifier: Apache-2.0
"""Groups of a batch of the family `local`, which decode in step."""

from __future__ import annotations

import numpy as np
import pytest
from small_pictures import pictures, same

from bbcodec import modelfile
from bbcodec.families import batch
from bbcodec.families.local import groups


@pytest.mark.parametrize("name", ["photo", "thumb"])
def test_several_groups(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = modelfile.load_named(name)
    monkeypatch.setattr(groups, "GROUP_LANES", 9)
    images = pictures(7, 6, 12)
    assert len(groups.groups([(6, 12)] * 7)) == 4
    assert same(batch.decode(batch.encode(images, model), model), images)


def test_groups_cover_everything_and_never_exceed_the_lanes() -> None:
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w)) for h, w in rng.integers(1, 1025, (300, 2))]
    parts = groups.groups(shapes)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(300))
    for part in parts:
        lanes = sum(min(h, -(-w // 3)) for h, w in shapes[part])
        assert lanes <= groups.GROUP_LANES or part.stop - part.start == 1
