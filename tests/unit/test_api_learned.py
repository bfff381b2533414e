# SPDX-License-Identifier: Apache-2.0
"""How the API puts learned samples into a file and takes them out, with a stand-in for the learned coder."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec import container, modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import FormatError, ModelMissingError
from bbcodec.families import learned
from bbcodec.modelfile import registry
from bbcodec.picture.picture import MODES, Picture


@dataclass
class Coded:
    chains: list[bytes]
    stats: None = None


def fake_learned(factor: float) -> dict[str, Any]:
    """Return functions like those of `learned`; their two chains are the deflated halves of a picture."""

    def encode(samples: np.ndarray[Any, Any], model: Any, execution: Any, **options: Any) -> Coded:
        raw = samples.tobytes()
        half = len(raw) // 2
        return Coded([zlib.compress(raw[:half]), zlib.compress(raw[half:])])

    def decode(
        chains: Sequence[bytes],
        height: int,
        width: int,
        channels: int,
        model: Any,
        execution: Any,
        **options: Any,
    ) -> np.ndarray[Any, Any]:
        raw = b"".join(zlib.decompress(chain) for chain in chains)
        return np.frombuffer(raw, np.uint8).reshape(height, width, channels)

    def estimate_bits(crop: np.ndarray[Any, Any], model: Any, execution: Any) -> float:
        from bbcodec.classic import webp_size

        return 8 * factor * webp_size(crop)

    def inspect(
        chains: Sequence[bytes], height: int, width: int, model: Any = None, channels: int = 3
    ) -> dict[str, Any]:
        return {"chains": len(chains), "tiles": 7, "initial_bits": 123}

    return {"encode": encode, "decode": decode, "estimate_bits": estimate_bits, "inspect": inspect}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.bbm"
    path.write_bytes(modelfile.dump("markov", {"a": 1}, Graph({}, {})))
    return path


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, 0.5)


def install(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    for name, function in fake_learned(factor).items():
        monkeypatch.setattr(learned, name, function)


def picture(mode: str, height: int = 21, width: int = 34) -> Picture:
    info = MODES[mode]
    rng = np.random.default_rng(0)
    array = rng.integers(0, np.iinfo(info.dtype).max + 1, info.shape(height, width)).astype(info.dtype)
    return Picture(array, mode)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("1", "P")])
@pytest.mark.parametrize("embed", [False, True])
def test_every_mode_with_and_without_the_model(mode: str, embed: bool, model: Path) -> None:
    source = picture(mode)
    data = bbcodec.compress(source, method="learned", model=model, embed_model=embed)
    assert bbcodec.decompress_picture(data, model=model).same(source)
    assert (
        bbcodec.compress(source, method="learned", model=modelfile.load_named(model), embed_model=embed)
        == data
    )
    wanted = modelfile.load_named(model).id
    if embed:
        assert bbcodec.decompress_picture(data).same(source)
    else:
        with pytest.raises(ModelMissingError, match=wanted):
            bbcodec.decompress(data)
    report = bbcodec.info(data)
    assert (report.model_id, report.model_embedded) == (wanted, embed)
    assert report.learned == {"chains": 2, "tiles": 7, "initial_bits": 123}
    assert report.method == ("learned" if mode in ("L", "RGB") else "learned + classic")
    assert report.coders[0] == "colour: learned"


def photograph() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (200, 200, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("factor", "poor", "quick", "method"),
    [
        (0.5, None, None, "classic"),
        (0.5, None, np.inf, "classic"),  # each of the two checks is enough
        (0.5, np.inf, None, "classic"),
        (0.5, np.inf, np.inf, "learned"),  # and without them, what the crops promise is believed
        (0.95, np.inf, np.inf, "classic"),  # here both are tried, and here the learned method is not
        (2.0, np.inf, np.inf, "classic"),
    ],
)
def test_auto_never_trusts_a_poor_result(
    factor: float,
    poor: float | None,
    quick: float | None,
    method: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stand-in is worse than WebP whatever it claims: deflate on noise."""
    install(monkeypatch, factor)
    if poor is not None:
        monkeypatch.setattr("bbcodec.bbfile.choose.COMPARE_ABOVE_WEBP", poor)
    if quick is not None:
        monkeypatch.setattr("bbcodec.bbfile.choose.COMPARE_ABOVE_QUICK_WEBP", quick)
    assert bbcodec.info(bbcodec.compress(photograph(), model=model)).method == method


def test_auto_keeps_a_good_result(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "encode", lambda *args, **options: Coded([b"all", b"of it"]))
    monkeypatch.setattr(learned, "decode", lambda *args, **options: photograph())
    assert bbcodec.info(bbcodec.compress(photograph(), model=model)).method == "learned"
    install(monkeypatch, 1.5)
    assert bbcodec.info(bbcodec.compress(photograph(), model=model)).method == "classic"


def test_auto_knows_of_repeats_that_crops_miss(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A texture of noise, repeated: WebP copies it, and no crop shows that."""
    texture = np.random.default_rng(0).integers(0, 256, (130, 130, 3)).astype(np.uint8)
    samples = np.tile(texture, (4, 4, 1))
    chains = [bytes(int(samples.size * 0.8))]  # much less than six crops of noise promise
    monkeypatch.setattr(learned, "encode", lambda *args, **options: Coded(chains))
    data = bbcodec.compress(samples, model=model)
    assert bbcodec.info(data).method == "classic"
    assert len(data) < samples.size / 10


def test_a_missing_model_is_an_error_where_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "released", dict)
    flat = np.zeros((64, 64, 3), np.uint8)
    for method, samples in (("auto", photograph()), ("learned", photograph()), ("learned", flat)):
        with pytest.raises(ModelMissingError, match=registry.DEFAULT_MODEL):
            bbcodec.compress(samples, method=method)
    with pytest.raises(ModelMissingError, match="another"):
        bbcodec.compress(flat, model="another")
    for method in ("auto", "classic"):  # flat pictures are known without a model
        assert bbcodec.info(bbcodec.compress(flat, method=method)).method == "classic"


def test_hostile_chains(model: Path) -> None:
    good = container.read(bbcodec.compress(picture("RGB"), method="learned", model=model, embed_model=True))
    chains = good.sections[1]
    assert chains.kind == "CHNS"
    for payload, text in (
        (b"\1\xff\xff\xff\xff\x7f", "chains do not fit"),
        (b"\1\2\5\5abc", "chain 0 needs 5"),
        (b"\1\1\1abc", "2 bytes too many"),
        (b"\2\1\1a", "plane mask"),
        (b"\1", "expected at least 2"),
    ):
        with pytest.raises(FormatError, match=text):
            bbcodec.decompress(
                container.write(good.header, [good.sections[0], container.Section("CHNS", payload)])
            )
    with pytest.raises(FormatError, match="without section MODL"):
        bbcodec.decompress(container.write(good.header, [chains]))
