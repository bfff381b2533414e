# SPDX-License-Identifier: Apache-2.0
"""benchmarks/ablation.py on made-up pictures: every row is there, and a second run trains nothing again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
pytest.importorskip("bbcodec.families.local.native", exc_type=ImportError)

from bbcodec.models.local.export import export  # noqa: E402
from bbcodec.models.local.head import Head, HeadConfig  # noqa: E402

from bbcodec import modelfile  # noqa: E402
from bbcodec.families.local.model import LocalModel  # noqa: E402
from bbcodec.families.local.native import observe  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ablation

    threads = torch.get_num_threads()
    yield ablation
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    y, x = np.mgrid[:30, :34]
    for part in ("train", "valid"):
        (path / part).mkdir()
        for i in range(2):
            noise = np.random.default_rng(i).normal(0, 4, (30, 34, 3))
            light = 120 + 60 * np.sin(x / 7 + y / 9 + i) + 20 * (x > y)
            pixels = np.clip(light[..., None] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / part / f"{i}.png")
    return path


@pytest.fixture(scope="module")
def released(data: Path) -> Path:
    """What stands for a released model."""
    torch.manual_seed(0)
    path = data / "some.bbm"
    path.write_bytes(export(Head(HeadConfig()), {"purpose": "test"}))
    return path


def test_the_table_has_every_row_and_heads_are_kept(
    ablation: ModuleType, data: Path, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--train", "train", "--valid", "valid", "--pictures", "valid"]
    words += ["--count", "1", "--size", "24", "--steps", "2", "--batch", "32", "--pixels", "100"]
    words += ["--cache", str(tmp_path / "heads"), "--json", str(tmp_path / "figures.json"), "--model"]
    words += [str(released)]
    ablation.main(words)
    text = capsys.readouterr().out
    assert str(data) not in text  # what is published names no folder of this machine
    figures = json.loads((tmp_path / "figures.json").read_text())
    coded, static, coding = figures["groups"]
    assert [group["rows"][0]["difference"] for group in figures["groups"]] == [None] * 3
    assert len(static["rows"]) == 9
    assert len(coding["rows"]) == 5
    hidden = {row["title"]: row["facts"]["hidden_bytes"] for row in static["rows"]}
    assert list(hidden.values()) == [2048, 65536, 2048, 4096, 0, 6144, 512, 2048, 2048]
    rates = {row["title"]: row["rate"] for row in coded["rows"]}
    for row in (row for group in figures["groups"] for row in group["rows"]):
        assert f"| {row['title']} | " in text
        assert row["rate"] is None or 2 < row["rate"] < 24
    assert rates["no latents"] is None
    assert rates["no least squares"] != rates["`some.bbm`"]

    heads = {path: path.stat().st_mtime_ns for path in (tmp_path / "heads").iterdir()}
    assert len(heads) == 9 + 4
    ablation.main(words)
    assert capsys.readouterr().out == text
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "heads").iterdir()} == heads


def test_changed_models_predict_what_their_rows_say(ablation: ModuleType, data: Path, released: Path) -> None:
    model = modelfile.load_named(released)
    image = np.asarray(Image.open(data / "train" / "0.png"))
    s = image[..., 1].astype(int)
    flat = LocalModel.from_model(ablation.changed(model, ridge=1 << 40))
    p = observe(image, flat)[1][:, 0, 0].reshape(s.shape)
    assert np.array_equal(p[1:, 1:], 64 * ((s[1:, :-1] + s[:-1, 1:]) >> 1))
    for q in (0, 1):
        alone = LocalModel.from_model(ablation.one_predictor(model, q))
        assert (observe(image, alone)[0][:, :, 22] == 0).all()  # the two never differ
    assert ablation.changed(model, rate_q=0).config == {**model.config, "rate_q": 0}
