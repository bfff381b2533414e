# SPDX-License-Identifier: Apache-2.0
"""A training that is stopped and resumed ends where a whole one ends; averages of weights; mixed sources."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from bbcodec.models import data  # noqa: E402
from bbcodec.models.config import Config, FlowConfig  # noqa: E402
from bbcodec.models.latent import pack_checkpoint, train  # noqa: E402
from bbcodec.models.latent.checkpoint import build, load_checkpoint  # noqa: E402
from bbcodec.models.latent.export import export  # noqa: E402
from bbcodec.models.latent.layers import BinaryConv  # noqa: E402
from torch import nn  # noqa: E402

TINY = ["--width", "12", "--units", "1", "--crop", "16", "--batch", "2", "--threads", "1", "--minutes", "0"]
FAMILIES = {
    "rvae": ["--family", "rvae", "--layers", "1", "--latents", "2", "--precision", "1/1"],
    "flowpp": ["--family", "flowpp", "--scales", "1", "--mixtures", "2", "--precision", "1/32"],
    "batch-norm": ["--family", "rvae", "--layers", "1", "--latents", "2", "--norm", "batch"],
    "stochastic": ["--family", "rvae", "--layers", "1", "--latents", "2", "--stochastic"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        y, x = np.mgrid[:24, :20]
        rgb = np.stack([128 + 50 * np.sin((x + y * k + i) / 6) for k in (1, 2, 3)], -1)
        Image.fromarray(rgb.astype(np.uint8)).save(path / f"{i}.png")
    return path


@pytest.fixture(autouse=True)
def unchanged_process() -> Iterator[None]:
    """Put back what a training changes in its process."""
    names = (signal.SIGINT, signal.SIGTERM)
    handlers, threads = [signal.getsignal(name) for name in names], torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name, handler in zip(names, handlers, strict=True):
        signal.signal(name, handler)


def arguments(folder: Path, out: Path, family: str) -> list[str]:
    words = ["--data", f"{folder},{folder}@18", "--weights", "1,3", "--mirror", "--valid", str(folder)]
    words += [*TINY, *FAMILIES[family], "--by-steps", "--steps", "8", "--ema", "0.9", "--validate-steps", "3"]
    return [*words, "--out", str(out)]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send SIGTERM to the training when it comes to a step."""
    seed_step = train.seed_step

    def seed_or_stop(seed: int, current: int) -> None:
        if current == step:
            os.kill(os.getpid(), signal.SIGTERM)
        seed_step(seed, current)

    monkeypatch.setattr(train, "seed_step", seed_or_stop)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_stopped_training_ends_as_a_whole_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    train.main(arguments(folder, tmp_path / "whole", family))
    _, whole = load_checkpoint(tmp_path / "whole" / "checkpoint.pt")
    parts = arguments(folder, tmp_path / "parts", family)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit) as stopped:
            train.main(parts)
    assert stopped.value.code == 128 + signal.SIGTERM
    checkpoint = tmp_path / "parts" / "checkpoint.pt"
    _, half = load_checkpoint(checkpoint)
    assert half["steps"] == 4
    torch.rand(7)  # the process that goes on has other random numbers behind it
    train.main([*parts, "--resume", str(checkpoint)])
    _, later = load_checkpoint(checkpoint)
    assert later["steps"] == whole["steps"] == 8
    for name in ("model", "average"):
        assert whole[name].keys() == later[name].keys()
        for key, value in whole[name].items():
            assert torch.equal(value, later[name][key]), (name, key)
    for key, moments in whole["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, later["optimizer"]["state"][key][name])
    assert [point[1:] for point in whole["curve"]] == [point[1:] for point in later["curve"]]
    assert [point[1] for point in whole["curve"]] == [3, 6, 8]


def test_a_limit_of_minutes_stops_and_does_not_change_the_schedule(folder: Path, tmp_path: Path) -> None:
    words = arguments(folder, tmp_path, "rvae")
    train.main([*words, "--minutes", "1e-9"])
    _, state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state["steps"] == 0
    with pytest.raises(SystemExit):
        train.parse([word for word in words if word not in ("--steps", "8")])


def test_the_average_follows_the_weights_behind_the_signs() -> None:
    config = Config(width=12, layers=(1,), latents=2, units=1, precision="1/1", norm="batch")
    torch.manual_seed(0)
    model = build(config)
    average = train.Average(model, 0.5)
    layers = [[m for m in net.modules() if isinstance(m, BinaryConv)] for net in (model, average.network)]
    before = layers[0][0].v.detach().clone()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
        layers[0][0].batch_norm.running_mean.fill_(3)
    average.update(model, step=0)  # the decay is 1/10 at first
    assert torch.allclose(layers[1][0].v, before + 0.9)
    assert torch.equal(layers[1][0].batch_norm.running_mean, torch.full((12,), 3.0))
    average.update(model, step=1000)
    assert torch.allclose(layers[1][0].v, before + 0.95)
    assert set(layers[1][0].signs().unique().tolist()) <= {-1.0, 1.0}
    assert not any(weight.requires_grad for weight in average.network.parameters())


def test_checkpoints_without_an_average_load_as_before(folder: Path, tmp_path: Path) -> None:
    words = arguments(folder, tmp_path, "rvae")
    train.main([*words, "--ema", "0"])
    model, state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert "average" not in state
    assert all(torch.equal(value, state["model"][key]) for key, value in model.state_dict().items())
    train.main([*words, "--steps", "10", "--resume", str(tmp_path / "checkpoint.pt")])
    model, state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert all(torch.equal(value, state["average"][key]) for key, value in model.state_dict().items())
    assert any(not torch.equal(value, state["model"][key]) for key, value in state["average"].items())


def test_validation_draws_the_same_noise_and_leaves_the_generator() -> None:
    model: nn.Module = build(FlowConfig(width=4, scales=1, mixtures=1, units=0))
    images = torch.randint(0, 256, (5, 3, 16, 16)).float()
    before = torch.get_rng_state()
    first = train.evaluate(model, images)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert train.evaluate(model, images) == first
    assert model.training


def test_batches_depend_on_their_number_alone() -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8) for i in range(4)]
    whole = data.crops(pictures, 4, 3, seed=1, step=0)
    batches = [next(whole) for _ in range(6)]
    later = data.crops(pictures, 4, 3, seed=1, step=4)
    assert torch.equal(next(later), batches[4])
    assert torch.equal(next(later), batches[5])
    assert not torch.equal(batches[0], batches[1])


def test_sources_have_their_shares() -> None:
    few = [np.full((8, 8, 3), 10, np.uint8)]
    many = [np.full((8, 8, 3), 20, np.uint8)] * 50 + [np.full((4, 4, 3), 30, np.uint8)]
    chances = data.shares([few, many], [3.0, 1.0], size=8)
    assert chances[0] == pytest.approx(0.75)
    assert chances[-1] == 0  # smaller than a crop
    batch = next(data.crops([*few, *many], 8, 2000, seed=0, chances=chances))
    assert float((batch[:, 0, 0, 0] == 10).float().mean()) == pytest.approx(0.75, abs=0.04)
    assert not bool((batch == 30).any())


def test_shares_that_cannot_be_are_refused() -> None:
    small, large = [np.zeros((4, 4, 3), np.uint8)], [np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(ValueError, match="1 weights for 2 sources"):
        data.shares([small, large], [1.0], 4)
    with pytest.raises(ValueError, match="must be at least 0"):
        data.shares([small, large], [0.0, -1.0], 4)
    with pytest.raises(ValueError, match="source 1: no picture is at least 8 pixels"):
        data.shares([small, large], [1.0, 1.0], 8)
    assert data.shares([small, large], [0.0, 1.0], 8).tolist() == [0.0, 1.0]


def test_mirrored_crops_are_never_transposed() -> None:
    """A picture whose rows are alike: mirrored it keeps them, transposed it has columns alike."""
    picture = np.tile(np.arange(6, dtype=np.uint8)[None, :, None], (6, 1, 3))
    batch = next(data.crops([picture], 6, 200, seed=0, transpose=False))[:, 0]
    straight = torch.arange(6).expand(6, 6).float()
    mirrored = sum(bool(torch.equal(crop, straight.flip(1))) for crop in batch)
    assert mirrored + sum(bool(torch.equal(crop, straight)) for crop in batch) == 200
    assert 70 < mirrored < 130
    default = next(data.crops([picture], 6, 200, seed=0))[:, 0]
    assert any(torch.equal(crop, straight.T) for crop in default)


@pytest.mark.parametrize("family", ["rvae", "flowpp"])
def test_a_packed_checkpoint_exports_alike_and_goes_on(folder: Path, tmp_path: Path, family: str) -> None:
    words = arguments(folder, tmp_path, family)
    train.main(words)
    whole, packed = tmp_path / "checkpoint.pt", tmp_path / "packed.pt"
    pack_checkpoint.main([str(whole), str(packed)])
    first, state = load_checkpoint(whole)
    second, small = load_checkpoint(packed)
    assert export(first) == export(second)
    for name in ("model", "average"):
        for key, value in state[name].items():
            assert torch.equal(value < 0, small[name][key] < 0)
    assert packed.stat().st_size < 0.7 * whole.stat().st_size  # names take much in so small a network
    pack_checkpoint.main([str(packed), str(packed)])  # nothing changes when it is packed again
    assert export(load_checkpoint(packed)[0]) == export(first)
    ends = []
    for path in (whole, packed):
        train.main([*words, "--steps", "12", "--resume", str(path)])
        ends.append(load_checkpoint(tmp_path / "checkpoint.pt")[1])
    assert [end["steps"] for end in ends] == [12, 12]
    assert ends[0]["curve"][-1][2] == pytest.approx(ends[1]["curve"][-1][2], abs=0.05)
    for key, value in ends[0]["average"].items():
        assert torch.allclose(value, ends[1]["average"][key], atol=0.03)


def test_weights_that_float16_does_not_know_keep_their_sign() -> None:
    v = torch.tensor([1e-9, -1e-9, 0.0, -0.25])
    half = pack_checkpoint._half(v)
    assert half.dtype == torch.float16
    assert torch.equal(half < 0, v < 0)
    assert half.tolist() == [2.0**-24, -(2.0**-24), 0.0, -0.25]
