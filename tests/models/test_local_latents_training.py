# SPDX-License-Identifier: Apache-2.0
"""Latents of pictures: what is trained is what codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from local_cases import photo
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
native = pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)

from bbcodec.models.local import train  # noqa: E402
from bbcodec.models.local import train_latents as training  # noqa: E402
from bbcodec.models.local.export import export, load_checkpoint  # noqa: E402
from bbcodec.models.local.export import main as export_main  # noqa: E402
from bbcodec.models.local.latents import inputs, load, statistics  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.families import batch  # noqa: E402
from bbcodec.families.latent.pixels import latent_logistic  # noqa: E402
from bbcodec.families.local import latents  # noqa: E402
from bbcodec.families.local.model import LocalModel  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 16 x 16 with more or less noise."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(24):
        noise = np.random.default_rng(i).normal(0, 1 + i % 4 * 5, (16, 16, 3))
        image = np.clip(photo(16, 16, 3, seed=i) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(path / f"{i:02}.png")
    return path


@pytest.fixture(scope="module")
def checkpoint(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    small = ["--hidden", "64", "--layers", "1", "--minutes", "0.01", "--batch", "64", "--pixels", "64"]
    train.main(["--data", str(folder), "--valid", str(folder), "--out", str(out / "head"), *small])
    sources = ["--data", str(folder), "--valid", str(folder), "--init", str(out / "head" / "checkpoint.pt")]
    sizes = ["--latents", "4", "--encoder", "8", "--keep", "12", "--steps", "4", "--pixels", "32"]
    training.main([*sources, *sizes, "--samples", "256", "--out", str(out / "thumb")])
    return out / "thumb" / "checkpoint.pt"


def test_a_trained_model_codes_batches(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    export_main([str(checkpoint), str(tmp_path / "small.bbm")])
    model = modelfile.load((tmp_path / "small.bbm").read_bytes())
    read = LocalModel.from_model(model)
    assert read.latents is not None
    assert read.positions is not None
    images = [np.asarray(Image.open(p)) for p in sorted(folder.glob("*.png"))] * 8
    data = batch.encode(images, model)
    assert all(np.array_equal(a, b) for a, b in zip(batch.decode(data, model), images, strict=True))


def test_the_integer_posterior_is_the_float_one(checkpoint: Path, folder: Path) -> None:
    head, state = load_checkpoint(checkpoint)
    trained = load(state).eval()
    data = export(head, {}, prior=state["prior"].numpy(), latents=trained)
    model = LocalModel.from_model(modelfile.load(data))
    assert model.latents is not None
    images = [np.asarray(Image.open(p)) for p in sorted(folder.glob("*.png"))]
    sums = native.survey(images, model)
    for image, expected in zip(images, sums, strict=True):
        assert np.array_equal(statistics(*native.observe(image, model)), expected)
    mean, scale = latents.encode(model.latents, sums, [image.shape[:2] for image in images])
    area = np.full(len(images), 256)
    excess = torch.from_numpy(inputs(sums, area, trained.mean.double().numpy())).float()
    with torch.no_grad():
        y = (excess * trained.scale).clamp(-128, 128) @ trained.whiten
        found = trained.linear(y) + trained.last(torch.relu(trained.first(y)))
    float_mean, float_log2 = found.double().numpy().reshape(len(images), 2, -1).swapaxes(0, 1)
    assert np.abs(mean / 512 - np.clip(float_mean, -30, 30)).max() < 0.05
    assert np.abs((scale - 48) / 8 - np.clip(float_log2, -4, 3)).max() < 0.1


def test_costs_of_latents_are_their_kl(checkpoint: Path, folder: Path) -> None:
    """Bits that the coder takes for latents, less those it gives back, against the KL of the evaluation."""
    head, state = load_checkpoint(checkpoint)
    trained = load(state).eval()
    prior = state["prior"].numpy()
    model = LocalModel.from_model(modelfile.load(export(head, {}, prior=prior, latents=trained)))
    assert model.latents is not None
    images = [np.asarray(Image.open(p)) for p in sorted(folder.glob("*.png"))]
    mean, scale = latents.encode(model.latents, native.survey(images, model), [(16, 16)] * len(images))
    rng = np.random.default_rng(0)
    head_lanes = rng.integers(1 << 31, 1 << 63, 8, dtype=np.uint64)
    message = head_lanes, (rng.integers(1 << 32, size=20000, dtype=np.uint32), ())
    spent = []
    for _ in range(20):
        popped, z = latent_logistic(mean, scale, "numpy", floor=0).pop(message)
        p_mean, p_log2 = np.split(np.tile(model.latents.prior, (len(images), 1)), 2, axis=1)
        q = latents.prior_parameters(p_mean, p_log2)
        (pushed,) = latent_logistic(*q, "numpy", floor=1).push(popped, z)
        spent.append(size(pushed) - size(message))
        message = pushed
    source = training.look(str(folder), head.config, prior, 1000, 1)
    source.excess = torch.from_numpy(
        inputs(source.sums, np.full(len(images), 256), trained.mean.double().numpy())
    ).float()
    values = [training.evaluate(head, trained, source, training.spreads())["kl"] for _ in range(3)]
    kl = float(np.mean(values)) * 768 * len(images)
    assert abs(np.mean(spent) - kl) < 0.1 * kl + 20


def size(message: object) -> float:
    """Bits of a message."""
    from bbcodec.coding.codecs import message_bits

    return message_bits(message)  # type: ignore[arg-type]
