# SPDX-License-Identifier: Apache-2.0
"""Whole pictures with the released model of the family local: blocks, damage, the same bytes everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

import bbcodec
from bbcodec import backends, container, modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import FormatError, ModelError
from bbcodec.families import learned
from bbcodec.families.local import blocks
from bbcodec.jobs import Execution
from bbcodec.picture import raster


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Shades, an edge and noise: enough of a photograph for a codec."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 50 * np.sin(x / 31 + y / 47) + 30 * (x > y)
    tint = np.array([8.0, 0.0, -12.0])[:channels]
    noise = rng.normal(0, 3, (height, width, 1)) + rng.normal(0, 1, (height, width, channels))
    return np.clip(light[..., None] + tint + noise, 0, 255).astype(np.uint8)


def implementations() -> list[tuple[str, str | None]]:
    """Backends with another implementation of the family, and the targets of this CPU."""
    found: list[tuple[str, str | None]] = [("numpy", None)]
    found += [("numba", None)] if "numba" in backends.available() else []
    if "native" in backends.available():
        from bbcodec import _native

        found += [("native", target) for target in (None, *_native.targets())]
    return found


@pytest.fixture(params=implementations(), ids=lambda p: "-".join(filter(None, p)))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every backend; the native one with what it chooses itself and with every target by name."""
    name, target = request.param
    if name == "native":
        if target is None:
            monkeypatch.delenv("BBCODEC_TARGET", raising=False)
        else:
            monkeypatch.setenv("BBCODEC_TARGET", target)
    yield name
    monkeypatch.undo()
    backends.available()  # tells the native module what the environment says now


@pytest.fixture(scope="module")
def model() -> modelfile.Model:
    return modelfile.load_named("photo")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 24)


def size_of(payloads: list[bytes]) -> int:
    return 8 * sum(map(len, payloads))


# ---------------------------------------------------------------------------------------------- the cut


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (1023, 1),
        (1024, 1024),
        (1, 1025),
        (1025, 1),
        (2048, 1025),
        (2049, 700),
        (1500, 2047),
        (5000, 3),
        (7, 5000),
        (5000, 5000),
        (100_003, 2),
    ],
)
def test_the_cut_covers_every_pixel_once(height: int, width: int) -> None:
    places = raster.cut(height, width, blocks.BLOCK)
    assert len(places) == -(-height // 1024) * -(-width // 1024)
    times = np.zeros((height, width), np.uint8)
    for place in places:
        times[place] += 1
    assert (times == 1).all()
    for axis in range(2):
        sides = {place[axis].stop - place[axis].start for place in places}
        assert min(sides) >= 1
        assert max(sides) <= min(1024, min(sides) + 1)
    corners = [(rows.start, columns.start) for rows, columns in places]
    assert corners == sorted(corners)  # raster order


def test_the_cut_is_the_same_for_every_size_of_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    for height in range(1, 14):
        for width in range(1, 14):
            times = np.zeros((height, width), int)
            for place in raster.cut(height, width, blocks.BLOCK):
                times[place] += 1
                assert 1 <= max(times[place].shape) <= 4
            assert (times == 1).all()


def test_a_model_tells_how_long_a_block_is_at_most(model: modelfile.Model) -> None:
    data = modelfile.dump("local", {**model.config, "block": 64}, Graph({}, {}), model.tensors)
    narrow, image = modelfile.load(data), photo(70, 130, 3)
    coded = learned.encode(image, narrow)
    assert len(coded.chains) == 2 * 3
    assert np.array_equal(learned.decode(coded.chains, 70, 130, 3, narrow), image)
    with pytest.raises(FormatError, match="blocks"):
        learned.decode(coded.chains[:-1], 70, 130, 3, narrow)
    with pytest.raises(FormatError, match="blocks"):
        learned.inspect(coded.chains, 70, 130, model)


# -------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (3, 50), (40, 33), (61, 1), (1, 61)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back(model: modelfile.Model, height: int, width: int, channels: int) -> None:
    image = photo(height, width, channels)
    coded = learned.encode(image, model)
    assert len(coded.chains) == 1
    found = learned.decode(coded.chains, height, width, channels, model)
    assert found.dtype == np.uint8
    assert np.array_equal(found, image)


@pytest.mark.parametrize("content", ["noise", "black", "white", "checker"])
def test_contents_that_no_model_expects_come_back(model: modelfile.Model, content: str) -> None:
    shape = (29, 30, 3)
    image = {
        "noise": np.random.default_rng(0).integers(0, 256, shape, np.uint8),
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "checker": np.repeat(255 * (np.indices(shape[:2]).sum(0) % 2)[..., None], 3, 2).astype(np.uint8),
    }[content]
    coded = learned.encode(image, model)
    assert np.array_equal(learned.decode(coded.chains, *shape, model), image)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("shape", "count"), [((24, 24, 3), 1), ((25, 24, 3), 2), ((50, 30, 3), 6), ((3, 100, 1), 5)]
)
def test_every_block_is_a_payload_of_its_own(
    model: modelfile.Model, shape: tuple[int, int, int], count: int
) -> None:
    image = photo(*shape)
    coded = learned.encode(image, model)
    assert len(coded.chains) == coded.stats.tiles == count
    assert np.array_equal(learned.decode(coded.chains, *shape, model), image)
    for place, payload in zip(raster.cut(shape[0], shape[1], blocks.BLOCK), coded.chains, strict=True):
        part = np.ascontiguousarray(image[place])
        assert learned.encode(part, model).chains == [payload]
        assert np.array_equal(learned.decode([payload], *part.shape, model), part)


@pytest.mark.usefixtures("small_blocks")
def test_numbers_say_where_the_bits_are(model: modelfile.Model) -> None:
    coded = learned.encode(photo(50, 30), model)
    assert coded.stats.latent_bits == 0
    assert coded.stats.causal_bits + coded.stats.lost_bits == pytest.approx(size_of(coded.chains))
    assert 0 < coded.stats.lost_bits < 6 * 320


def test_a_view_of_a_picture_is_a_picture(model: modelfile.Model) -> None:
    whole = photo(40, 60)
    view = whole[3:30:2, ::-3]
    coded = learned.encode(view, model)
    assert coded.chains == learned.encode(view.copy(), model).chains
    assert np.array_equal(learned.decode(coded.chains, *view.shape, model), view)


# ------------------------------------------------------------------------------------- the same everywhere


@pytest.mark.parametrize("shape", [(14, 37, 3), (33, 11, 1)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_backend_writes_the_same_bytes_and_reads_them(
    model: modelfile.Model, backend: str, shape: tuple[int, int, int], threads: int
) -> None:
    image = photo(*shape)
    expected = learned.encode(
        image, model, execution=Execution(threads=1)
    ).chains  # the backend that is chosen by itself
    assert (
        learned.encode(image, model, execution=Execution(threads=threads, backend=backend)).chains == expected
    )
    found = learned.decode(expected, *shape, model, execution=Execution(threads=threads, backend=backend))
    assert np.array_equal(found, image)


# Enough lanes at a time that threads share them, or enough blocks that each thread has its own.
@pytest.mark.parametrize("block", [24, 1024])
def test_threads_change_nothing(
    model: modelfile.Model, monkeypatch: pytest.MonkeyPatch, backend: str, block: int
) -> None:
    if backend == "numpy":
        pytest.skip("the reference computes a block on one thread")
    monkeypatch.setattr(blocks, "BLOCK", block)
    image = photo(50, 110)
    expected = learned.encode(image, model, execution=Execution(threads=1, backend=backend)).chains
    assert len(expected) == (1 if block == 1024 else 15)
    for threads in (0, 2, 3):
        assert (
            learned.encode(image, model, execution=Execution(threads=threads, backend=backend)).chains
            == expected
        )
        found = learned.decode(
            expected, *image.shape, model, execution=Execution(threads=threads, backend=backend)
        )
        assert np.array_equal(found, image)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [1, 2])
def test_progress_counts_blocks(model: modelfile.Model, threads: int) -> None:
    image, seen = photo(50, 30), list[tuple[int, int]]()
    coded = learned.encode(
        image, model, execution=Execution(threads=threads, progress=lambda *at: seen.append(at))
    )
    assert sorted(seen)[-1] == (6, 6)
    seen.clear()
    learned.decode(
        coded.chains,
        50,
        30,
        3,
        model,
        execution=Execution(threads=threads, progress=lambda *at: seen.append(at)),
    )
    assert sorted(seen)[-1] == (6, 6)


def test_estimates_are_close_and_always_the_same(model: modelfile.Model) -> None:
    image = photo(96, 96)
    estimate = learned.estimate_bits(image, model)
    assert learned.estimate_bits(image.copy(), model) == estimate
    assert estimate == pytest.approx(size_of(learned.encode(image, model).chains), rel=0.1)


def test_estimates_do_not_depend_on_the_backend(model: modelfile.Model, backend: str) -> None:
    image = photo(11, 23)
    assert learned.estimate_bits(image, model, execution=Execution(backend=backend)) == learned.estimate_bits(
        image, model
    )


# ------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 11, 1), (7, 9, 3)], ids=str)
def test_every_truncation_is_a_format_error(model: modelfile.Model, shape: tuple[int, int, int]) -> None:
    (payload,) = learned.encode(photo(*shape), model).chains
    for cut in range(0, len(payload), 4):
        for part in (payload[:cut], payload[cut + 4 :]):
            with pytest.raises(FormatError):
                learned.decode([part], *shape, model)


def test_wrong_lengths_and_numbers_of_blocks_are_format_errors(model: modelfile.Model) -> None:
    image = photo(9, 11)
    (payload,) = learned.encode(image, model).chains
    wrong: list[list[bytes]] = [[], [payload, payload], [b""], [b"1234"], [bytes(8)], [b"\xff" * 8]]
    wrong += [[payload[:-n]] for n in (1, 2, 3)]
    wrong += [[payload + bytes(n)] for n in (1, 2, 3, 4, 8, 400)]
    wrong += [[bytes(4) + payload], [payload + payload]]
    for payloads in wrong:
        with pytest.raises(FormatError):
            learned.decode(payloads, *image.shape, model)


def test_a_payload_of_another_size_is_a_format_error(model: modelfile.Model) -> None:
    (payload,) = learned.encode(photo(9, 11), model).chains
    for shape in ((9, 10, 3), (9, 12, 3), (9, 11, 1), (1, 1, 3)):
        with pytest.raises(FormatError):
            learned.decode([payload], *shape, model)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_missing_added_or_swapped(model: modelfile.Model) -> None:
    image = photo(50, 30)
    payloads = learned.encode(image, model).chains
    for wrong in (payloads[1:], payloads[:-1], [*payloads, payloads[0]]):
        with pytest.raises(FormatError, match=f"{len(wrong)} blocks, expected 6"):
            learned.decode(wrong, *image.shape, model)
    for cut in (4, len(payloads[5]) - 4):
        with pytest.raises(FormatError):
            learned.decode([*payloads[:5], payloads[5][:cut]], *image.shape, model)


def test_a_huge_declared_size_is_refused_before_anything_is_listed(model: modelfile.Model) -> None:
    with pytest.raises(FormatError, match="0 blocks, expected"):
        learned.decode([], 1 << 40, 1 << 40, 3, model)
    with pytest.raises(FormatError, match="0 blocks, expected"):
        learned.inspect([], 1 << 40, 1 << 40, model)


@pytest.mark.parametrize("shape", [(6, 7, 1), (5, 6, 3)], ids=str)
def test_every_bit_matters(model: modelfile.Model, shape: tuple[int, int, int]) -> None:
    image = photo(*shape)
    (payload,) = learned.encode(image, model).chains
    refused = 0
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = learned.decode([bytes(damaged)], *shape, model)
        except FormatError:
            refused += 1
            continue
        assert found.shape == image.shape
        assert not np.array_equal(found, image)  # the container's checksums catch what the payload cannot
    assert refused > 0


def test_noise_for_a_payload_is_harmless(model: modelfile.Model) -> None:
    rng = np.random.default_rng(0)
    for size in (8, 12, 40, 60, 200):
        for _ in range(10):
            with pytest.raises(FormatError):
                learned.decode([rng.bytes(size)], 6, 7, 3, model)


# --------------------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize("shape", [(40, 33), (40, 33, 3), (21, 34, 4)], ids=str)
def test_files(model: modelfile.Model, shape: tuple[int, ...]) -> None:
    image = photo(*shape[:2], 3)
    if len(shape) == 2:
        image = np.ascontiguousarray(image[..., 0])
    elif shape[2] == 4:
        image = np.concatenate([image, 255 - image[..., :1]], 2)
    data = bbcodec.compress(image, method="learned", model="photo")
    assert np.array_equal(bbcodec.decompress(data), image)
    facts = bbcodec.info(data)
    assert facts.model_id == model.id
    assert not facts.model_embedded
    assert facts.learned is not None
    assert facts.learned["blocks"] == facts.learned["chains"] == 1


@pytest.mark.usefixtures("small_blocks")
def test_a_file_of_several_blocks(model: modelfile.Model) -> None:
    image = photo(50, 30)
    data = bbcodec.compress(image, method="learned", model="photo", threads=2)
    assert data == bbcodec.compress(image, method="learned", model="photo", threads=1)
    facts = bbcodec.info(data).learned
    assert facts == {"chains": 6, "blocks": 6, "initial_bits_lost": facts["initial_bits_lost"]}
    assert 0 < facts["initial_bits_lost"] <= 6 * 320
    assert np.array_equal(bbcodec.decompress(data), image)


@pytest.mark.usefixtures("small_blocks")
def test_inspect_with_and_without_the_model(model: modelfile.Model) -> None:
    payloads = learned.encode(photo(50, 30), model).chains
    facts = learned.inspect(payloads, 50, 30, model)
    assert (facts["chains"], facts["blocks"]) == (6, 6)
    assert learned.inspect(payloads, 50, 30) == {"chains": 6}
    for wrong in (payloads[1:], payloads * 2, [*payloads[1:], b"123456789"], [*payloads[1:], b"1234"]):
        with pytest.raises(FormatError):
            learned.inspect(wrong, 50, 30, model)


def test_damaged_files_give_errors_and_never_a_wrong_picture() -> None:
    data = bbcodec.compress(photo(20, 22), method="learned", model="photo")
    broken = [data[:cut] for cut in range(0, len(data), 11)]
    broken += [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(0, len(data), 5)
        for bit in (0, 7)
    ]
    for bad in broken:
        with pytest.raises(bbcodec.BBCodecError):
            bbcodec.decompress(bad)


# ------------------------------------------------------------------------------------------ unsound models


def unsound(model: modelfile.Model) -> dict[str, bytes]:
    """Files that are sound model files, but no models of the family."""

    def changed(name: str, value: int) -> dict[str, np.ndarray]:
        tensor = model.tensors[name].copy()
        tensor.flat[-1] = value
        return {**model.tensors, name: tensor}

    tensors = {
        "out_w": changed("out_w", (1 << 22) + 1),
        "out_b": changed("out_b", -(1 << 28) - 1),
        "first_m": changed("first_m", (1 << 20) + 1),
        "hidden_m": changed("hidden_m", (1 << 14) + 1),
        "missing": {name: tensor for name, tensor in model.tensors.items() if name != "hidden_b"},
    }
    files = {
        what: modelfile.dump("local", model.config, Graph({}, {}), content)
        for what, content in tensors.items()
    }
    config = {**model.config, "along": [4, 2]}
    return files | {"config": modelfile.dump("local", config, Graph({}, {}), model.tensors)}


@pytest.mark.parametrize("what", ["out_w", "out_b", "first_m", "hidden_m", "missing", "config"])
def test_an_unsound_embedded_model_is_refused(model: modelfile.Model, what: str) -> None:
    image = photo(12, 13)
    good = container.read(bbcodec.compress(image, method="learned", model="photo", embed_model=True))
    bad = unsound(model)[what]
    section = container.Section(container.MODEL, hashlib.sha256(bad).digest() + bad)
    data = container.write(good.header, [section if s.kind == container.MODEL else s for s in good.sections])
    with pytest.raises(ModelError):
        bbcodec.decompress(data)
    with pytest.raises(ModelError):
        bbcodec.compress(image, method="learned", model=modelfile.load(bad))
    facts = bbcodec.info(data)  # needs no model, hence no sound one
    assert facts.model_embedded
    assert facts.learned is not None
    assert facts.learned["chains"] == 1


def test_a_sound_model_file_of_another_name_is_used(model: modelfile.Model) -> None:
    """The way by which the unsound ones come is open."""
    other = modelfile.load(
        modelfile.dump("local", {**model.config, "rate_q": 0}, Graph({}, {}), model.tensors)
    )
    image = photo(12, 13)
    data = bbcodec.compress(image, method="learned", model=other, embed_model=True)
    assert np.array_equal(bbcodec.decompress(data), image)
