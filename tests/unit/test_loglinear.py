# SPDX-License-Identifier: Apache-2.0
"""The family loglinear: round trips, all implementations alike, damage, models, tables, gains."""

from __future__ import annotations

import importlib.util
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from bbcodec.models.loglinear.build import CONTEXTS, DIRECT, HASHED, build
from loglinear_cases import changed, random_model, small_model

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import BBCodecError, FormatError, ModelError
from bbcodec.families import batch, learned
from bbcodec.families.family import family_of
from bbcodec.families.loglinear import codec, reference, scalar, tables
from bbcodec.families.loglinear.model import LogLinearModel, loglinear_model
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

BACKENDS = ["numpy"]
if importlib.util.find_spec("numba"):
    BACKENDS.append("numba")
if importlib.util.find_spec("bbcodec._native"):
    BACKENDS.append("native")


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


def smooth(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 120 + 60 * np.sin(x / 9 + seed)[..., None] * np.cos(y / 7)[..., None]
    return np.clip(light + rng.normal(0, 5, (height, width, channels)), 0, 255).astype(np.uint8)


def noise(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)


def jumps(height: int, width: int, channels: int) -> np.ndarray:
    """Values at the ends of the range, side by side: every kind of decision."""
    return np.random.default_rng(2).choice(
        np.array([0, 1, 127, 254, 255], np.uint8), (height, width, channels)
    )


def traced(height: int, width: int) -> np.ndarray:
    """RGB made from luma and chroma of 8 bits: few of the triples occur."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    luma = np.round(120 + 50 * np.sin(x / 11) * np.cos(y / 13) + rng.normal(0, 6, (height, width)))
    cb, cr = (np.round(12 * np.sin(x / a) + 9 * np.cos(y / b)) for a, b in ((17, 23), (29, 19)))
    rgb = np.stack([luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb], -1)
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


PICTURES = {
    "smooth": smooth(9, 14, 3),
    "gray": smooth(10, 11, 1),
    "noise": noise(5, 8, 3),
    "jumps": jumps(6, 9, 3),
    "gray jumps": jumps(8, 8, 1),
    "one pixel": noise(1, 1, 3),
    "one row": smooth(1, 40, 3),
    "one column": smooth(25, 1, 3),
    "white": np.full((6, 7, 3), 255, np.uint8),
}

# ------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PICTURES)
def test_every_implementation_gives_the_same_payload_and_the_picture(
    name: str, backend: str, model: Model
) -> None:
    image, family = PICTURES[name], family_of(model)
    expected = family.encode(image, model, Execution(1, "numpy")).chains
    assert family.encode(image, model, Execution(1, backend)).chains == expected
    found = family.decode(expected, *image.shape, model, Execution(1, backend))
    assert np.array_equal(found, image)


@pytest.mark.skipif("native" not in BACKENDS, reason="the C++ module is missing")
@pytest.mark.parametrize("contexts", [8, 12, 16, 24, 32])
def test_models_of_all_sizes(contexts: int, model: Model) -> None:
    own = loglinear_model(model)
    repeats = -(-contexts // own.contexts)
    terms = np.concatenate([own.terms] * repeats, axis=1)[:, :contexts].copy()
    direct = np.concatenate([own.direct] * repeats, axis=1)[:, :contexts].copy()
    mix = np.concatenate([own.mix] * repeats, axis=2)[:, :, :contexts].copy()
    sized = changed(model, contexts=contexts, terms=terms, direct=direct, mix=mix, skip=4 + contexts // 4)
    family, image = family_of(sized), smooth(12, 17, 3)
    chains = family.encode(image, sized, Execution(1, "native")).chains
    assert chains == family.encode(image, sized, Execution(1, "numpy")).chains
    assert np.array_equal(family.decode(chains, *image.shape, sized, Execution(1, "native")), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_terms(channels: int) -> None:
    model, image = random_model(16, skip=20, mix_shift=6, table_bits=12, block=64), smooth(70, 11, channels)
    family = family_of(model)
    chains = family.encode(image, model, Execution(1, "numpy")).chains
    assert len(chains) == 2
    for backend in BACKENDS[1:]:
        assert family.encode(image, model, Execution(1, backend)).chains == chains
        assert np.array_equal(family.decode(chains, *image.shape, model, Execution(1, backend)), image)


@pytest.mark.skipif("native" not in BACKENDS, reason="the C++ module is missing")
@pytest.mark.parametrize("shape", [(130, 210, 3), (300, 40, 1), (66, 700, 3)])
def test_several_streams_and_threads(shape: tuple[int, int, int], model: Model) -> None:
    image, family = smooth(*shape), family_of(model)
    chains = family.encode(image, model, Execution(1, "native")).chains
    assert reference.stream_count(min(shape[0], -(-shape[1] // 3))) > 1 or shape[1] < 192
    for threads in (2, 3):
        assert family.encode(image, model, Execution(threads, "native")).chains == chains
        assert np.array_equal(family.decode(chains, *shape, model, Execution(threads, "native")), image)


@pytest.mark.skipif("numba" not in BACKENDS or "native" not in BACKENDS, reason="numba or C++ is missing")
def test_numba_reads_several_streams_of_the_native_module(model: Model) -> None:
    image, family = smooth(70, 200, 3), family_of(model)
    chains = family.encode(image, model, Execution(2, "native")).chains
    assert family.encode(image, model, Execution(1, "numba")).chains == chains
    assert np.array_equal(family.decode(chains, *image.shape, model, Execution(1, "numba")), image)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches(backend: str, model: Model) -> None:
    images = [smooth(5 + i % 3, 7, 3, i) for i in range(6)]
    data = batch.encode(images, model, Execution(1, backend))
    assert data == batch.encode(images, model, Execution(1, "numpy"))
    found = batch.decode(data, model, execution=Execution(1, backend))
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cost_of_pixels_is_that_of_the_payload(backend: str, model: Model) -> None:
    image = smooth(12, 20, 3)
    encoded = family_of(model).encode(image, model, Execution(1, backend))
    bits = family_of(model).cost_map(image, encoded.chains, model, Execution(1, backend))
    assert bits.shape == (12, 20)
    assert (bits >= 0).all()
    assert abs(float(bits.sum()) - encoded.stats.causal_bits) < 40


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("backend", BACKENDS)
def test_damaged_payloads(backend: str, model: Model) -> None:
    image = smooth(8, 12, 3)
    (chain,) = family_of(model).encode(image, model, Execution(1, backend)).chains
    data = bytes(chain)
    damaged = [b"", data[:8], data[:-4], data[:-1], data + bytes(4), b"\1" + data[1:], data[:1] + data[5:]]
    for payload in damaged:
        with pytest.raises(FormatError):
            learned.decode([payload], 8, 12, 3, model, execution=Execution(1, backend))


@pytest.mark.skipif("native" not in BACKENDS, reason="the C++ module is missing")
def test_any_flipped_bit_is_noticed_or_harmless_to_the_process(model: Model) -> None:
    image = smooth(8, 12, 3)
    (chain,) = family_of(model).encode(image, model, Execution(1, "native")).chains
    wrong = 0
    for bit in range(0, 8 * len(chain), 5):
        data = bytearray(chain)
        data[bit // 8] ^= 1 << bit % 8
        try:
            found = learned.decode([bytes(data)], 8, 12, 3, model, execution=Execution(1, "native"))
            wrong += not np.array_equal(found, image)
        except BBCodecError:
            pass
    assert wrong == 0  # a stream ends in its initial state by chance once in 2^31


def test_streams_that_do_not_fit(model: Model) -> None:
    own = loglinear_model(model)
    image = smooth(70, 200, 3)
    streams = codec.encode([image], own, Execution(1, None))
    assert len(streams) == 2
    for wrong in (streams[:1], [*streams, streams[0]], streams[::-1]):
        with pytest.raises((FormatError, ValueError)):
            codec.decode(wrong, [image.shape[:2]], 3, own, Execution(1, None))


def test_damaged_batches(model: Model) -> None:
    family, images = family_of(model), [smooth(5, 7, 3, i) for i in range(3)]
    plain, words = family.encode_batch(images, model, Execution(1, None))
    shapes = [image.shape[:2] for image in images]
    for bad in (words[:-1], words[:0], np.append(words, words[-1:]), words[1:]):
        with pytest.raises(FormatError):
            family.decode_batch(plain, bad, shapes, 3, model, Execution(1, None))
    with pytest.raises(FormatError, match="without latents"):
        family.decode_batch(1, words, shapes, 3, model, Execution(1, None))


# ------------------------------------------------------------------------------------------------ models


@pytest.mark.parametrize(
    "changes",
    [
        {"contexts": 9},
        {"contexts": 16},
        {"table_bits": 11},
        {"table_bits": 23},
        {"skip": 3},
        {"skip": True},
        {"mix_shift": 21},
        {"latents": 4, "encoder": 8},
        {"terms": np.full((4, 8, 4), 33, np.int32)},
        {"direct": np.full((4, 8), 2, np.int8)},
        {"direct": np.zeros((4, 8), np.int32)},
        {"terms": np.full((4, 8, 4), -1, np.int32)},
        {"terms": np.zeros((4, 8, 3), np.int32)},
        {"mix": np.zeros((4, 8, 8), np.int16)},
        {"mix": np.full((4, 8, 8), 1 << 22, np.int32)},
        {"pixel_mix": np.zeros((8, 7), np.int32)},
        {"pixel_mix": np.zeros((8, 8), np.int16)},
        {"pixel_mix": np.full((8, 8), -(1 << 22), np.int32)},
        {"pixel_start": np.zeros((255, 7), np.int8)},
        {"pixel_start": np.zeros((256, 8), np.int8)},
        {"pixel_start": np.zeros((256, 7), np.int16)},
        {"pixel_start": np.full((256, 7), -128, np.int8)},
    ],
    ids=repr,
)
def test_models_that_are_refused(changes: dict[str, Any], model: Model) -> None:
    with pytest.raises(ModelError):
        LogLinearModel.from_model(changed(model, **changes))


def test_a_model_needs_its_tensors(model: Model) -> None:
    for name in ("terms", "direct", "mix", "pixel_mix", "pixel_start", "out_w"):
        tensors = {key: tensor for key, tensor in model.tensors.items() if key != name}
        with pytest.raises(ModelError, match=name):
            LogLinearModel.from_model(
                modelfile.load(modelfile.dump("loglinear", model.config, Graph({}, {}), tensors))
            )


def test_contexts_name_terms() -> None:
    assert len(HASHED) == tables.CHANNEL_KINDS
    hashed, direct = CONTEXTS[max(CONTEXTS)]
    assert ({len(contexts) for contexts in HASHED}, len(DIRECT)) == ({hashed}, direct)
    assert all(sum(parts) == count for count, parts in CONTEXTS.items())
    for contexts in HASHED:
        assert len(set(contexts)) == len(contexts), "a context stands twice"
        assert all(0 < term < tables.TERMS for context in contexts for term in context)


# ------------------------------------------------------------------------------------------------ tables


def nearest(value: Decimal) -> int:
    """Return the closest integer, and assert that no rounding of a math library can matter."""
    low = int(value.to_integral_value(rounding="ROUND_FLOOR"))
    rest = value - low
    assert abs(rest - Decimal("0.5")) > Decimal("1e-9"), "too close to a half"
    return low + (rest > Decimal("0.5"))


def test_tables_are_rounded_from_exact_values() -> None:
    with localcontext() as context:
        context.prec = 40
        logs = [nearest(1024 * Decimal(x).ln()) for x in range(1, 2048)]
        shifts = [nearest(1024 * s * Decimal(2).ln()) for s in range(16)]
        assert tables.log_table().tolist() == [0, *logs, *shifts]
        odds = [Decimal(8 * i - 12284) / 1024 for i in range(3072)]
        chances = [nearest(65536 / (1 + (-x).exp())) for x in odds]
        assert tables.squash_table().tolist() == [min(max(p, 1), 65535) for p in chances]
    steps = [*range(3, 18), 20]
    assert tables.rate_table().tolist() == [round(Fraction(16384, n)) for n in steps]


@pytest.mark.parametrize(("pixels", "bits"), [(1, 12), (1024, 12), (1025, 13), (1 << 17, 19), (1 << 20, 20)])
def test_table_bits(pixels: int, bits: int) -> None:
    assert tables.table_bits(pixels, 20) == bits


def test_products_of_32_bits() -> None:
    rng = np.random.default_rng(0)
    for a, b in rng.integers(0, 1 << 32, (100, 2)).tolist():
        assert scalar.times(a, b) == a * b % (1 << 32)


# ------------------------------------------------------------------------------------------------- gains


@pytest.mark.skipif("native" not in BACKENDS, reason="slow without the C++ module")
def test_traces_of_another_colour_space_are_found() -> None:
    image = traced(256, 256)
    photo = modelfile.load_named("photo")
    plain = len(family_of(photo).encode(image, photo, Execution()).chains[0])
    model = modelfile.load(build(photo))
    corrected = len(family_of(model).encode(image, model, Execution()).chains[0])
    assert corrected < 0.9 * plain


@pytest.mark.skipif("native" not in BACKENDS, reason="slow without the C++ module")
def test_noise_costs_little_more_than_without_the_layer() -> None:
    image = noise(96, 96, 3)
    photo = modelfile.load_named("photo")
    plain = len(family_of(photo).encode(image, photo, Execution()).chains[0])
    model = modelfile.load(build(photo))
    assert len(family_of(model).encode(image, model, Execution()).chains[0]) < 1.02 * plain
