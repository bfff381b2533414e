# SPDX-License-Identifier: Apache-2.0
"""The family deep: the same bits everywhere, heads, and pictures of 16 bits in files."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import deep_cases
import numpy as np
import pytest
from every_backend import choices, chosen, label

import bbcodec
from bbcodec import container
from bbcodec.bbfile import deep_samples
from bbcodec.bbfile.samples_sections import pack_chains, unpack_chains
from bbcodec.container import Reader, Section
from bbcodec.errors import BBCodecError, FormatError, ModelError, OptionError
from bbcodec.families.deep import chains as deep_chains
from bbcodec.families.deep import choices as deep_choices
from bbcodec.families.deep import codec, head
from bbcodec.families.deep.head import Channel, Head, Values
from bbcodec.families.deep.model import DeepModel, deep_model
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture.picture import MODES, Picture

FAST = [choice for choice in choices() if choice[0] != "numpy"]
SIZE = (9, 14)
MODES_16 = [name for name, mode in MODES.items() if mode.dtype == "uint16"]


@cache
def model() -> Model:
    return deep_cases.small_model(block=64)


@cache
def checked(base: str | None = None) -> DeepModel:
    return deep_model(deep_cases.small_model(base))


def run(name: str = "native", threads: int = 1) -> Execution:
    return Execution(threads, name if any(choice[0] == name for choice in choices()) else None)


# --- chains -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(deep_cases.cases(*SIZE)))
def test_all_implementations_give_the_same_symbols(name: str) -> None:
    samples, planes = deep_cases.cases(*SIZE)[name]
    expected = codec.implementation("numpy").plan(samples, planes, checked(), traced=True)
    assert expected.sections.sum() == len(expected.start) >= samples.size
    for choice in FAST:
        with chosen(choice) as backend:
            found = codec.implementation(backend).plan(samples, planes, checked(), traced=True)
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one, other), label(choice)


def test_the_meaning_decodes_what_the_others_encode() -> None:
    samples, planes = deep_cases.cases(5, 8)["three"]
    coded = codec.encode(samples, planes, checked(), run())
    assert np.array_equal(codec.decode(coded.payload, (5, 8), planes, checked(), run("numpy")), samples)


@pytest.mark.parametrize("choice", FAST, ids=label)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 100), (100, 4), (61, 90)])
@pytest.mark.parametrize("base", [None, "fast", "photo"])
def test_chains_come_back(choice: Any, size: tuple[int, int], base: str | None) -> None:
    payloads = []
    for samples, planes in deep_cases.cases(*size).values():
        with chosen(choice) as backend:
            coded = codec.encode(samples, planes, checked(base), Execution(1, backend))
            found = codec.decode(coded.payload, size, planes, checked(base), Execution(2, backend))
            again = codec.encode(samples, planes, checked(base), Execution(2, backend))
        assert np.array_equal(found, samples)
        assert again.payload == coded.payload
        payloads.append(coded.payload)
    with chosen(FAST[0]) as backend:
        for payload, (samples, planes) in zip(payloads, deep_cases.cases(*size).values(), strict=True):
            assert codec.encode(samples, planes, checked(base), Execution(1, backend)).payload == payload


def test_costs_are_those_of_the_payload() -> None:
    for samples, planes in deep_cases.cases(40, 30).values():
        bits = codec.cost(samples, planes, checked(), run())
        coded = codec.encode(samples, planes, checked(), run())
        assert bits.shape == (40, 30)
        assert abs(float(bits.sum()) - coded.bits) < 1


@pytest.mark.parametrize("choice", FAST, ids=label)
def test_damaged_payloads_raise_our_errors_or_give_other_samples(choice: Any) -> None:
    rng = np.random.default_rng(0)
    for samples, planes in deep_cases.cases(20, 30).values():
        coded = codec.encode(samples, planes, checked(), run()).payload
        for _ in range(40):
            wrong = bytearray(coded)
            wrong[rng.integers(len(wrong))] ^= 1 << rng.integers(8)
            wrong = wrong[: 4 * rng.integers(2, len(wrong) // 4 + 1)]
            with chosen(choice) as backend, contextlib.suppress(FormatError):
                found = codec.decode(wrong, (20, 30), planes, checked(), Execution(1, backend))
                assert (found <= planes[:, 4, None, None]).all()


def test_references_and_phases_pay() -> None:
    samples = deep_cases.waves((2, 60, 70), 4000, 60)
    samples[1] = (samples[0] * 3) // 4 + 7
    alone = deep_cases.case(samples, 4000, deep_cases.ALONE, deep_cases.ALONE)
    after = deep_cases.case(samples, 4000, deep_cases.ALONE, deep_cases.AFTER_ONE)
    photo = checked("photo")
    assert codec.encode(*after, photo, run()).bits < 0.62 * codec.encode(*alone, photo, run()).bits
    small = deep_cases.waves((1, 80, 80), 4000, 60)[0]
    large = np.kron(small, np.ones((2, 2), np.int64))
    large = (large + np.roll(large, 1, 0) + np.roll(large, 1, 1) + np.roll(large, (1, 1), (0, 1))) // 4
    phased = deep_cases.case(large[None], 4000, deep_cases.PHASED)
    plain = deep_cases.case(large[None], 4000, deep_cases.ALONE)
    assert codec.encode(*phased, photo, run()).bits < 0.9 * codec.encode(*plain, photo, run()).bits


# --- heads --------------------------------------------------------------------------------------------------

LIST = Values(-5, 3, np.array([-5, 0, 700, 70000]))


def a_head() -> Head:
    return Head(
        64,
        4,
        (
            Channel(2, Values(-(1 << 40), 65535), before=True, phased=True),
            Channel(0, Values(9, 0)),
            Channel(1, LIST, (0,), before=True, role=1),
            Channel(3, LIST, (0, 2), role=2),
        ),
    )


def test_heads_come_back() -> None:
    packed = head.pack(a_head())
    found = head.unpack(Reader(packed, "head"), 4, 5, -(1 << 41), 1 << 41)
    assert head.pack(found) == packed
    assert [channel.number for channel in found.channels] == [2, 0, 1, 3]
    planes, where = found.planes(2)
    assert where == [(0, 2), (0, 1), (0, 3), (1, 2), (1, 1), (1, 3)]
    assert planes.tolist() == [
        [-1, -1, 16, 1, 65535],
        [0, -1, 17, 0, 3],
        [0, 1, 2, 0, 3],
        [0, -1, 0, 1, 65535],
        [3, 1, 1, 0, 3],
        [3, 4, 2, 0, 3],
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Head(8, 1, (Channel(0, Values(0, 9)),)), "blocks of 8"),
        (Head(64, 0, (Channel(0, Values(0, 9)),)), "groups of 0"),
        (Head(64, 1, (Channel(1, Values(0, 9)),)), "not 0 to 0"),
        (Head(64, 1, (Channel(0, Values(0, 9), (0,)),)), "references"),
        (Head(64, 1, (Channel(0, Values(0, 9), before=True),)), "flags"),
        (Head(64, 1, (Channel(0, Values(3, 0), role=1),)), "constant"),
        (Head(64, 1, (Channel(0, Values(-1, 9)),)), "expected 0 to 99"),
        (Head(64, 1, (Channel(0, Values(95, 9)),)), "expected 0 to 99"),
        (Head(64, 1, (Channel(0, Values(0, 65536)),)), "65536"),
        (Head(64, 1, (Channel(0, Values(0, 9)), Channel(1, Values(0, 9), (0,)))), "different numbers"),
        (Head(64, 1, (Channel(0, Values(0, 9)), Channel(1, Values(0, 9), (0, 0), role=1))), "references"),
        (Head(64, 1, (Channel(0, Values(0, 0)), Channel(1, Values(0, 9), (0,), role=1))), "references"),
    ],
)
def test_wrong_heads_are_refused(wrong: Head, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        head.unpack(Reader(head.pack(wrong), "head"), len(wrong.channels), 1, 0, 99)


def test_every_change_of_a_head_is_refused_or_is_another_head() -> None:
    packed = head.pack(a_head())
    for at in range(len(packed)):
        for bit in range(8):
            wrong = bytearray(packed)
            wrong[at] ^= 1 << bit
            with contextlib.suppress(FormatError):
                found = head.unpack(Reader(bytes(wrong), "head"), 4, 5, -(1 << 63), (1 << 63) - 1)
                assert len(found.planes(3)[0]) <= 12
    for size in range(len(packed)):
        with pytest.raises(FormatError):
            head.unpack(Reader(packed[:size], "head"), 4, 5, -(1 << 63), (1 << 63) - 1)


def test_values_are_listed_where_gaps_cost_more() -> None:
    rng = np.random.default_rng(0)
    assert deep_choices.values_of(rng.integers(5, 300, (40, 40))).used is None
    scaled = deep_choices.values_of(257 * rng.integers(0, 250, (40, 40)))
    assert scaled.used is not None
    assert scaled.top <= 249
    assert len(head.pack(Head(64, 1, (Channel(0, scaled),)))) < 40
    few = rng.choice([0, 7, 4000, 60000], (50, 50))
    values = deep_choices.values_of(few)
    assert np.array_equal(values.samples(values.numbers(few).astype(np.uint16)), few)
    with pytest.raises(ValueError, match="values from"):
        deep_choices.values_of(np.arange(70000) * 3)


def test_arrays_of_groups_and_blocks_come_back() -> None:
    array = np.stack([deep_cases.waves((5, 70, 40), 900, 12, seed) for seed in range(3)], axis=1) - 300
    made = deep_choices.head_for(array, checked(), colours=3, group=2)
    coded = deep_chains.encode(array, made, checked(), run())
    assert len(coded.chains) == deep_chains.count(made, 5, 70, 40) == 3
    cut = Head(32, 2, made.channels)
    coded = deep_chains.encode(array, cut, checked(), run())
    assert len(coded.chains) == deep_chains.count(cut, 5, 70, 40) == 3 * 6
    found = deep_chains.decode(coded.chains, cut, array.shape, np.int16, checked(), run(threads=2))
    assert np.array_equal(found, array)
    part = deep_chains.parts(cut, 5, 70, 40)[7]
    some = deep_chains.decode(coded.chains, cut, array.shape, np.int16, checked(), run(), wanted=[7])
    place = (part.frames, slice(None), *part.place)
    assert np.array_equal(some[place], array[place])
    with pytest.raises(FormatError, match="chains"):
        deep_chains.decode(coded.chains[:-1], cut, array.shape, np.int16, checked(), run())


# --- pictures in files --------------------------------------------------------------------------------------


def picture(mode: str, size: tuple[int, int] = (70, 90)) -> Picture:
    count = MODES[mode].channels
    samples = np.moveaxis(deep_cases.waves((count, *size), 30000, 90), 0, -1).astype(np.uint16)
    return Picture(samples.reshape(MODES[mode].shape(*size)), mode)


def compress(of: Picture | np.ndarray[Any, Any], **options: Any) -> bytes:
    return bbcodec.compress(of, **{"model": model(), "embed_model": True, "method": "learned"} | options)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (70, 90)])
@pytest.mark.parametrize("mode", MODES_16)
def test_every_mode_of_16_bits_comes_back(mode: str, size: tuple[int, int]) -> None:
    of = picture(mode, size)
    data = compress(of)
    assert bbcodec.decompress_picture(data).same(of)
    info = bbcodec.info(data)
    assert info.method == "learned"
    assert len(info.coders) == 1
    assert "low bytes" in info.coders[0]


def test_the_default_model_has_a_partner_for_16_bits() -> None:
    of = picture("RGB;16")
    for name, partner in (("standard", "deep"), ("best", "deep"), ("quick", "deep-quick"), ("deep", "deep")):
        data = bbcodec.compress(of, model=name)
        assert bbcodec.info(data).model_id == bbcodec.modelfile.load_named(partner).id
        assert bbcodec.decompress_picture(data).same(of)
    old = bbcodec.compress(of, model="photo", method="learned")  # as before: the high bytes alone
    assert len(bbcodec.info(old).coders) == 2
    assert bbcodec.decompress_picture(old).same(of)


def test_deep_models_code_nothing_else() -> None:
    with pytest.raises(OptionError, match="16 bits"):
        bbcodec.compress(np.zeros((4, 4), np.uint8), model="deep")
    with pytest.raises(ModelError, match="16 bits"):
        family_of(model()).encode(np.zeros((4, 4, 1), np.uint8), model(), Execution(1))


def test_flat_and_tiny_pictures_take_what_is_smaller() -> None:
    flat = np.full((300, 400), 4711, np.uint16)
    assert len(bbcodec.compress(flat)) < 80
    for samples in (flat, np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000):
        assert np.array_equal(bbcodec.decompress(bbcodec.compress(samples)), samples)


def test_regions_decode_the_blocks_they_need() -> None:
    of = picture("RGB;16", (150, 140))
    data = compress(of)
    for region in ((0, 0, 1, 1), (60, 70, 30, 20), (139, 149, 1, 1), (0, 0, 140, 150)):
        x, y, width, height = region
        assert np.array_equal(
            bbcodec.decompress(data, region=region), of.pixels[y : y + height, x : x + width]
        )


def test_cost_map_is_that_of_the_chains() -> None:
    of = picture("I;16", (80, 90))
    data = compress(of)
    section = container.read(data).one(container.CHAINS)
    assert section is not None
    bits = bbcodec.cost_map(data)
    assert bits.shape == (80, 90)
    chains = 8 * sum(map(len, unpack_chains(section)))
    assert 0.9 * chains < bits.sum() < chains


def test_salvage_of_a_lost_block() -> None:
    of = picture("RGBA;16", (100, 130))
    data = bytearray(compress(of))
    section = container.read(bytes(data)).one(container.CHAINS)
    assert section is not None
    last = section.offset + len(section.payload) - 10
    data[last] ^= 255
    found = bbcodec.salvage(bytes(data))
    (loss,) = [loss for loss in found.lost if loss.regions]
    (region,) = loss.regions
    x, y, width, height = region
    place = slice(y, y + height), slice(x, x + width)
    assert place == deep_samples.places(deep_samples.head_of(section, MODES["RGBA;16"]), 100, 130)[-1]
    assert (found.picture.pixels[place][..., :3] == 0x8080).all()
    assert (found.picture.pixels[place][..., 3] == 0xFFFF).all()
    kept = np.ones((100, 130), bool)
    kept[place] = False
    assert np.array_equal(found.picture.pixels[kept], of.pixels[kept])


def test_files_that_break_the_rules_are_refused() -> None:
    of = picture("LA;16", (20, 20))
    parsed = container.read(compress(of))
    section = parsed.one(container.CHAINS)
    assert section is not None
    chains = [bytes(chain) for chain in unpack_chains(section)]
    told = head.pack(deep_samples.head_of(section, MODES["LA;16"]))

    def with_section(other: Section) -> bytes:
        kept = [other if s.kind == container.CHAINS else s for s in parsed.sections]
        return container.write(parsed.header, kept)

    assert bbcodec.decompress_picture(with_section(pack_chains(15, chains, told))).same(of)
    for wrong in (
        pack_chains(5, chains, told),  # without alpha
        pack_chains(3, chains, told),
        pack_chains(15, chains, told + b"\0"),
        pack_chains(15, chains, told[:-1]),
        pack_chains(15, chains[:-1], told),
        pack_chains(15, [*chains, chains[0]], told),
        pack_chains(15, [chains[0][:-4]], told),
        Section(container.CHAINS, b"\x0f\xff\xff\xff\xff\x07"),
    ):
        with pytest.raises(BBCodecError):
            bbcodec.decompress(with_section(wrong))
    other = bbcodec.compress(np.zeros((4, 4), np.uint8) + np.arange(4, dtype=np.uint8), method="learned")
    stored = container.read(other).one(container.MODEL)
    assert stored is not None
    kept = [stored if s.kind == container.MODEL else s for s in parsed.sections]
    with pytest.raises(FormatError, match="family"):
        bbcodec.decompress(container.write(parsed.header, kept))


def test_models_that_are_no_models_of_the_family() -> None:
    for config in ({"phased": [1, 6]}, {"phased": [10]}, {"phased": "x"}, {"latents": 0}, {"own": [12, 99]}):
        with pytest.raises(ModelError):
            DeepModel.from_model(deep_cases.small_model(**config))
    with pytest.raises(ModelError, match="family"):
        DeepModel.from_model(bbcodec.modelfile.load_named("photo"))
