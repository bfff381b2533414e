# SPDX-License-Identifier: Apache-2.0
"""Latents of blocks: statistics, round trips by bits back, the same numbers from every implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every_backend import chosen
from local_cases import CONFIG, group, random_tensors, same, some_message

from bbcodec import modelfile
from bbcodec.coding.ans import base_message, message_equal
from bbcodec.engine.graph import Graph
from bbcodec.errors import MessageUnderflow, ModelError
from bbcodec.families import batch
from bbcodec.families.local import groups, latents, reference
from bbcodec.families.local.codec import group_codec, implementation
from bbcodec.families.local.model import STATISTICS, LocalModel
from bbcodec.jobs import Execution

SHAPES = [(9, 14), (1, 1), (8, 5)]


def tensors(k: int = 6, d: int = 8) -> dict[str, np.ndarray]:
    """Those of a model with latents, random ones, whose latents differ from block to block."""
    rng = np.random.default_rng(7)

    def integers(limit: int, *shape: int) -> np.ndarray:
        return rng.integers(-limit, limit, shape, endpoint=True).astype(np.int32)

    n, h = STATISTICS, CONFIG["hidden"]
    return {
        "positions": integers(500, 3, 9, h),
        "statistics_mean": integers(1000, n),
        "statistics_scale": np.abs(integers(4000, n)),
        "encoder_w": integers(300, n, d),
        "encoder_b": integers(1000, d),
        "posterior_w": integers(300, n + d, 2 * k),
        "posterior_b": np.concatenate([integers(10000, k), np.full(k, -400 << 12, np.int32)]),
        "latent_prior": np.concatenate([integers(64, k), np.full(k, -128, np.int32)]),
        "side_w": integers(1 << 14, k, h),
    }


def file(**changes: Any) -> modelfile.Model:
    config = {**CONFIG, "latents": 6, "encoder": 8}
    content = {**random_tensors(CONFIG), **tensors(), **changes}
    return modelfile.load(modelfile.dump("local", config, Graph({}, {}), content))


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return LocalModel.from_model(file())


def test_pop_undoes_push_and_restores_the_message(model: LocalModel) -> None:
    blocks, before = group(SHAPES, 3), some_message()
    codec = latents.latent_codec(SHAPES, model, execution=Execution(threads=1, backend="numpy"))
    (message,) = codec.push(before, blocks)
    after, found = codec.pop(message)
    assert same(found, blocks)
    assert message_equal(after, before)


def test_latents_and_places_change_what_is_coded(model: LocalModel) -> None:
    blocks = group(SHAPES, 3)
    told = latents.side(model.latents, np.full((3, 6), 300, np.int32))  # type: ignore[arg-type]
    with_side = reference.plan(blocks, model, told)[1]
    without = reference.plan(blocks, model)[1]
    placeless = LocalModel.from_model(
        modelfile.load(modelfile.dump("local", CONFIG, Graph({}, {}), random_tensors(CONFIG)))
    )
    assert not np.array_equal(with_side, without)
    assert not np.array_equal(without, reference.plan(blocks, placeless)[1])


def test_statistics_are_sums_over_the_blocks_pixels(model: LocalModel) -> None:
    """A block's do not depend on its neighbours in the group, and the second moments count as they should."""
    blocks = group(SHAPES, 3)
    together = reference.survey(blocks, model)
    assert together.shape == (3, STATISTICS)
    for i, block in enumerate(blocks):
        assert np.array_equal(reference.survey([block], model)[0], together[i])
    # Feature 0 of moment n is its sum times 32, so |n| bounds n, and the count of small errors is a multiple.
    cube = together.reshape(3, 3, 3, 49)
    assert (np.abs(cube[:, :, 0, 0]) <= cube[:, :, 1, 0]).all()
    areas = np.array([h * w for h, w in SHAPES])[:, None]
    assert (cube[:, :, 2, 0] % (24 * 32) == 0).all()
    assert (cube[:, :, 2, 0] <= 24 * 32 * areas).all()


@pytest.mark.parametrize("target", ["portable", "avx2", "avx512", "avx512vnni"])
@pytest.mark.parametrize("threads", [1, 2])
def test_native_gives_the_same_numbers(model: LocalModel, target: str, threads: int) -> None:
    native = pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)
    if target not in native._native.targets():
        pytest.skip(f"this CPU has no {target}")
    shapes = [(20, 33), (37, 16), (1, 1), (40, 41)]
    blocks = group(shapes, 3)
    with chosen(("native", target)):
        assert np.array_equal(native.survey(blocks, model, threads), reference.survey(blocks, model))
        codecs = [
            latents.latent_codec(shapes, model, Execution(threads, backend))
            for backend in ("numpy", "native")
        ]
        messages = [codec.push(some_message(), blocks)[0] for codec in codecs]
        assert native._native.target() == target
        assert message_equal(*messages)
        after, found = codecs[1].pop(messages[0])
    assert same(found, blocks)
    assert message_equal(after, some_message())


def test_numba_gives_the_same_numbers(model: LocalModel) -> None:
    pytest.importorskip("numba")
    shapes = [(20, 33), (17, 16), (1, 1), (9, 41)]
    blocks = group(shapes, 3)
    assert np.array_equal(implementation("numba").survey(blocks, model), reference.survey(blocks, model))
    codecs = [
        latents.latent_codec(shapes, model, execution=Execution(threads=1, backend=backend))
        for backend in ("numpy", "numba")
    ]
    messages = [codec.push(some_message(), blocks)[0] for codec in codecs]
    assert message_equal(*messages)
    after, found = codecs[1].pop(messages[0])
    assert same(found, blocks)
    assert message_equal(after, some_message())


def test_posteriors_follow_the_statistics(model: LocalModel) -> None:
    assert model.latents is not None
    shapes = [(16, 16)] * 2
    flat, noisy = np.full((16, 16, 3), 90, np.uint8), group([(16, 16)], 3)[0]
    mean, scale = latents.encode(model.latents, reference.survey([flat, noisy], model), shapes)
    assert not np.array_equal(mean[0], mean[1])
    assert scale.min() >= 16
    assert scale.max() <= 72


def test_an_empty_message_holds_too_few_bits(model: LocalModel) -> None:
    with pytest.raises(MessageUnderflow):
        latents.latent_codec([(4, 4)] * 20, model, execution=Execution(threads=1, backend="numpy")).push(
            base_message(8), group([(4, 4)] * 20, 3)
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_batches(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_LANES", 8)
    images, model = group([(9, 11)] * 9, channels), file()
    data = batch.encode(images, model)
    assert same(batch.decode(data, model), images)
    assert data == batch.encode(images, model, execution=Execution(threads=2, backend="numpy"))


def test_the_first_groups_pushed_pay_for_the_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last picture alone has too few bits: more groups go without latents until it works."""
    monkeypatch.setattr(groups, "GROUP_LANES", 8)
    images, model = [*group([(9, 11)] * 6, 3), *group([(1, 1)], 3)], file()
    data = batch.encode(images, model)
    assert same(batch.decode(data, model), images)


def test_a_gray_group_has_no_latents(model: LocalModel) -> None:
    images = group([(5, 6)], 1)
    codec = group_codec([(5, 6)], 1, model, execution=Execution(threads=1, backend="numpy"))
    (message,) = codec.push(some_message(), images)
    assert same(codec.pop(message)[1], images)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": np.full((3, 9, 64), 1 << 16, np.int32)},
        {"positions": np.zeros((3, 8, 64), np.int32)},
        {"side_w": np.full((6, 64), (1 << 20) + 1, np.int32)},
        {"encoder_w": np.zeros((STATISTICS, 9), np.int32)},
        {"posterior_b": np.zeros(12, np.int16)},
        {"statistics_scale": np.full(STATISTICS, -1, np.int32)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_unsound_tensors_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        LocalModel.from_model(file(**changes))
