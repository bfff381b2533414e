# SPDX-License-Identifier: Apache-2.0
"""The head of the family local: trained on made-up pictures, exported, and compared with what codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
native = pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)

from bbcodec.models.local import train  # noqa: E402
from bbcodec.models.local.export import export, load_checkpoint  # noqa: E402
from bbcodec.models.local.export import main as export_main  # noqa: E402
from bbcodec.models.local.head import Head, HeadConfig, bits, spreads  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.families import learned  # noqa: E402
from bbcodec.families.local import reference  # noqa: E402
from bbcodec.families.local.model import LocalModel  # noqa: E402
from bbcodec.families.local.tables import qlog  # noqa: E402

SMALL = HeadConfig(hidden=64, layers=2)


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Shades, an edge, and noise that the channels share in part."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 50 * np.sin(x / 11 + y / 17 + seed) + 30 * (x > y)
    tint = np.array([8.0, 0.0, -12.0])[:channels]
    noise = rng.normal(0, 3, (height, width, 1)) + rng.normal(0, 1, (height, width, channels))
    return np.clip(light[..., None] + tint + noise, 0, 255).astype(np.uint8)


def shaken(config: HeadConfig, seed: int = 0) -> Head:
    """A head whose parameters all matter: initial values plus noise."""
    torch.manual_seed(seed)
    head = Head(config)
    with torch.no_grad():
        for name, p in head.named_parameters():
            p.add_(torch.randn_like(p) * (0.02 if name in ("wo", "bo", "w0") else 0.1))
    return head.eval()


def read(head: Head) -> LocalModel:
    """The exported model, put through the file format."""
    return LocalModel.from_model(modelfile.load(export(head, {"purpose": "test"})))


def seen(image: np.ndarray, head: Head) -> train.Samples:
    """Features and facts of every pixel, channels first."""
    features, facts = native.observe(image, read(head))
    return features.swapaxes(0, 1), facts.swapaxes(0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        Image.fromarray(photo(40, 36 + i, seed=i)).save(path / f"{i}.png")
    return path


# ----------------------------------------------------------------------------------------------- training


def test_training_improves_resumes_and_exports(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(folder), "--valid", str(folder), "--out", str(tmp_path / "run")]
    common += ["--cache", str(tmp_path / "cache"), "--batch", "64", "--pixels", "500"]
    common += ["--hidden", "64", "--layers", "1"]
    train.main([*common, "--minutes", "0.05", "--validate-every", "0.02"])
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    head, state = load_checkpoint(checkpoint)
    assert state["steps"] > 3
    assert state["seconds"] >= 3
    assert len(state["curve"]) > 1

    def kept(name: str) -> train.Samples:
        with np.load(tmp_path / "cache" / f"{name}.npz") as stored:
            return stored["features"], stored["facts"]

    # On the few pixels that it was trained with: fast machines go on until it knows these by heart.
    torch.manual_seed(0)  # as the training did
    untrained = np.mean(train.evaluate(Head(replace(SMALL, layers=1)), kept("train")))
    assert np.mean(train.evaluate(head, kept("train"))) < untrained - 0.02
    valid = np.mean(train.evaluate(head, kept("valid")))
    assert valid == pytest.approx(state["curve"][-1][2], abs=1e-3)

    train.main([*common, "--minutes", "0.07", "--resume", str(checkpoint)])
    _, later = load_checkpoint(checkpoint)
    assert later["steps"] > state["steps"]
    assert later["seconds"] > state["seconds"]
    assert later["curve"][: len(state["curve"])] == state["curve"]
    assert "bpd" in capsys.readouterr().out

    export_main([str(checkpoint), str(tmp_path / "small.bbm")])
    model = modelfile.load((tmp_path / "small.bbm").read_bytes())
    assert model.family == "local"
    assert model.notes["steps"] == later["steps"]
    image = photo(20, 31, seed=9)
    coded = learned.encode(image, model)
    assert np.array_equal(learned.decode(coded.chains, *image.shape, model), image)


def test_samples_are_pixels_of_their_pictures() -> None:
    pictures = [photo(11, 13, seed=i) for i in range(2)]
    features, facts = train.samples(pictures, SMALL, 50, 0, 1)
    assert features.shape == (3, 100, 48)
    assert facts.shape == (3, 100, 3)
    for i, picture in enumerate(pictures):
        whole = picture.reshape(-1, 3)[:, [1, 0, 2]].tolist()  # G, R, B
        assert all(pixel in whole for pixel in facts[:, 50 * i : 50 * (i + 1), 2].T.tolist())
    again = train.samples(pictures, SMALL, 50, 0, 2)
    assert np.array_equal(features, again[0])
    assert np.array_equal(facts, again[1])


def test_the_trunk_is_its_layers_and_old_checkpoints_have_one_basis() -> None:
    head = shaken(replace(SMALL, bases=2))
    assert HeadConfig.from_dict({k: v for k, v in SMALL.to_dict().items() if k != "bases"}) == SMALL
    assert head.v.shape == (2, 128, 64)
    first, second = (head.v >= 0).float().mul(2).sub(1).split(64, 1)
    gains = head.g.split(64, 1)
    expected = (first * gains[0][:, None] + second * gains[1][:, None]) / 8
    assert torch.allclose(head.weights(), expected, atol=1e-6)
    fresh = Head(replace(SMALL, bases=2)).g
    assert (fresh[:, 64:] < fresh[:, :64]).all()


def test_two_bases_learn() -> None:
    torch.manual_seed(0)
    head = Head(HeadConfig(hidden=64, layers=1, bases=2))
    part = train.samples([photo(24, 26)], SMALL, 400, 0, 1)
    before = np.mean(train.evaluate(head, part))
    signs = head.v.detach() >= 0
    state = train.train_head(head, part, part, train.Schedule(steps=60, batch=64))
    assert state["steps"] == state["curve"][-1][1] == 60
    assert state["curve"][-1][2] < before - 0.05
    changed = (head.v.detach() >= 0) != signs
    assert changed[:, :64].any()
    assert changed[:, 64:].any()


@pytest.mark.parametrize(
    ("precision", "bases"), [("1/32", 1), ("32/32", 1), ("1/1", 1), ("1/32", 2), ("1/1", 2)]
)
def test_every_precision_takes_a_step(precision: str, bases: int) -> None:
    torch.manual_seed(0)
    head = Head(HeadConfig(hidden=64, layers=2, precision=precision, bases=bases))
    f, m = train.tensors(train.samples([photo(12, 14)], SMALL, 100, 0, 1))
    before = head.v.detach().clone()
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    loss = bits(head(f), m, spreads()).mean()
    loss.backward()
    for name, p in head.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
    assert head.v.grad.abs().amax(dim=(1, 2)).min() > 0  # reaches every layer
    optimizer.step()
    head.clip_weights()
    assert not torch.equal(head.v, before)
    after = bits(head(f), m, spreads()).mean()
    assert torch.isfinite(loss)
    assert after < loss


# ------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize(("precision", "bases"), [("32/32", 1), ("1/1", 1), ("1/32", 2), ("1/32", 3)])
def test_heads_without_an_integer_form_are_refused(precision: str, bases: int) -> None:
    with pytest.raises(ValueError, match=f"{precision} with {bases}"):
        export(Head(HeadConfig(hidden=64, layers=1, precision=precision, bases=bases)), {})


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, layers=0, components=1),
        replace(SMALL, layers=1),
        replace(SMALL, layers=2, components=8),
        HeadConfig(),
    ],
    ids=lambda c: f"{c.hidden}x{c.layers}, {c.components}",
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_exported_network_costs_what_the_head_tells(config: HeadConfig, channels: int) -> None:
    head = shaken(config)
    model = replace(read(head), rate_q=0)
    assert (model.hidden, model.layers) == (config.hidden, config.layers)
    image = photo(40, 44, channels)
    start, freq = native.plan([image], model)
    assert (start + freq <= 1 << 20).all()
    coded = float((20 - np.log2(freq)).sum())
    features, facts = seen(image, head)
    f, m = train.tensors((features, facts))
    with torch.no_grad():
        if channels == 1:  # the first network is that of gray, too
            f, m = (torch.cat([part] * 3) for part in (f, m))
        told = float(bits(head(f), m, spreads())[:channels].double().sum())
    assert coded == pytest.approx(told, rel=0.01)


def test_signs_and_gains_are_those_of_the_head() -> None:
    head = shaken(SMALL)
    model = read(head)
    signs = np.where(head.v.detach().numpy() >= 0, 1, -1).transpose(0, 2, 1)
    assert np.array_equal(model.signs, signs)
    assert np.allclose(model.hidden_m / 2**16, head.g.detach().numpy() / 8, atol=2**-16)
    assert np.allclose(model.out_w[:, :64] / 2**20, head.wo.detach().numpy(), atol=2**-20)
    assert not model.out_w[:, 64:].any()  # features reach the last layer by learning alone


# ------------------------------------------------------------------------------------------- observations


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 14, 3), (13, 8, 1), (1, 20, 3)], ids=str)
def test_observations_are_what_the_reference_walks_through(shape: tuple[int, int, int]) -> None:
    image = photo(*shape)
    model = read(shaken(SMALL))
    features, facts = native.observe(image, model)
    width, planes = shape[1], reference.to_planes([image])
    count = 0
    walk = reference.walk([shape[:2]], shape[2], model)
    step = next(walk)
    while True:
        pixel = step.lanes.y * width + step.lanes.x
        symbols = planes[step.channel, step.lanes.pixel]
        assert np.array_equal(features[pixel, step.channel], step.features)
        p, ks, samples = facts[pixel, step.channel].T
        assert np.array_equal(p, (step.predictions[0] + step.predictions[1]) >> 1)
        assert np.array_equal(samples, symbols)
        assert np.array_equal(step.features[:, 23], np.clip(3 * (ks - 48), -127, 127))
        count += len(pixel)
        try:
            step = walk.send(symbols)
        except StopIteration:
            break
    assert count == image.size
    assert facts[..., 1].min() >= qlog(np.array([64]))[0]


def test_observations_do_not_depend_on_the_network() -> None:
    image = photo(15, 17)
    first = native.observe(image, read(shaken(SMALL)))
    second = native.observe(image, read(shaken(HeadConfig(), seed=1)))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
