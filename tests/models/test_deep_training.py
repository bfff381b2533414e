# SPDX-License-Identifier: Apache-2.0
"""Training of the family deep: sources, the cost that is minimised, and a short run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import deep_cases  # noqa: E402
from bbcodec.models.deep import sources, train  # noqa: E402
from bbcodec.models.deep.export import export  # noqa: E402
from bbcodec.models.deep.export import main as export_main  # noqa: E402
from bbcodec.models.local.head import FEATURE_UNIT, Head, HeadConfig  # noqa: E402
from PIL import Image  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.families.deep import codec  # noqa: E402
from bbcodec.families.deep.model import deep_model  # noqa: E402
from bbcodec.jobs import Execution  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of arrays of every kind."""
    made = tmp_path / "arrays"
    made.mkdir()
    planes = deep_cases.waves((3, 40, 50), 3000, 40)
    for name, array in (("one", planes[0]), ("rgb", np.moveaxis(planes, 0, -1)), ("volume", planes)):
        np.savez(made / f"{name}.npz", x=array.astype(np.uint16))
    return made


def test_sources(folder: Path, tmp_path: Path) -> None:
    found = list(sources.chains(str(folder)))
    assert [chain.planes[:, :3].tolist() for chain in found] == [
        [[-1, -1, 0]],
        [[-1, -1, 0], [0, -1, 1], [0, 1, 2]],
        [[-1, -1, 0], [0, -1, 1], [1, -1, 1]],
    ]
    assert all(chain.samples.min() == 0 for chain in found)
    Image.fromarray(np.full((70, 90, 3), 7, np.uint8)).save(tmp_path / "p.png")
    (photo,) = sources.arrays(f"photos:{tmp_path}@2")
    assert photo.shape == (35, 45, 3)
    assert (photo == 28).all()
    scaled = sources.chain(np.array([[[0, 300, 600]]]), [()])
    assert scaled.samples.tolist() == [[[0, 1, 2]]]
    with pytest.raises(FileNotFoundError):
        list(sources.chains(str(tmp_path / "nothing")))


@pytest.mark.parametrize("name", ["eight", "ten", "wide", "two"])
def test_the_cost_is_that_of_the_codec(name: str) -> None:
    """The bits of the real-valued network, which does not learn, are those of its integer form."""
    torch.manual_seed(0)
    head = Head(HeadConfig(hidden=64, layers=1, components=2, earlier=(9, 5)))
    samples, planes = deep_cases.cases(60, 70)[name]
    planes[:, 3] = 0
    model = deep_model(modelfile.load(export(head, {}, rate=0)))
    coded = codec.encode(samples, planes, model, Execution(1)).bits
    total = 0.0
    for kind, (features, facts) in enumerate(train.observed(sources.Chain(samples, planes), model)):
        if len(facts):
            three = torch.from_numpy(np.stack([features] * 3)).float() / FEATURE_UNIT
            outputs = head(three)
            cost = train.bits(outputs.detach(), torch.from_numpy(np.stack([facts] * 3)))
            total += float(cost[kind].sum())
    assert total == pytest.approx(coded, rel=0.02)


def test_finer_samples_look_the_same() -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(-60, 60, (500, 48)).astype(np.int8)
    facts = np.array([[64000, 70, 1010, 4095]] * 400 + [[64000, 50, 1010, 4095]] * 100, np.int32)
    found, told = train.finer((features, facts), rng)
    more = (told[:, 1] - facts[:, 1]) // 4
    assert set(more[:400]) == {0, 1, 2, 3, 4}
    assert not more[400:].any()
    assert np.array_equal(told[:, 0], facts[:, 0] << more)
    assert np.array_equal(told[:, 2] >> more, facts[:, 2])
    same = np.r_[0:23, 26:48]
    assert np.array_equal(found[:, same], features[:, same])


def test_a_short_run_makes_a_model(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = tmp_path / "start.pt"
    head = Head(HeadConfig(hidden=64, layers=1, components=2))
    torch.save({"config": head.config.to_dict(), "model": head.state_dict()}, start)
    options = ["--data", str(folder), "--valid", str(folder), "--init", str(start), "--minutes", "0.05"]
    train.main([*options, "--out", str(tmp_path / "run"), "--batch", "256", "--seed", "3"])
    made = tmp_path / "made.bbm"
    checkpoint = str(tmp_path / "run" / "checkpoint.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["export", checkpoint, str(made), "--every", "2"])
        export_main()
    model = modelfile.load(made.read_bytes())
    assert (model.family, model.config["every"], model.config["phased"]) == ("deep", 2, [10, 6])
    assert json.loads(json.dumps(model.notes))["steps"] > 0
    samples, planes = deep_cases.cases(30, 30)["three"]
    payload = codec.encode(samples, planes, deep_model(model), Execution(1)).payload
    assert np.array_equal(codec.decode(payload, (30, 30), planes, deep_model(model), Execution(1)), samples)
