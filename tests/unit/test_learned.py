# SPDX-License-Identifier: Apache-2.0
"""The learned path: exact round trips, and the same bytes from every backend, target and thread count."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import every_backend
import numpy as np
import pytest

import bbcodec
from bbcodec import backends, modelfile
from bbcodec.coding import ans
from bbcodec.coding.bits_back import initial_bits
from bbcodec.coding.codecs import Codec
from bbcodec.errors import FormatError
from bbcodec.families import latent, learned
from bbcodec.families.latent import causal, chains, tiles
from bbcodec.jobs import Execution

MODELS = ("rvae", "markov")


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth shapes, an edge and noise: enough of a photograph for a codec."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 50 * np.sin(x / 31 + y / 47) + 30 * (x > y)
    tint = np.array([8.0, 0.0, -12.0])[:channels]
    noise = rng.normal(0, 3, (height, width, 1)) + rng.normal(0, 1, (height, width, channels))
    return np.clip(light[..., None] + tint + noise, 0, 255).astype(np.uint8)


@pytest.fixture(params=every_backend.choices(), ids=every_backend.label)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every backend, and the native one with every target of this CPU."""
    with every_backend.chosen(request.param) as name:
        yield name


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> modelfile.Model:
    return modelfile.load_named(request.param)


def test_native_backend_is_there() -> None:
    assert "native" in backends.available()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (70, 1), (3, 5), (63, 65), (130, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back(model: modelfile.Model, height: int, width: int, channels: int) -> None:
    image = photo(height, width, channels)
    coded = learned.encode(image, model)
    assert np.array_equal(learned.decode(coded.chains, height, width, channels, model), image)


@pytest.mark.parametrize("content", ["noise", "black", "white", "checker"])
def test_contents_that_no_model_expects_come_back(model: modelfile.Model, content: str) -> None:
    shape = (130, 140, 3)
    image = {
        "noise": np.random.default_rng(0).integers(0, 256, shape, np.uint8),
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "checker": np.broadcast_to(255 * (np.indices(shape[:2]).sum(0) % 2)[..., None], shape).astype(
            np.uint8
        ),
    }[content]
    coded = learned.encode(image, model)
    assert np.array_equal(learned.decode(coded.chains, *shape, model), image)


def test_every_backend_writes_the_same_bytes_and_reads_them(model: modelfile.Model, backend: str) -> None:
    image = photo(100, 230)
    reference = learned.encode(image, model, execution=Execution(backend="native")).chains
    assert learned.encode(image, model, execution=Execution(backend=backend)).chains == reference
    assert np.array_equal(
        learned.decode(reference, *image.shape, model, execution=Execution(backend=backend)), image
    )


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CHAIN_TILES", 5)
    model, image = modelfile.load_named("rvae"), photo(200, 300)
    one, two = (learned.encode(image, model, execution=Execution(threads=n)).chains for n in (1, 2))
    assert len(one) == 4
    assert one == two
    assert np.array_equal(learned.decode(one, *image.shape, model, execution=Execution(threads=2)), image)


def test_chains_cover_every_tile_once_and_stay_short() -> None:
    for height, width in ((1, 1), (64, 64), (65, 64), (1000, 3000), (64, 100_000)):
        grid = tiles.TileGrid(height, width)
        chains = [grid.chain(i) for i in range(grid.chains)]
        assert max(map(len, chains)) <= tiles.CHAIN_TILES
        assert sum(t.height * t.width for chain in chains for t in chain) == height * width
        for i, chain in enumerate(chains):
            for first in (0, 1, len(chain)):
                sizes = Counter((t.height, t.width) for t in chain[first:])
                told: Counter[tuple[int, int]] = Counter()
                for h, w, n in grid.sizes(grid.span(i)[first:]):
                    told[h, w] += n
                assert +told == sizes


def test_latents_pay_back_what_they_borrow(model: modelfile.Model) -> None:
    coded = learned.encode(photo(192, 256), model)
    assert 1 <= coded.stats.causal_tiles < coded.stats.tiles == 12
    bits = 8 * sum(map(len, coded.chains))
    told = coded.stats.causal_bits + coded.stats.latent_bits + coded.stats.lost_bits
    assert bits - 16 == pytest.approx(told)  # two bytes say how many tiles are causal
    assert coded.stats.lost_bits < 600


def test_bit_swap_starts_with_fewer_bits_than_bb_ans() -> None:
    net = latent.load(modelfile.load_named("markov"))
    assert isinstance(net, latent.Markov)
    tile = photo(64, 64)
    swap, plain = (initial_bits(net.tile_codec(64, 64, 3, interleave=i), tile) for i in (True, False))
    assert swap < 0.9 * plain


def test_a_tile_codec_leaves_the_message_as_it_was(model: modelfile.Model) -> None:
    start = chains.random_message(64 * 64)
    tile = photo(40, 64)
    codec = latent.load(model).tile_codec(40, 64, 3)
    (message,) = codec.push(start, tile)
    end, back = codec.pop(message)
    assert np.array_equal(back, tile)
    assert ans.message_equal(end, start)


def whitening(model: modelfile.Model) -> modelfile.Model:
    """The same network with heads that are whitened."""
    return dataclasses.replace(model, config={**model.config, "whiten": True})


def test_whitened_heads_pay_and_come_back(model: modelfile.Model) -> None:
    pictures = [photo(64, 64, seed=i) for i in range(30)]
    bits = []
    for net in (model, whitening(model)):
        codecs = chains.TileCodecs(net, 3, None)
        first, words, stats = chains.encode_chain(pictures, codecs)
        shapes = [picture.shape[:2] for picture in pictures]
        back = list(chains.decode_chain(first, words, shapes, codecs))[::-1]
        assert all(map(np.array_equal, back, pictures))
        bits.append(stats.latent_bits / (len(pictures) - first))
    if model.family == "rvae":  # chains of latents lose less
        assert bits[1] < bits[0]


def test_whitening_keeps_heads_in_their_range_and_is_undone() -> None:
    nothing = Codec(lambda m, x: (m,), lambda m: (m, None))
    span = (ans.UPPER - 1 - ans.LOWER) // (chains.LATENT_LANES - 1)
    head = np.array([ans.LOWER + i * span for i in range(chains.LATENT_LANES)], np.uint64)
    start = (head, (np.arange(3, dtype=np.uint32), ()))
    ((changed, tail),) = chains.whitened(nothing).push(start, None)
    assert ((changed >= ans.LOWER) & (changed < ans.UPPER)).all()
    assert np.mean(changed != head) > 0.99
    assert tail == start[1]
    assert ans.message_equal(chains.whitened(nothing).pop((changed, tail))[0], start)
    # Of 16 bits of all lanes every sixteenth has its share, give or take two.
    spread = np.bincount((changed ^ head).astype(np.int64) % 65536 >> 12, minlength=16)
    assert spread.min() >= 13
    assert spread.max() <= 19


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 3), (1, 9, 1), (17, 1, 3), (20, 33, 3)])
def test_causal_codec_inverts(backend: str, height: int, width: int, channels: int) -> None:
    tile = photo(height, width, channels)
    codec = causal.tile_codec(height, width, channels, causal.default_scales(), backend)
    start = ans.base_message(8)
    (message,) = codec.push(start, tile)
    end, back = codec.pop(message)
    assert np.array_equal(back, tile)
    assert ans.message_equal(end, start)


def test_fitted_causal_scales_beat_the_default_ones() -> None:
    pictures = [photo(64, 64, seed=i) for i in range(3)]
    fitted = causal.fit_scales(pictures)
    tile = photo(64, 64, seed=9)
    sizes = []
    for scales in (fitted, causal.default_scales()):
        (message,) = causal.tile_codec(64, 64, 3, scales).push(ans.base_message(8), tile)
        sizes.append(len(ans.flatten(message)))
    assert sizes[0] < sizes[1]


def test_damaged_payloads_are_format_errors(model: modelfile.Model) -> None:
    image = photo(100, 140)
    (chain,) = learned.encode(image, model).chains
    shape = image.shape
    for bad in (
        [],
        [chain, chain],
        [chain[:1]],
        [chain[:11]],
        [b""],
        [b"\x00\x00" + chain[2:]],
        [b"\xff\xff" + chain[2:]],
    ):
        with pytest.raises(FormatError):
            learned.decode(bad, *shape, model)
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(chain), 12):
        damaged = bytearray(chain)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            found = learned.decode([bytes(damaged)], *shape, model)
        except FormatError:
            continue
        assert not np.array_equal(found, image)  # the container's checksums catch what the chain alone cannot
    for cut in range(2, len(chain), len(chain) // 7):
        with pytest.raises(FormatError):
            learned.decode([chain[:cut]], *shape, model)


def test_progress_counts_tiles() -> None:
    seen: list[tuple[int, int]] = []
    image = photo(130, 130)
    learned.encode(
        image,
        modelfile.load_named("markov"),
        execution=Execution(progress=lambda done, total: seen.append((done, total))),
    )
    assert seen[-1] == (9, 9)


def test_inspect_needs_no_model() -> None:
    image = photo(130, 200)
    coded = learned.encode(image, modelfile.load_named("rvae"))
    facts = tiles.inspect(coded.chains, 130, 200)
    assert facts["tiles"] == 12
    assert facts["causal_tiles"] == coded.stats.causal_tiles
    assert "latents" not in facts


def test_inspect_counts_latents_with_the_model() -> None:
    model = modelfile.load_named("markov")
    image = photo(130, 200)
    chains = learned.encode(image, model).chains
    counts = learned.inspect(chains, 130, 200, model)["latents"]
    causal_tiles = tiles.inspect(chains, 130, 200)["causal_tiles"]
    finest = 0
    for tile in tiles.TileGrid(130, 200).chain(0)[causal_tiles:]:
        rows, columns = (-(-n // 8) * 8 // 2 for n in (tile.height, tile.width))
        finest += rows * columns * 12
    assert counts[0] == finest
    assert len(counts) == 3


def test_files_are_the_same_from_every_backend(backend: str) -> None:
    image = photo(70, 130)
    data = bbcodec.compress(image, method="learned", backend=backend, threads=2)
    assert data == bbcodec.compress(image, method="learned", backend="native", threads=1)
    assert np.array_equal(bbcodec.decompress(data, backend=backend), image)


def test_a_huge_declared_size_is_refused_before_anything_is_listed() -> None:
    for call in (tiles.inspect, lambda *a: learned.decode(*a, 3, modelfile.load_named("rvae"))):
        with pytest.raises(FormatError, match="0 chains, expected"):
            call([], 1 << 40, 1 << 40)


def test_inspect_refuses_a_wrong_number_of_chains() -> None:
    coded = learned.encode(photo(130, 200), modelfile.load_named("rvae"))
    with pytest.raises(FormatError):
        tiles.inspect(coded.chains * 2, 130, 200)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "L16", "RGB16", "RGBA16"])
@pytest.mark.parametrize("size", [(1, 1), (257, 130)], ids=str)
def test_every_mode_goes_through_the_model(mode: str, size: tuple[int, int]) -> None:
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode.removesuffix("16")]
    colour = photo(*size, channels=3, seed=4)
    image = np.concatenate([colour, 255 - colour[..., :1]], axis=2)[
        ..., [0, 3] if channels == 2 else range(channels)
    ]
    if mode.endswith("16"):
        noise = np.random.default_rng(1).integers(0, 64, image.shape, np.uint16)
        image = (image.astype(np.uint16) << 8) + noise
    image = np.ascontiguousarray(image[..., 0] if channels == 1 else image)
    data = bbcodec.compress(image, method="learned", model="markov")
    assert np.array_equal(bbcodec.decompress(data), image)
    assert bbcodec.info(data).model_id == modelfile.load_named("markov").id


def test_damaged_files_give_errors_and_never_a_wrong_picture() -> None:
    data = bbcodec.compress(photo(70, 90), method="learned", model="markov")
    broken = [data[:cut] for cut in range(0, len(data), 37)]
    broken += [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(110) for bit in (0, 5)
    ]
    for bad in broken:
        with pytest.raises(bbcodec.BBCodecError):
            bbcodec.decompress(bad)


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    model = modelfile.load_named("rvae")
    other = tmp_path / "other.bbm"
    notes = {"copy": "of rvae"}
    other.write_bytes(modelfile.dump(model.family, model.config, model.graph, notes=notes))
    image = photo(66, 66)
    data = bbcodec.compress(image, method="learned", model=other)
    with pytest.raises(bbcodec.ModelMissingError, match=modelfile.load_named(other).id[:16]):
        bbcodec.decompress(data)
    embedded = bbcodec.compress(image, method="learned", model=other, embed_model=True)
    assert np.array_equal(bbcodec.decompress(embedded), image)
