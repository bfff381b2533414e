# SPDX-License-Identifier: Apache-2.0
"""Fits in files: exact round trips of what changes a model, and refusal of what is unsound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec import container, modelfile
from bbcodec.container import Section
from bbcodec.errors import FormatError, ModelError
from bbcodec.families import learned
from bbcodec.families.local import fitted
from bbcodec.families.local.fitted import SHARED, SIGNS, TENSORS, Delta, Fitted
from bbcodec.families.local.model import LocalModel
from bbcodec.picture import turn


@pytest.fixture(scope="module")
def model() -> modelfile.Model:
    return modelfile.load_named("photo")


def picture(height: int, width: int, channels: int = 3) -> np.ndarray[Any, Any]:
    """A ramp with noise, unlike itself however it is turned."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(3)
    ramp = (3 * y + x)[..., None] + np.arange(channels) * 7 + rng.normal(0, 2, (height, width, channels))
    return np.clip(ramp, 0, 255).astype(np.uint8)


def delta(shift: int, changes: dict[int, int]) -> Delta:
    return Delta(shift, np.array(list(changes), np.int64), np.array(list(changes.values()), np.int64))


def full(model: modelfile.Model) -> Fitted:
    """A fit that changes everything that can be changed."""
    size = model.tensors[SIGNS].size * 64
    deltas = {name: delta(2, {0: 1, 7: -3, 8: 1}) for name in TENSORS[1:]}
    config = {"rate_q": 300, "along": [2, 1], "down": [3, 1], "ridge": 70000}
    return Fitted(13, config, {SIGNS: delta(0, {0: 1, 70: 1, size - 1: 1}), **deltas})


def same(a: Fitted, b: Fitted) -> bool:
    return (
        (a.view, a.config, list(a.deltas)) == (b.view, b.config, list(b.deltas))
        and all(a.deltas[name].shift == b.deltas[name].shift for name in a.deltas)
        and all(np.array_equal(a.deltas[n][i], b.deltas[n][i]) for n in a.deltas for i in (1, 2))
    )


@pytest.mark.parametrize("seed", range(4))
def test_pack_and_unpack(seed: int) -> None:
    rng = np.random.default_rng(seed)
    deltas = {}
    for number, name in enumerate(TENSORS):
        positions = np.sort(rng.choice(1 << 14, rng.integers(1, 300), replace=False))
        values = np.where(rng.random(len(positions)) < 0.5, -1, 1) * rng.geometric(
            0.1 + 0.2 * seed, len(positions)
        )
        if rng.random() < 0.8:
            deltas[name] = Delta(number and 3, positions, np.ones_like(values) if number == 0 else values)
    fit = Fitted(seed, {"along": [3, 1]} if seed else {}, deltas)
    assert same(fitted.unpack(fit.pack()), fit)
    assert fitted.unpack(fit.pack()).pack() == fit.pack()
    assert not fit.trivial
    assert Fitted().trivial


@pytest.mark.parametrize("view", range(turn.VIEWS))
@pytest.mark.parametrize("channels", [1, 3])
def test_turning(view: int, channels: int) -> None:
    image = picture(5, 7, channels)
    turned = turn.turn(image, view)
    assert turned.shape[:2] == turn.turned_size(5, 7, view)
    assert np.array_equal(turn.turn_back(turned, view), image)
    moves = view & ~turn.SWAP_CHANNELS if channels == 1 else view
    assert np.array_equal(turned, image) == (moves == 0)


def test_what_is_changed(model: modelfile.Model) -> None:
    changed = full(model).apply(model)
    local = LocalModel.from_model(changed)
    before = LocalModel.from_model(model)
    assert (local.rate_q, local.along, local.down, local.ridge) == (300, (2, 1), (3, 1), 70000)
    assert [tuple(p) for p in np.argwhere(local.signs != before.signs)] == [
        (0, 0, 0),
        (0, 0, 70),
        (before.signs.shape[0] - 1, 127, 127),
    ]
    assert local.out_w.reshape(-1)[7] - before.out_w.reshape(-1)[7] == -12
    first = local.first_w.astype(int) - before.first_w
    assert list(first[:, 0, 0]) == [8, 4, 4]  # of all channels, and of the first one once more
    clamped = fitted.Fitted(deltas={"first_w": delta(8, {0: 1, 1: -1})}).apply(model)
    assert list(clamped.tensors["first_w"][0, 0, :2]) == [127, -128]
    assert changed.id != model.id
    assert changed.id == full(model).apply(model).id
    assert np.array_equal(before.signs, LocalModel.from_model(model).signs)


@pytest.mark.parametrize("view", [0, 5, 15])
def test_a_file_with_a_fit(view: int, model: modelfile.Model) -> None:
    image = picture(19, 11)
    found = full(model)
    section = Section(container.FITTED, Fitted(view, found.config, found.deltas).pack())
    plain = container.read(bbcodec.compress(image, method="learned", model=model))
    coded = learned.encode(image, model, fitted=section)
    chains = bytes([1, 1, len(coded.chains[0]) & 127 | 128, len(coded.chains[0]) >> 7]) + coded.chains[0]
    stored = plain.one(container.MODEL)
    assert stored is not None
    data = container.write(plain.header, [stored, section, Section(container.CHAINS, chains)])
    assert np.array_equal(bbcodec.decompress(data), image)
    assert np.array_equal(bbcodec.decompress(data, backend="numpy"), image)
    report = bbcodec.info(data)
    assert report.fit is not None
    assert report.fit["bytes"] == len(section.payload) + 9
    assert report.fit["down"] == [3, 1]
    # Without the section, the chain is another message.
    with pytest.raises(FormatError):
        bbcodec.decompress(container.write(plain.header, [stored, Section(container.CHAINS, chains)]))
    with pytest.raises(FormatError, match="FITT"):
        bbcodec.decompress(container.write(plain.header, [section, Section(container.CLASSIC, b"\1\0")]))


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "view"),
        (b"\x10\0", "view 16"),
        (b"\0\x10", "flags 16"),
        (b"\0\x02\x05\1\2", "along needs 5"),
        (b"\0\0\x08", "tensor 8"),
        (b"\0\0\1\2\0\0", "0 changes"),
        (b"\0\0\1\x19\0\1\0", "shift 25"),
        (b"\0\0\1\2\0\x7f\0", "127 changes"),
        (b"\0\0\0\1\0\1\0", "signs have shift 1 and value parameter 0"),
        (b"\0\0\0\0\1\1\0", "signs have shift 0 and value parameter 1"),
        (b"\0\0\1\2\0\1\xff", "changes needs 1"),
        (b"\0\0\1\2\0\1\1", "spare bits"),
        (b"\0\0\1\2\0\1\0\1\2\0\1\0", "tensor 1, expected 2"),
        (b"\0\0\1\2\xf0\1" + b"\xff" * 64 + b"\0" * 3, "at position"),
        (bytes(2 + (1 << 20)), "expected at most"),
    ],
)
def test_unsound_sections(payload: bytes, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        fitted.unpack(payload)


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (Fitted(config={"along": [0, 2]}), "along"),
        (Fitted(config={"down": [2, 2, 2, 2]}), "down"),
        (Fitted(config={"rate_q": 1 << 40}), "rate_q"),
        (Fitted(config={"ridge": 0}), "ridge"),
        (Fitted(deltas={SIGNS: delta(0, {3 * 128 * 128: 1})}), "position 49152"),
        (Fitted(deltas={SHARED: delta(0, {48 * 128: 1})}), "position 6144"),
        (Fitted(deltas={"out_b": delta(24, {0: 1 << 20})}), "out_b"),
        (Fitted(deltas={"hidden_m": delta(20, {0: 1})}), "hidden_m"),
        (Fitted(deltas={"out_w": delta(23, {0: 1})}), "out_w"),
    ],
)
def test_unsound_models(fit: Fitted, text: str, model: modelfile.Model) -> None:
    with pytest.raises((FormatError, ModelError), match=text):
        fitted.unpack(fit.pack()).apply(model)


def test_only_the_family_can_be_changed() -> None:
    with pytest.raises(FormatError, match="family 'rvae'"):
        Fitted(view=1).apply(modelfile.load_named("rvae"))
