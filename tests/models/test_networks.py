# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side: layers of the recipe, and networks whose exported integer graphs compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from bbcodec.jobs import Execution

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from bbcodec.models import gradients  # noqa: E402
from bbcodec.models.config import Config, config_from_dict  # noqa: E402
from bbcodec.models.latent import layers, outputs  # noqa: E402
from bbcodec.models.latent.checkpoint import build  # noqa: E402
from bbcodec.models.latent.export import export, residual_sizes  # noqa: E402
from bbcodec.models.latent.graph_builder import GraphBuilder  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.engine import Graph, Program, bits  # noqa: E402
from bbcodec.families import latent  # noqa: E402

SMALL = {"width": 16, "latents": 12, "units": 1}


def small(family: str = "rvae", **changes: object) -> Config:
    depth = {"layers": (1, 1)}
    return config_from_dict(Config(family=family, **(SMALL | depth | changes)).to_dict())


def shaken(config: Config, seed: int = 0) -> torch.nn.Module:
    """A network whose parameters all matter: initial values plus noise."""
    torch.manual_seed(seed)
    model = build(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.003 if "weight" in name else 0.03
            p.add_(torch.randn_like(p) * scale)
    return model.eval()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    base = 128 + 60 * np.sin(x / 9)[..., None] + 40 * np.cos(y / 7)[..., None]
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def test_sign_of_zero_is_plus_one_and_the_gradient_is_gated() -> None:
    a = torch.tensor([-1.5, -0.5, -0.0, 0.0, 0.5, 1.5], requires_grad=True)
    out = gradients.sign(a)
    out.sum().backward()
    assert out.tolist() == [-1, -1, 1, 1, 1, 1]
    assert a.grad is not None
    assert a.grad.tolist() == [0, 1, 1, 1, 1, 0]


def test_binary_weights_take_one_value_and_its_negative_per_channel_and_basis() -> None:
    conv = layers.BinaryConv(small())
    w = conv.weight().detach()
    magnitude = (conv.g[0] / conv.fan_in**0.5).detach()
    assert torch.allclose(w.abs(), magnitude[:, None, None, None].expand_as(w))
    two = layers.BinaryConv(small(bases=2)).weight().detach()
    assert len(np.unique(two[0].abs().numpy().round(7))) == 2


def test_stochastic_binarization_draws_anew_in_training_and_once_for_use() -> None:
    conv = layers.BinaryConv(small(stochastic=True))
    with torch.no_grad():
        conv.v.fill_(0.2)  # P(+1) = 0.6
    for mode, alike in (("train", False), ("eval", True)):
        one, two = (getattr(conv, mode)().weight() > 0 for _ in range(2))
        assert 0.5 < one.float().mean() < 0.7
        assert torch.equal(one, two) == alike
    kept = conv.signs()
    with torch.no_grad():
        conv.v[0, 0, 0] -= 0.1  # other weights, another draw
    assert not torch.equal(conv.signs(), kept)


def test_clip_keeps_real_weights_within_bounds() -> None:
    conv = layers.BinaryConv(small(clip=0.5))
    with torch.no_grad():
        conv.v.fill_(3.0)
    conv.clip_weights()
    assert conv.v.max() == 0.5


def test_space_to_depth_is_the_engines() -> None:
    from bbcodec.engine import reference

    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    ours = layers.space_to_depth(x).permute(0, 2, 3, 1).numpy()
    theirs = reference.space_to_depth(x.permute(0, 2, 3, 1).numpy().astype(np.int16))
    assert (ours == theirs).all()
    assert (layers.depth_to_space(layers.space_to_depth(x)) == x).all()


def test_an_exported_gate_is_the_float_gate() -> None:
    builder = GraphBuilder()
    with builder.function("f", h=2, g=2) as b:
        b.output("gate", b.sigmoid("g"))
        b.output("gated", b.mul("h", b.sigmoid("g")))
        b.output("small", b.mul("h", "g", 12, 100))
    assert sum(name == "sigmoid" for name in builder.tensors) == len(builder.tensors) == 1
    side = np.r_[-7936:7937:97, -2100:2101:7]
    h, g = (np.stack([a, a[::-1]], -1)[None].astype(np.int16) for a in np.meshgrid(side, side[::3]))
    found = Program(Graph(builder.functions, builder.tensors))("f", {"h": h, "g": g})
    gate = 1 / (1 + np.exp(-g / 256))
    assert (found["gate"].min(), found["gate"].max()) == (0, 256)
    assert (found["gate"][g == 0] == 128).all()
    assert np.abs(found["gate"] - 256 * gate).max() <= 0.5
    # Half a step of the gate, times up to 31, and half a step of the result.
    assert (np.abs(found["gated"] - h * gate) <= 0.5 + np.abs(h / 256) / 2).all()
    exact = np.clip(h.astype(float) * g / 4096, -100, 100)
    assert np.abs(found["small"] - exact).max() <= 0.5


def test_pixel_probabilities_sum_to_one() -> None:
    values = torch.arange(256.0)
    x = torch.full((256, 3, 1, 1), 77.0)
    params = torch.randn(1, 9, 1, 1, generator=torch.Generator().manual_seed(1)).expand(256, -1, -1, -1)
    for channel, index in ((1, 0), (0, 1), (2, 2)):  # G comes first in the result
        varied = x.clone()
        varied[:, channel, 0, 0] = values
        log_p = outputs.pixel_log_likelihood(varied, params)[:, index, 0, 0]
        assert float(log_p.double().exp().sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("precision", ["1/1", "1/32", "32/32"])
@pytest.mark.parametrize(("bases", "norm"), [(1, "binary"), (2, "binary"), (1, "weight"), (2, "batch")])
def test_exported_rvae_computes_what_the_network_computes(precision: str, bases: int, norm: str) -> None:
    model = shaken(small(precision=precision, bases=bases, norm=norm))
    if norm == "batch":  # running statistics that are not the first ones
        x = torch.from_numpy(picture(32, 32, seed=1).astype(np.float32)).permute(2, 0, 1)[None]
        for _ in range(5):
            model.train()(x)
        model.eval()
    loaded = modelfile.load(export(model))
    program = Program(loaded.graph, "numpy")
    tile = picture(32, 48)
    x = torch.from_numpy(tile.astype(np.float32)).permute(2, 0, 1)[None]
    features = model.features(x)
    exact = program("bottom_up", {"x": latent.pixels.network_input(tile, model.multiple)})
    for i, feature in enumerate(features):
        z = feature.shape[1] // 2
        got = exact[f"feature_{i}"][0].astype(float) * np.repeat([1 / 512, 1 / 128], z)
        want = feature[0].permute(1, 2, 0).detach().numpy()
        # Rounding may turn the sign of a stream that is almost 0, which moves all that it feeds: compare the
        # bulk.
        assert np.median(np.abs(got - want)) < 0.03
        assert np.mean(np.abs(got - want) > 0.25) < 0.05


@pytest.mark.parametrize("family", ["rvae", "markov"])
def test_latent_tiles_come_back_and_cost_their_elbo(family: str) -> None:
    from bbcodec.families import learned

    model = shaken(small(family))
    loaded = modelfile.load(export(model))
    tile = picture(64, 64)
    coded = learned.estimate_bits(tile, loaded, execution=Execution(backend="numpy"))
    x = torch.from_numpy(tile.astype(np.float32)).permute(2, 0, 1)[None]
    torch.manual_seed(0)
    with torch.no_grad():
        elbo = np.mean([float(model(x).bits_per_dim()) for _ in range(8)]) * tile.size
    assert coded == pytest.approx(elbo, rel=0.02)


def test_residual_kernels_are_packed_to_one_bit_a_weight() -> None:
    model = shaken(small())
    loaded = modelfile.load(export(model))
    packed = [t for t in loaded.tensors.values() if t.dtype == np.uint64]
    sizes = residual_sizes(model)
    assert (
        sum(t.shape[0] * t.shape[1] * t.shape[2] * 16 for t in packed) == sizes["binary"]
    )  # 16 channels a word
    assert all(t.shape[3] == bits.words(16) for t in packed)


def test_no_residual_model_has_no_binary_kernels() -> None:
    loaded = modelfile.load(export(shaken(small(units=0))))
    assert not [t for t in loaded.tensors.values() if t.dtype == np.uint64]


def test_configurations_that_make_no_sense_are_refused() -> None:
    for wrong in ({"precision": "2/2"}, {"family": "flow"}, {"width": 0}):
        with pytest.raises(ValueError, match=r"must be one of|12, the number of Haar"):
            Config(**wrong)
    with pytest.raises(ValueError, match="one latent layer per scale"):
        Config(family="markov", layers=(2, 1))
    with pytest.raises(ValueError, match="unknown"):
        config_from_dict(Config().to_dict() | {"depth": 3})


def test_pixel_means_keep_a_fraction_of_a_level() -> None:
    """A smooth picture needs its means to a tenth of a level; one int8 plane of weights would not do."""
    model = shaken(small(units=0))
    h = torch.empty(1, 16, 8, 8).uniform_(-2, 2, generator=torch.Generator().manual_seed(2))
    h = (h * 256).round() / 256
    want = model.head(h)[0, :3].permute(1, 2, 0).detach().numpy() * 16
    stream = (h * 256).permute(0, 2, 3, 1).numpy().astype(np.int16)
    program = Program(modelfile.load(export(model)).graph, "numpy")
    got = program("likelihood", {"h": stream})["params"][0, :, :, :3] / 64
    assert np.abs(got - want).max() < 0.1
