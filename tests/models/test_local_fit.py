# SPDX-License-Identifier: Apache-2.0
"""Fits found for a picture: the learning model against the codec, determinism, what pays, interruption."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
native = pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)

from bbcodec.models.local import fit, fit_head  # noqa: E402
from bbcodec.models.local.budget import Budget  # noqa: E402
from bbcodec.models.local.head import FEATURE_UNIT, bits, spreads  # noqa: E402

import bbcodec  # noqa: E402
from bbcodec import modelfile  # noqa: E402
from bbcodec.errors import OptionError  # noqa: E402
from bbcodec.families.local.fitted import Fitted  # noqa: E402
from bbcodec.families.local.model import LocalModel  # noqa: E402


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Shades, and noise that the channels share in part."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 50 * np.sin(x / 11 + y / 17 + seed) + 30 * (x > y)
    noise = rng.normal(0, 3, (height, width, 1)) + rng.normal(0, 1, (height, width, channels))
    return np.clip(light[..., None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> modelfile.Model:
    return modelfile.load_named("photo")


@pytest.fixture(scope="module")
def learned(model: modelfile.Model) -> tuple[np.ndarray, fit_head.FitHead]:
    """A picture, and a head that learned it by heart, whatever the price."""
    image = photo(20, 24)
    features, facts = (a.swapaxes(0, 1) for a in native.observe(image, LocalModel.from_model(model)))
    head = fit_head.FitHead(LocalModel.from_model(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_head, "RATE", 0.3)
        head.learn(features, facts, 40, 10**7, Budget(1e9, None, None), 0)
    return image, head


def static_bits(image: np.ndarray, model: modelfile.Model) -> float:
    """Bits of a picture without learning while coding."""
    still = replace(LocalModel.from_model(model), rate_q=0)
    return float((20 - np.log2(native.plan([image], still)[1])).sum())


def test_the_head_is_the_network_that_codes(
    model: modelfile.Model, learned: tuple[np.ndarray, fit_head.FitHead]
) -> None:
    image, head = learned
    features, facts = (a.swapaxes(0, 1) for a in native.observe(image, LocalModel.from_model(model)))
    for changed in (model, Fitted(deltas=head.deltas()).apply(model)):
        blank = fit_head.FitHead(LocalModel.from_model(changed))
        with torch.no_grad():
            f = torch.from_numpy(features.copy()).float() / FEATURE_UNIT
            guess = float(bits(blank.forward(f), torch.from_numpy(facts.copy()), spreads()).sum())
        assert guess == pytest.approx(static_bits(image, changed), rel=0.01)


def test_learning_by_heart_saves_bits(
    model: modelfile.Model, learned: tuple[np.ndarray, fit_head.FitHead]
) -> None:
    image, head = learned
    changed = Fitted(deltas=head.deltas())
    assert static_bits(image, changed.apply(model)) < 0.97 * static_bits(image, model)
    assert {"first_w", "hidden_m"} <= set(changed.deltas)
    assert not {"out_w", "out_b"} & set(changed.deltas)


def test_a_high_price_leaves_nothing(model: modelfile.Model) -> None:
    image = photo(24, 20)
    local = LocalModel.from_model(model)
    head = fit_head.FitHead(local)
    features, facts = (a.swapaxes(0, 1) for a in native.observe(image, local))
    head.learn(features, facts, 20, 1, Budget(1e9, None, None), 0)
    assert head.deltas() == {}


def test_the_same_bytes_whatever_the_threads(model: modelfile.Model) -> None:
    image = photo(20, 24)
    before = torch.get_num_threads()
    first = bbcodec.compress(image, method="learned", fit=0.5, threads=1)
    torch.set_num_threads(2)
    try:
        assert bbcodec.compress(image, method="learned", fit=0.5, threads=2) == first
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(bbcodec.decompress(first), image)


def test_a_turned_picture_is_turned_back(model: modelfile.Model) -> None:
    """What is easy one way up, and much harder the other ways: the fit finds the way."""
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.integers(-9, 10, (1, 40, 1)), axis=1)
    image = np.clip(128 + np.repeat(walk, 30, 0) * np.linspace(0, 1, 30)[:, None, None] ** 3, 0, 255)
    image = np.repeat(image, 3, 2).astype(np.uint8)
    sizes = {}
    for view in (0, 2):
        turned = image[::-1] if view else image
        plain = bbcodec.compress(turned, method="learned", model="photo")
        data = bbcodec.compress(turned, method="learned", fit=0.3)
        assert np.array_equal(bbcodec.decompress(data), turned)
        assert len(data) <= len(plain)
        sizes[view] = (len(plain), len(data))
    assert min(fit for _, fit in sizes.values()) < max(plain for plain, _ in sizes.values())
    assert abs(sizes[0][1] - sizes[2][1]) <= 16  # found from either side


class Switch(contextlib.AbstractContextManager[Callable[[], bool]]):
    """Says stop from the n-th question on."""

    def __init__(self, after: int):
        self.after, self.asked, self.entered = after, 0, False

    def __enter__(self) -> Callable[[], bool]:
        self.entered = True
        return self.ask

    def __exit__(self, *_: object) -> None:
        self.entered = False

    def ask(self) -> bool:
        self.asked += 1
        return self.asked > self.after


@pytest.mark.parametrize("after", [0, 3, 12])
def test_interruption(after: int) -> None:
    image, switch, seen = photo(30, 34), Switch(after), []
    data = bbcodec.compress(
        image,
        method="learned",
        fit=1000.0,
        stop=switch,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert np.array_equal(bbcodec.decompress(data), image)
    assert switch.asked == after + 1
    assert not switch.entered
    assert (1, 1) in seen  # without the fit
    assert max(total for _, total in seen) == 10000
    assert len(data) <= len(bbcodec.compress(image, method="learned", model="photo"))


def test_crops() -> None:
    image = np.zeros((700, 1400, 3), np.uint8)
    assert [c.shape for c in fit.crops(image, 10**6)] == [(700, 700, 3), (700, 700, 3)]
    parts = fit.crops(image, 400_000)
    assert {part.shape for part in parts} == {(320, 320, 3)}
    assert 3 <= len(parts) <= 5
    assert [c.shape for c in fit.crops(image[:10], 10)] == [(10, 700, 3), (10, 700, 3)]


def test_what_cannot_be_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(20, 20)
    for options in ({"method": "classic"}, {"model": "rvae"}, {"seconds": 0.0}, {"seconds": float("nan")}):
        seconds = options.pop("seconds", 1.0)
        with pytest.raises(OptionError):
            bbcodec.compress(image, fit=seconds, **options)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(OptionError, match=r"pip install 'bbcodec\[train\]'"):
        bbcodec.compress(image, fit=1.0)


@pytest.fixture(autouse=True)
def small_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MIN_STEPS", 5)
    monkeypatch.setattr(fit, "MIN_LEARNABLE_PIXELS", 0)
