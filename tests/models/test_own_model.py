# SPDX-License-Identifier: Apache-2.0
"""Models of one's own: what is learned codes, pays for its bytes, stops when it should, repeats itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)

from bbcodec.models.local import own, own_head  # noqa: E402
from bbcodec.models.local.own import Draft, Plan, Trial  # noqa: E402
from bbcodec.models.local.own_head import OwnHead, Schedule, join, look  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.errors import OptionError  # noqa: E402
from bbcodec.families import batch, gain  # noqa: E402
from bbcodec.families.local.model import LocalModel  # noqa: E402
from bbcodec.modelfile import delta, registry  # noqa: E402


def stripes(count: int, side: int = 24) -> list[np.ndarray]:
    """Alike pictures unlike photographs: stripes two pixels wide, with a phase and shade each, and noise."""
    pictures = []
    for i in range(count):
        rng = np.random.default_rng([5, i])
        y, x = np.mgrid[:side, :side]
        wave = 50 * ((x // 2 + y // 8 + rng.integers(4)) % 2) + rng.integers(60, 120)
        noise = rng.integers(-1, 2, (side, side, 3))
        pictures.append((wave[..., None] + np.array([0, 9, 30]) + noise).astype(np.uint8))
    return pictures


@pytest.fixture(scope="module")
def fast() -> modelfile.Model:
    return modelfile.load_named("fast")


@pytest.fixture(scope="module")
def trained(fast: modelfile.Model) -> tuple[list[np.ndarray], bytes, list[str]]:
    pictures, lines = stripes(40), []
    return pictures, own.train(pictures, fast, Plan(steps=100), say=lines.append), lines


def test_it_pays_on_alike_pictures(
    trained: tuple[list[np.ndarray], bytes, list[str]], fast: modelfile.Model
) -> None:
    pictures, data, lines = trained
    model = modelfile.load(data)
    coded = batch.encode(pictures, model)
    assert all(np.array_equal(a, b) for a, b in zip(batch.decode(coded, model), pictures, strict=True))
    short = registry.smallest(data)
    assert len(short) < len(data) / 3
    assert len(coded) + len(short) < len(batch.encode(pictures, fast))
    assert model.notes["parent"] == fast.id
    assert model.notes["valid"][-1] < model.notes["valid"][0]
    assert sum("validation" in line for line in lines) >= 3


def test_steps_decide_alone(fast: modelfile.Model) -> None:
    pictures = stripes(8, 16)
    first, second, longer = (
        own.train(pictures, fast, Plan(steps=steps), say=lambda line: None) for steps in (40, 40, 60)
    )
    assert first == second != longer


def test_the_report_counts_every_byte(trained: tuple[list[np.ndarray], bytes, list[str]]) -> None:
    pictures, data, _ = trained
    found = gain.gain(pictures, data)
    assert found.released_bytes["fast"] == len(batch.encode(pictures, modelfile.load_named("fast")))
    assert found.own_bytes == len(batch.encode(pictures, modelfile.load(data)))
    assert (found.embedded_bytes, found.parent) == (len(registry.smallest(data)), "fast")
    assert found.saved_bytes == min(found.released_bytes.values()) - found.own_bytes - found.embedded_bytes
    verdict = found.lines()[-1]
    assert verdict.startswith("worth embedding" if found.saved_bytes > 0 else "not worth embedding")
    assert f"{abs(found.saved_bytes):,} bytes" in verdict


def test_a_model_goes_on_from_ones_own(
    trained: tuple[list[np.ndarray], bytes, list[str]],
) -> None:
    pictures, data, _ = trained
    again = own.train(pictures, modelfile.load(data), Plan(steps=20), say=lambda line: None)
    assert delta.parent_of(registry.smallest(again)) == modelfile.load_named("fast").id
    before, after = (len(batch.encode(pictures, modelfile.load(d))) for d in (data, again))
    assert after <= before + 200


def test_head_leaves_the_other_layers_alone(fast: modelfile.Model) -> None:
    model = modelfile.load(own.train(stripes(8, 16), fast, Plan(steps=40, what="head"), say=lambda _: None))
    assert np.array_equal(model.tensors["first_w"], fast.tensors["first_w"])
    assert "positions" not in model.tensors


def test_a_fresh_network_is_a_model(fast: modelfile.Model) -> None:
    pictures = stripes(8, 16)
    data = own.train(pictures, fast, Plan(steps=60, fresh=True), say=lambda _: None)
    model = modelfile.load(data)
    coded = batch.encode(pictures, model)
    assert all(np.array_equal(a, b) for a, b in zip(batch.decode(coded, model), pictures, strict=True))
    assert not np.array_equal(model.tensors["first_w"], fast.tensors["first_w"])


def test_stopping_at_once_gives_a_model_that_is_no_worse(fast: modelfile.Model) -> None:
    pictures = stripes(9)
    data = own.train(pictures, fast, Plan(steps=10**6), say=lambda _: None, stopped=lambda: True)
    assert len(batch.encode(pictures, modelfile.load(data))) <= len(batch.encode(pictures, fast))


def test_learning_ends_when_validation_does_not_improve(
    fast: modelfile.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_head, "MIN_STEPS_BETWEEN", 1)
    local = LocalModel.from_model(fast)
    seen = join([look(p, local, 500, [0, i]) for i, p in enumerate(stripes(4))])
    head = OwnHead(local)
    costs = iter([3.0, 2.0, *[2.5] * 100])
    monkeypatch.setattr(head, "evaluate", lambda part: next(costs))
    schedule = Schedule(len(seen), math.inf, 400, seed=0, validations=40, patience=5)
    curve = head.train(seen, seen, schedule, lambda line: None, lambda: False)
    assert [value for _, value in curve] == [3.0, 2.0, *[2.5] * 5]
    assert curve[-1][0] < 100


def test_what_does_not_pay_is_not_taken(fast: modelfile.Model) -> None:
    pictures = stripes(8)
    draft = Draft(dict(fast.config), dict(fast.tensors), fast)
    trial = Trial.of(pictures)
    noise = np.random.default_rng(0).integers(-99, 99, fast.tensors["out_w"].shape)
    worse = draft.given({}, out_w=(fast.tensors["out_w"] + noise).astype(np.int32))
    assert trial.best([draft, worse]) is draft
    broken = draft.given({"rate_q": 1 << 20})
    assert trial.bytes_of(broken) == math.inf


def test_few_pictures_hold_out_pixels(fast: modelfile.Model) -> None:
    seen, held = own._split(stripes(2), LocalModel.from_model(fast), 0)
    assert len(seen) + len(held) == 2 * 24 * 24
    assert len(held) == 2 * 72


@pytest.mark.parametrize(("name", "what"), [("thumb", "latents"), ("rvae", "family")])
def test_other_models_are_refused(name: str, what: str) -> None:
    with pytest.raises(OptionError, match=what):
        own.check(modelfile.load_named(name))


def test_no_pictures_are_refused(fast: modelfile.Model) -> None:
    with pytest.raises(OptionError, match="no pictures"):
        own.train([], fast, Plan(steps=1))
