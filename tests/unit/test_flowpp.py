# SPDX-License-Identifier: Apache-2.0
"""The family `flowpp`: exact round trips of pictures of any size, and models and files that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import every_backend
import flows
import numpy as np
import pytest

import bbcodec
from bbcodec import modelfile
from bbcodec.coding import ans, codecs
from bbcodec.engine import Function, Graph, Requantise
from bbcodec.errors import FormatError, MessageUnderflow, ModelError
from bbcodec.families import batch, latent, learned
from bbcodec.families.latent import chains, flowpp, tiles
from bbcodec.jobs import Execution

SIZES = [(1, 1), (1, 9), (5, 7), (16, 16), (20, 33)]


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth shapes and noise."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 60 * np.sin(x / 11 + y / 17)[..., None]
    noise = rng.normal(0, 4, (height, width, 1)) + rng.normal(0, 2, (height, width, channels))
    return np.clip(light + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> modelfile.Model:
    return flows.model()


@pytest.fixture(params=every_backend.choices(), ids=every_backend.label)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with every_backend.chosen(request.param) as name:
        yield name


def check(model: modelfile.Model, tile: np.ndarray) -> None:
    """A tile comes back, and so does the message below it; what is popped is pushed as it was."""
    net = latent.load(model)
    rows, columns = (-(-n // net.multiple) * net.multiple for n in tile.shape[:2])
    codec, start = net.tile_codec(*tile.shape), chains.random_message(rows * columns)
    (message,) = codec.push(start, tile)
    end, back = codec.pop(message)
    assert back.dtype == np.uint8
    assert np.array_equal(back, tile)
    assert ans.message_equal(end, start)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_come_back(model: modelfile.Model, height: int, width: int, channels: int) -> None:
    check(model, photo(height, width, channels))


@pytest.mark.parametrize(
    "shape",
    [
        {"scales": 1, "mixtures": 1},
        {"scales": 3, "mixtures": 8},
        {"scales": 6, "mixtures": 1},
        {"config": {"cell_bits": 6}},
        {"config": {"cell_bits": 12}},
        {"strength": 1e5},  # parameters at the ends of int16
    ],
    ids=str,
)
def test_models_of_every_shape_bring_tiles_back(shape: dict[str, Any]) -> None:
    check(flows.model(seed=1, **shape), photo(9, 12))


@pytest.mark.parametrize("content", ["noise", "black", "white", "checker"])
def test_contents_that_no_model_expects_come_back(model: modelfile.Model, content: str) -> None:
    shape = (10, 13, 3)
    image = {
        "noise": np.random.default_rng(0).integers(0, 256, shape),
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "checker": np.broadcast_to(255 * (np.indices(shape[:2]).sum(0) % 2)[..., None], shape),
    }[content]
    check(model, image.astype(np.uint8))


def test_popping_and_pushing_again_restores_the_message(model: modelfile.Model) -> None:
    """Of a tile that needs no padding: any message can be popped, and pushed again."""
    codec = latent.load(model).tile_codec(8, 12, 3)
    start = chains.random_message(96)
    message, tile = codec.pop(start)
    assert ans.message_equal(codec.push(message, tile)[0], start)


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 3), (70, 130, 3), (130, 66, 1)])
def test_pictures_come_back(model: modelfile.Model, height: int, width: int, channels: int) -> None:
    image = photo(height, width, channels)
    coded = learned.encode(image, model, execution=Execution(threads=1))
    assert np.array_equal(learned.decode(coded.chains, height, width, channels, model), image)
    assert coded.stats.tiles == tiles.TileGrid(height, width).tiles


def test_threads_change_nothing(model: modelfile.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CHAIN_TILES", 6)
    monkeypatch.setattr(tiles, "TILE", 8)
    image = photo(22, 30)
    one, two = (learned.encode(image, model, execution=Execution(threads=n)).chains for n in (1, 2))
    assert len(one) == 2
    assert one == two
    assert np.array_equal(learned.decode(one, *image.shape, model, execution=Execution(threads=2)), image)


def test_noise_is_paid_by_the_first_tiles_and_comes_back(
    model: modelfile.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE", 16)
    coded = learned.encode(photo(96, 96), model)
    assert 1 < coded.stats.causal_tiles < coded.stats.tiles == 36
    told = coded.stats.causal_bits + coded.stats.latent_bits + coded.stats.lost_bits
    assert 8 * sum(map(len, coded.chains)) - 16 == pytest.approx(told)
    assert coded.stats.lost_bits < 600


@pytest.mark.parametrize(("height", "width", "channels"), [(20, 33, 3), (5, 7, 1)])
def test_every_backend_pushes_the_same_words_and_pops_them(
    model: modelfile.Model, backend: str, height: int, width: int, channels: int
) -> None:
    tile, start = photo(height, width, channels), chains.random_message(height * width)
    (wanted,) = latent.load(model, "numpy").tile_codec(height, width, channels).push(start, tile)
    codec = latent.load(model, backend).tile_codec(height, width, channels)
    assert ans.message_equal(codec.push(start, tile)[0], wanted)
    end, found = codec.pop(wanted)
    assert np.array_equal(found, tile)
    assert ans.message_equal(end, start)


def test_backends_write_the_same_files(model: modelfile.Model, backend: str) -> None:
    images = [photo(9, 7, seed=i) for i in range(12)]
    wanted = batch.encode(images, model, execution=Execution(backend="numpy"))
    assert batch.encode(images, model, execution=Execution(backend=backend)) == wanted
    found = batch.decode(wanted, model, execution=Execution(backend=backend))
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))
    image = photo(70, 20)
    (chain,) = learned.encode(image, model, execution=Execution(backend="numpy")).chains
    assert learned.encode(image, model, execution=Execution(backend=backend)).chains == [chain]


def test_a_flow_without_a_say_costs_eight_bits_a_sample() -> None:
    """Maps that are the identity: the numbers pushed are uniform, and the noise comes back whole."""
    made, tensors = flows.parts(scales=2, mixtures=1)
    tensors = {
        name: np.zeros_like(t) if name.endswith(("head_mul", "head_add")) else t
        for name, t in tensors.items()
    }
    for name, tensor in tensors.items():
        if name.endswith("head_add"):  # means in the middle, the largest scales
            tensor.reshape(-1, 3)[:, 2] = 32767 << 9
    content = flows.CONFIG | {"mixtures": 1}
    model = modelfile.load(modelfile.dump("flowpp", content, Graph(made, tensors)))
    tile, start = photo(16, 16), chains.random_message(256)
    (end,) = latent.load(model).tile_codec(16, 16, 3).push(start, tile)
    cost = (codecs.message_bits(end) - codecs.message_bits(start)) / tile.size
    # A logistic of scale 235 cut to 256 levels is within 8 % of uniform, whatever the values.
    assert cost == pytest.approx(8, abs=0.1)
    assert chains.estimate_bits(tile, chains.TileCodecs(model, 3, None)) / tile.size == pytest.approx(
        cost, abs=0.5
    )


def test_the_noise_of_a_tile_is_counted(model: modelfile.Model) -> None:
    net = latent.load(model)
    assert (net.multiple, net.depth) == (4, 1)
    for height, width in ((1, 1), (5, 7), (8, 12)):
        padded = -(-height // 4) * 4 * -(-width // 4) * 4
        assert net.latent_counts(height, width) == [3 * padded]


def test_an_empty_message_has_no_noise(model: modelfile.Model) -> None:
    codec = latent.load(model).tile_codec(4, 4, 3)
    with pytest.raises(MessageUnderflow):
        codec.push(ans.base_message(8), photo(4, 4))
    with pytest.raises(MessageUnderflow):
        codec.pop(ans.base_message(8))


@pytest.mark.parametrize("name", ["scales", "mixtures", "fraction_bits", "cell_bits"])
@pytest.mark.parametrize("value", [0, -1, 100, True, 2.0, "2", None, [2], 1 << 70])
def test_numbers_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"{name} is"):
        latent.load(flows.model(config={name: value}))


@pytest.mark.parametrize(
    ("name", "value"), [("scales", 7), ("mixtures", 9), ("fraction_bits", 11), ("fraction_bits", 13),
                        ("cell_bits", 5), ("cell_bits", 13)]
)  # fmt: skip
def test_numbers_just_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ModelError, match=f"{name} is"):
        latent.load(flows.model(config={name: value}))


@pytest.mark.parametrize("missing", ["noise_0", "noise_1", "coupling_0_0", "coupling_1_5", "coupling_0_3"])
def test_missing_functions_are_refused(missing: str) -> None:
    with pytest.raises(ModelError, match=f"{missing}' is missing"):
        latent.load(flows.model(without=(missing,)))


@pytest.mark.parametrize("config", [{"scales": 3}, {"mixtures": 2}, {"mixtures": 4}])
def test_numbers_that_do_not_fit_the_functions_are_refused(config: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"is missing|is not a stream"):
        latent.load(flows.model(config=config))


def test_functions_with_other_channels_or_ranges_are_refused() -> None:
    functions, _ = flows.parts()
    right = functions["coupling_0_3"]
    port = right.inputs[0]
    *others, last = right.ops
    assert isinstance(last, Requantise)
    for wrong, message in (
        (functions["coupling_0_1"], "does not accept 11 channels"),
        (replace(right, inputs=(replace(port, hi=2046),)), "does not accept"),
        (replace(right, inputs=(replace(port, lo=-2047),)), "does not accept"),
        (Function((replace(port, name="h"),), (), ("h",)), "expected"),
        (replace(right, ops=(*others, replace(last, out="next")), outputs=("next",)), "expected"),
        (replace(right, outputs=("params", "h")), "expected"),
    ):
        with pytest.raises(ModelError, match=message):
            latent.load(flows.model(functions={"coupling_0_3": wrong}))


def test_a_model_without_scales_of_first_tiles_is_a_format_error() -> None:
    bare = flows.model(without=("causal_e",))
    assert isinstance(latent.load(bare), flowpp.Flowpp)
    with pytest.raises(FormatError, match="causal_e"):
        learned.encode(photo(4, 4), bare)
    with pytest.raises(FormatError, match="causal_e"):
        batch.encode([photo(4, 4)], bare)


def test_damaged_payloads_are_errors_or_other_pictures(
    model: modelfile.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE", 8)
    image = photo(40, 32)
    coded = learned.encode(image, model)
    (chain,) = coded.chains
    assert coded.stats.causal_tiles < coded.stats.tiles
    for bad in ([], [chain, chain], [b""], [chain[:1]], [b"\0\0" + chain[2:]], [b"\xff\xff" + chain[2:]]):
        with pytest.raises(FormatError):
            learned.decode(bad, *image.shape, model)
    for cut in range(2, len(chain), len(chain) // 7):
        with pytest.raises(FormatError):
            learned.decode([chain[:cut]], *image.shape, model)
    rng = np.random.default_rng(0)
    for position in [0, 1, *rng.integers(2, len(chain), 12)]:
        damaged = bytearray(chain)
        damaged[position] ^= 1 << int(rng.integers(4))
        try:
            found = learned.decode([bytes(damaged)], *image.shape, model)
        except FormatError:
            continue
        assert not np.array_equal(found, image)


def test_words_of_no_message_are_errors_or_pictures(model: modelfile.Model) -> None:
    """Whoever knows the checksums may write anything."""
    rng = np.random.default_rng(0)
    for first in (1, 2, 5):
        words = rng.integers(1 << 32, size=4000, dtype=np.uint32)
        with pytest.raises(FormatError):
            learned.decode([first.to_bytes(2, "little") + words.tobytes()], 64, 64 * 5, 3, model)


def test_files_carry_their_model_and_tell_about_it(model: modelfile.Model, tmp_path: Path) -> None:
    made, tensors = flows.parts()
    path = tmp_path / "flow.bbm"
    path.write_bytes(modelfile.dump("flowpp", flows.CONFIG, Graph(made, tensors)))
    assert modelfile.load_named(path) == model
    image = photo(130, 70)
    data = bbcodec.compress(image, method="learned", model=path, embed_model=True)
    assert np.array_equal(bbcodec.decompress(data), image)
    report = bbcodec.info(data)
    assert (report.method, report.model_id, report.model_embedded) == ("learned", model.id, True)
    assert report.learned is not None
    facts = learned.inspect(learned.encode(image, model).chains, 130, 70, model)
    assert report.learned == facts
    assert facts["tiles"] == 6
    assert facts["tiles"] == facts["causal_tiles"] + facts["latent_tiles"]
    bare = bbcodec.compress(image, method="learned", model=path)
    with pytest.raises(bbcodec.ModelMissingError, match=model.id[:16]):
        bbcodec.decompress(bare)


def test_inspect_counts_the_noise(model: modelfile.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 16)
    image = photo(90, 50)
    coded = learned.encode(image, model)
    facts = learned.inspect(coded.chains, 90, 50, model)
    assert facts["causal_tiles"] == coded.stats.causal_tiles
    span = tiles.TileGrid(90, 50).chain(0)[coded.stats.causal_tiles :]
    padded = sum(-(-t.height // 4) * 4 * -(-t.width // 4) * 4 for t in span)
    assert padded > 0
    assert facts["latents"] == [3 * padded]
