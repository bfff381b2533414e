# SPDX-License-Identifier: Apache-2.0
"""Flow++ in PyTorch: its maps, its exported integer networks, what coding costs, and training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch.nn.functional as F  # noqa: E402
from bbcodec.models import data, gradients  # noqa: E402
from bbcodec.models.config import FAMILIES, Config, FlowConfig, config_from_dict  # noqa: E402
from bbcodec.models.latent import flowpp, layers, train  # noqa: E402
from bbcodec.models.latent.checkpoint import build, load_checkpoint  # noqa: E402
from bbcodec.models.latent.export import export  # noqa: E402
from bbcodec.models.latent.export import main as export_main  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.coding.codecs import message_bits  # noqa: E402
from bbcodec.coding.distributions.cut_mixture import CutMixture  # noqa: E402
from bbcodec.engine import Program  # noqa: E402
from bbcodec.families import batch, latent, learned  # noqa: E402
from bbcodec.families.latent import chains  # noqa: E402
from bbcodec.families.latent import flowpp as coder  # noqa: E402

SMALL = FlowConfig(width=12, units=1, scales=2, mixtures=2)
NORMS = ["binary", "weight", "batch"]


def pictures(count: int, side: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, side, side, 3]: smooth shapes and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = [np.sin(x * a + y * b) for a, b in rng.uniform(-0.4, 0.4, (count, 2))]
    base = 128 + 50 * np.stack(waves)[..., None] + rng.uniform(-40, 40, (count, 1, 1, 3))
    noise = rng.normal(0, 4, (count, side, side, 1)) + rng.normal(0, 2, (count, side, side, 3))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)


def shaken(config: FlowConfig, seed: int = 0) -> flowpp.FlowPP:
    """A network whose parameters and running statistics all matter, ready for export."""
    torch.manual_seed(seed)
    model = build(config)
    assert isinstance(model, flowpp.FlowPP)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.003 if "weight" in name else 0.03))
        for layer in model.modules():
            # Gains as small as training makes them: the exact streams end at 31.
            if (
                isinstance(layer, layers.BinaryConv)
                and config.norm == "weight"
                and config.precision != "32/32"
            ):
                layer.g.mul_(layer.v[0, 0].std())
        if config.norm == "batch":
            for _ in range(3):
                model.train()(tensor(pictures(4, 16)))
    return model.eval()


# ------------------------------------------------------------------------------------------------ maps


def random_maps(rng: np.random.Generator, count: int, mixtures: int) -> np.ndarray:
    """Integer parameters [count, 3, mixtures] as an exported network gives them, within all clamps."""
    weights = rng.integers(-400, 400, (count, mixtures))
    means = rng.integers(-8000, 8000, (count, mixtures))
    scales = 16 * rng.integers(-16, 63, (count, mixtures))
    return np.stack([weights, means, scales], 1)


def real(parameters: np.ndarray) -> torch.Tensor:
    """The same parameters as `monotone` takes them, float64 [1, count, 3, mixtures, 1, 1]."""
    return torch.from_numpy(parameters / np.array([128, 1024, 128])[:, None])[None, ..., None, None]


def mapped(t: np.ndarray, parameters: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    value, log_slope = flowpp.monotone(torch.from_numpy(t)[None, :, None, None], real(parameters), floor)
    return value.numpy().ravel(), log_slope.numpy().ravel()


@pytest.mark.parametrize("mixtures", [1, 4])
def test_the_slope_of_a_map_is_its_derivative(mixtures: int) -> None:
    rng = np.random.default_rng(mixtures)
    parameters, t, h = random_maps(rng, 400, mixtures), rng.uniform(0.01, 0.99, 400), 1e-6
    _, log_slope = mapped(t, parameters, 2**-9)
    (after, _), (before, _) = mapped(t + h, parameters, 2**-9), mapped(t - h, parameters, 2**-9)
    assert np.allclose(np.exp(log_slope), (after - before) / (2 * h), rtol=1e-4, atol=1e-6)
    assert (np.exp(log_slope) >= 2**-9).all()


def test_maps_run_from_0_to_1() -> None:
    parameters = random_maps(np.random.default_rng(0), 50, 3)
    assert np.allclose(mapped(np.zeros(50), parameters, 2**-6)[0], 0, atol=1e-12)
    assert np.allclose(mapped(np.ones(50), parameters, 2**-6)[0], 1, atol=2**-23)


@pytest.mark.parametrize(("bits", "cell_bits"), [(20, 9), (12, 6)])
def test_maps_are_those_of_the_coder(bits: int, cell_bits: int) -> None:
    rng = np.random.default_rng(bits)
    parameters = random_maps(rng, 300, 4)
    e = (parameters[:, 2] + 8 >> 4) + 24
    maps = CutMixture(parameters[:, 0], parameters[:, 1] + (128 << 6), e, bits, bits - cell_bits)
    m = rng.integers(0, 1 << bits - cell_bits, 300)
    (low, _), (high, _) = (
        mapped((m + i) * 2.0 ** (cell_bits - bits), parameters, 2.0**-cell_bits) for i in (0, 1)
    )
    # Weights are rounded to 1/4096 of the largest, sigmoids linear between points.
    assert np.abs(maps.ends(m) - low * 2**bits).max() <= 1 + 2.0 ** (bits - 11)
    size = maps.ends(m + 1) - maps.ends(m)
    assert np.allclose(size, (high - low) * 2**bits, rtol=0.02, atol=2)


def test_who_maps_what_is_the_same_on_both_sides() -> None:
    assert coder.TARGETS == flowpp.TARGETS
    assert coder.NOISE_TARGETS == flowpp.NOISE_TARGETS
    assert tuple(range(coder.KEPT)) == flowpp.KEPT
    assert coder.CHANNELS == flowpp.CHANNELS
    assert all(coder.others(t) == flowpp.others(t) for t in (*flowpp.TARGETS, *flowpp.NOISE_TARGETS))
    mapped_at_all = {c for t in flowpp.TARGETS for c in t}
    assert mapped_at_all | set(flowpp.KEPT) == set(range(12))
    assert mapped_at_all.isdisjoint(flowpp.KEPT)
    assert sorted(c for t in flowpp.NOISE_TARGETS for c in t) == list(range(12))


def test_a_picture_with_no_information_costs_eight_bits() -> None:
    terms = flowpp.FlowTerms(torch.zeros(3), torch.zeros(3), 48)
    assert float(terms.bits_per_dim()) == 8
    assert float(terms.loss(free_bits=1.0)) == 8
    known = flowpp.FlowTerms(torch.full((3,), 48 * np.log(2.0)), torch.full((3,), 24 * np.log(2.0)), 48)
    assert float(known.bits_per_dim()) == pytest.approx(7.5)
    assert known.kl_bits_per_dim() == pytest.approx([0.5])


def test_a_new_flow_predicts_from_neighbours() -> None:
    torch.manual_seed(0)
    model = flowpp.FlowPP(SMALL).eval()
    with torch.no_grad():
        assert float(model(tensor(pictures(4, 32))).bits_per_dim()) < 6


# --------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("precision", ["1/1", "1/32", "32/32"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bases", [1, 2])
def test_folded_factors_are_the_convolution(precision: str, norm: str, bases: int) -> None:
    torch.manual_seed(0)
    conv = layers.BinaryConv(replace(SMALL, precision=precision, norm=norm, bases=bases))
    a = torch.randn(2, 12, 6, 6)
    a = gradients.sign(a) if precision == "1/1" else a
    with torch.no_grad():
        conv.bias.normal_()
        conv.g.mul_(torch.rand_like(conv.g) + 0.5)
        if conv.batch_norm is not None:
            conv.batch_norm.bias.normal_()
            conv.batch_norm.running_mean.normal_()
            conv.batch_norm.running_var.uniform_(0.3, 3)
        want = conv.eval()(a)
        scale, bias = conv.folded()
        kernels = conv.v if precision == "32/32" else torch.where(conv.v < 0, -1.0, 1.0)
        weight = (kernels * scale[:, :, None, None, None]).sum(0)
        padded = F.pad(a, (1, 1, 1, 1), value=1.0 if precision == "1/1" else 0.0)
        assert torch.allclose(F.conv2d(padded, weight, bias), want, atol=1e-4)


def test_norms_are_what_their_names_say() -> None:
    torch.manual_seed(0)
    binary, weight, batch_norm = (layers.BinaryConv(replace(SMALL, norm=norm)) for norm in NORMS)
    assert torch.allclose(binary.scale(), binary.g / (12 * 9) ** 0.5)
    assert torch.allclose(weight.scale(), weight.g / weight.v[0].flatten(1).norm(dim=1))
    out = batch_norm.train()(gradients.sign(torch.randn(8, 12, 8, 8)))
    assert torch.allclose(out.mean((0, 2, 3)), batch_norm.batch_norm.bias, atol=1e-4)
    assert torch.allclose(out.std((0, 2, 3)), batch_norm.batch_norm.weight, rtol=0.05)


@pytest.mark.parametrize("precision", ["1/1", "1/32", "32/32"])
@pytest.mark.parametrize("norm", NORMS)
def test_exported_networks_compute_what_the_flow_computes(precision: str, norm: str) -> None:
    model = shaken(replace(SMALL, precision=precision, norm=norm))
    program = Program(modelfile.load(export(model)).graph, "numpy")
    named = {f"noise_{i}": net for i, net in enumerate(model.noise)}
    named |= {f"coupling_{s}_{i}": net for s, nets_ in enumerate(model.scales) for i, net in enumerate(nets_)}
    assert set(program.graph.functions) == set(named)
    rng = np.random.default_rng(0)
    unit = np.array([1 / 128, 1 / 1024, 1 / 128]).repeat(2)
    off = []
    for name in ("noise_0", "noise_1", "coupling_0_0", "coupling_1_3", "coupling_1_5"):
        net = named[name]
        smooth = np.cumsum(rng.normal(0, 60, (10, 12, net.inputs)), 0)
        y = np.clip(smooth, -2048, 2047).astype(np.int16)
        got = program(name, {"y": y[None]})["params"][0] * np.tile(unit, net.targets)
        with torch.no_grad():
            want = net(tensor(y[None] / 16.0 + 128))[0].flatten(0, 2).permute(1, 2, 0).numpy()
        assert want.std() > 0.01
        off.append(np.abs(got - want).ravel())
    # Rounding may turn the sign of a stream near 0, which moves all that it feeds: compare the bulk.
    assert np.median(np.concatenate(off)) < 0.02
    assert np.mean(np.concatenate(off) > 0.2) < 0.03


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "batch"},
        {"precision": "1/32", "norm": "weight", "bases": 2},
        {"precision": "1/1", "norm": "weight", "scales": 1},
        {"precision": "32/32", "scales": 3, "mixtures": 4},
    ],
    ids=str,
)
def test_pictures_come_back_and_cost_their_bound(changes: dict[str, Any]) -> None:
    model = shaken(replace(SMALL, **changes))
    loaded = modelfile.load(export(model))
    images = pictures(16, 32, seed=3)
    codecs = chains.TileCodecs(loaded, 3, None)
    first, words, stats = chains.encode_chain(list(images), codecs)
    found = list(chains.decode_chain(first, words, [(32, 32)] * 16, codecs))[::-1]
    assert np.array_equal(found, images)
    assert first <= 8
    with torch.no_grad():
        bound = np.mean([float(model(tensor(images[first:])).bits_per_dim()) for _ in range(4)])
    # What a poor model leaves of one picture is noise for the next that is not quite uniform.
    assert stats.latent_bits / images[first:].size == pytest.approx(bound, abs=0.03)
    alone, start = 0.0, chains.random_message(32 * 32)
    for image in images[first:]:
        (end,) = codecs.latent(32, 32).push(start, image)
        alone += message_bits(end) - message_bits(start)
    assert alone / images[first:].size == pytest.approx(bound, abs=0.01)


def test_the_coder_maps_numbers_as_the_flow_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture and noise through both: noise, then every scale."""
    model = shaken(replace(SMALL, precision="32/32"))
    with torch.no_grad():  # every input counts
        for module in model.modules():
            if isinstance(module, flowpp.Conditioner):
                module.head.weight.add_(0.08 * torch.randn_like(module.head.weight))
                module.stem.weight.add_(0.05 * torch.randn_like(module.stem.weight))
    net = coder.Flowpp(modelfile.load(export(model)), "numpy")
    rng = np.random.default_rng(0)
    picture = pictures(1, 16)
    u = rng.integers(0, 1 << 12, (8, 8, 12))
    message = chains.random_message(16 * 16)
    x = layers.space_to_depth(tensor(picture))
    noise = torch.from_numpy((u + 0.5) / 4096).float().permute(2, 0, 1)[None]
    monkeypatch.setattr(torch, "rand_like", lambda like: noise)

    def close(found: np.ndarray, bits: int, wanted: list[torch.Tensor], before: np.ndarray) -> None:
        want = torch.stack(wanted, -1)[0].numpy()
        off = np.abs((found + 0.5) / 2**bits - want)
        moved = np.abs((before + 0.5) / 2**bits - want)
        assert np.median(off) < 0.004
        assert np.mean(off > 0.03) < 0.03
        assert np.mean(moved) > 10 * np.mean(off)

    with torch.no_grad():
        shaped, _ = model.dequantize(x)
        whole = x[0].permute(1, 2, 0).numpy().astype(np.int64)
        message, found = net._shape_noise(message, whole, u, forward=True)
        close(found, 12, shaped, u)
        y = whole << 12 | found
        numbers = list(torch.from_numpy((y + 0.5) / 2**20).float()[None].unbind(-1))
        for s, couplings in enumerate(model.scales):
            for conditioner, targets in zip(couplings, flowpp.TARGETS, strict=True):
                params = conditioner(256 * torch.stack([numbers[c] for c in flowpp.others(targets)], 1))
                flowpp._couple(numbers, targets, params, model.floor)
            message, after = net._scale(message, y, s, forward=True)
            mapped_now = [c for c in range(12) if c >= coder.KEPT]
            close(after[..., mapped_now], 20, [numbers[c] for c in mapped_now], y[..., mapped_now])
            assert np.array_equal(after[..., : coder.KEPT], y[..., : coder.KEPT])
            y = coder._space_to_depth(after[..., : coder.KEPT])
            kept = layers.space_to_depth(torch.stack(numbers[: coder.KEPT], 1))
            numbers = list(kept.unbind(1))


# ---------------------------------------------------------------------------------------------- configuration


def test_configurations_come_back_from_dictionaries() -> None:
    for config in (SMALL, FlowConfig(), Config(), Config(family="markov", layers=(1, 1))):
        assert config_from_dict(config.to_dict()) == config
        assert config.family in FAMILIES
    with pytest.raises(ValueError, match="layers"):
        config_from_dict(SMALL.to_dict() | {"layers": [1, 1]})
    with pytest.raises(ValueError, match="scales"):
        config_from_dict(Config().to_dict() | {"scales": 2})


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "rvae"},
        {"scales": 0},
        {"scales": 7},
        {"mixtures": 0},
        {"mixtures": 9},
        {"norm": "layer"},
        {"precision": "2/2"},
        {"bases": 0},
        {"units": -1},
        {"fraction_bits": 10},
        {"cell_bits": 5},
        {"cell_bits": 13},
        {"width": 3},
    ],
    ids=str,
)
def test_configurations_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FlowConfig(**wrong)


def test_the_narrowest_and_a_flow_without_units_are_built() -> None:
    for config in (FlowConfig(width=4, units=1, scales=1, mixtures=1), replace(SMALL, units=0)):
        assert latent.load(modelfile.load(export(build(config)))).depth == 1


# ------------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(pictures(4, 40)):
        Image.fromarray(picture).save(path / f"{i}.png")
    return path


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_training_resumes_exports_and_codes(folder: Path, tmp_path: Path, norm: str) -> None:
    shape = {"width": 8, "units": 1, "scales": 2, "mixtures": 2, "crop": 16, "batch": 4, "threads": 1}
    options = [word for name, value in shape.items() for word in (f"--{name}", str(value))]
    common = ["--data", str(folder), "--valid", f"{folder},{folder}@20", "--family", "flowpp"]
    common += ["--norm", norm, *options]
    common += ["--minutes", "9", "--lr", "0.01", "--out", str(tmp_path)]
    checkpoint = str(tmp_path / "checkpoint.pt")
    train.main([*common, "--steps", "12"])
    _, state = load_checkpoint(checkpoint)
    assert state["steps"] == 12
    assert state["config"]["norm"] == norm
    assert state["config"]["scales"] == 2
    train.main([*common, "--steps", "20", "--resume", checkpoint])
    model, later = load_checkpoint(checkpoint)
    assert later["steps"] == 20
    assert later["curve"][: len(state["curve"])] == state["curve"]
    assert isinstance(model, flowpp.FlowPP)
    assert not model.training
    if norm == "batch":
        assert later["model"]["noise.0.units.0.inner.batch_norm.num_batches_tracked"] == 20
    # It is over: nothing is left to do but to validate again.
    train.main([*common, "--steps", "20", "--resume", checkpoint])
    _, last = load_checkpoint(checkpoint)
    assert last["steps"] == 20
    assert all(torch.equal(last["model"][key], later["model"][key]) for key in later["model"])
    export_main([checkpoint, str(tmp_path / "flow.bbm"), "--data", str(folder)])
    loaded = modelfile.load_named(tmp_path / "flow.bbm")
    assert (loaded.family, loaded.notes["steps"]) == ("flowpp", 20)
    images = [*pictures(12, 20, seed=5)]
    found = batch.decode(batch.encode(images, loaded), loaded)
    assert np.array_equal(found, images)
    (chain,) = learned.encode(images[0], loaded).chains
    assert np.array_equal(learned.decode([chain], 20, 20, 3, loaded), images[0])


def test_a_few_steps_lower_the_bound() -> None:
    torch.manual_seed(0)
    model = flowpp.FlowPP(replace(SMALL, scales=1, mixtures=2)).train()
    optimizer = train.optimizer_for(model, 0.01)
    x = tensor(pictures(8, 16))
    bounds = []
    for _ in range(25):
        loss = model(x).loss(0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bounds.append(float(loss.detach()))
    assert np.mean(bounds[-3:]) < np.mean(bounds[:3]) - 0.1


def test_several_names_and_sizes_of_pictures(folder: Path) -> None:
    found = data.load(f"{folder},{folder}@24", size=None)
    assert [p.shape for p in found] == [(40, 40, 3)] * 4 + [(24, 24, 3)] * 4
    assert [p.shape for p in data.load(f"{folder},{folder}@24", size=8)] == [(8, 8, 3)] * 4 + [
        (24, 24, 3)
    ] * 4
    assert np.array_equal(data.load(f"{folder}@24"), data.load(str(folder), 24))
    with pytest.raises(FileNotFoundError):
        data.load(f"{folder},{folder / 'nothing'}")
