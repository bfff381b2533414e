# SPDX-License-Identifier: Apache-2.0
"""benchmarks/speed.py on made-up pictures: every row is there, wrong pixels end it, the plot is XML."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bbcodec.errors import BBCodecError, OptionError

pytest.importorskip("imagecodecs", reason="the extra `bench` (imagecodecs) is not installed")
pytest.importorskip("bbcodec._native", exc_type=ImportError)

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures, and a few small ones with noise."""
    random = np.random.default_rng(3)
    (tmp_path / "kodak").mkdir()
    for i in range(2):
        y, x = np.mgrid[:20, :26]
        light = np.stack([9 * x, 12 * y, 128 + 60 * np.sin(x / 5 + i)], axis=2)
        pixels = np.clip(light + random.normal(0, 4, light.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"kodak/{i}.png")
    np.savez(tmp_path / "cifar10_first4000.npz", x=random.integers(0, 256, (2, 32, 32, 3), np.uint8))
    return tmp_path


def test_every_row_is_there(
    module: Callable[[str], ModuleType], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--count", "2", "--runs", "1", "--fast-peers", "--profiles", "photo"]
    words += ["--backends", "native:portable", "--thumbs", "5"]
    words += ["--plot", str(tmp_path / "a.svg"), "--json", str(tmp_path / "a.json")]
    module("speed").main(words)
    text = capsys.readouterr().out
    assert str(data) not in text  # what is published names no folder of this machine
    content = json.loads((tmp_path / "a.json").read_text())
    rows = content["sets"]["kodak"]["rows"]
    ours = "bbcodec photo, 1 thread, native:portable"
    assert [row["codec"] for row in rows] == [ours, "PNG", "JPEG XL e3", "JPEG XL e7"]
    for row in rows:
        assert f"| {row['codec']} | {row['bytes']:,} |" in text
        assert 1 < row["bits_per_dim"] < 24
        for way in ("encode", "decode"):
            assert row[f"{way}_mp_per_second"] > 0
            assert len(row[f"{way}_runs"]) == len(row[f"{way}_process_runs"]) == 1
            assert row[f"{way}_process_seconds"] > 0
            assert 10e6 < row[f"{way}_peak_bytes"] < 1e9
    assert any("target portable" in line for line in content["conditions"])
    python, usage, start = content["starts"]
    assert python["peak_bytes"] < usage["peak_bytes"] < start["peak_bytes"]
    assert usage["imports"] == start["imports"] == []
    assert len(content["thumbs"]) == 2
    for batch in content["thumbs"]:
        assert batch["pictures"] == 5
        assert batch["bytes"] > 5 * 32 * 32 * 3  # noise
    labels = {element.text for element in ElementTree.parse(tmp_path / "a.svg").iter(f"{SVG}text")}
    assert labels.issuperset(row["codec"] for row in rows)


def changed(pixels: Any) -> Any:
    pixels = np.array(pixels)
    pixels[-1, -1] ^= 1
    return pixels


def test_wrong_pixels_end_the_run(module: Callable[[str], ModuleType], data: Path, tmp_path: Path) -> None:
    speed, process = module("speed"), module("speed_process")
    (codec,), _, _ = module("speed_codecs").theirs(["png"])
    pictures = module("rates_sets").SETS["kodak"](data, 1)
    wrong = replace(codec, decode=lambda data: changed(codec.decode(data)))
    with pytest.raises(BBCodecError, match="PNG: the decoded pictures differ"):
        speed.measure([wrong], pictures, 1, tmp_path)

    copy = "import sys, numpy as np; from PIL import Image; a = np.array(Image.open(sys.argv[1]));"
    copy += "a[0, 0] ^= 'decode' in sys.argv; Image.fromarray(a).save(sys.argv[2], 'ppm')"
    wrong = replace(
        codec, command=lambda *words: [sys.executable, "-c", copy, *map(str, words[1:]), words[0]]
    )
    with pytest.raises(BBCodecError, match="whole process: the decoded picture differs"):
        process.round_trip(wrong, pictures.images[0], tmp_path)
    with pytest.raises(BBCodecError, match="a process failed: ZeroDivisionError"):
        process.run([sys.executable, "-c", "1 / 0"])


def test_what_a_codec_refuses_is_told_in_its_row(
    module: Callable[[str], ModuleType], data: Path, tmp_path: Path
) -> None:
    def refuse(image: Any) -> bytes:
        raise ValueError("no\nsuch picture")

    (codec,), _, _ = module("speed_codecs").theirs(["png"])
    pictures = module("rates_sets").SETS["kodak"](data, 1)
    (row,) = module("speed").measure([replace(codec, encode=refuse)], pictures, 1, tmp_path)
    assert row.error == "no such picture"
    assert "| PNG | no such picture |" in module("speed_report").set_table(
        [module("speed_report").figures(row, pictures)]
    )


def test_peak_is_that_of_the_process_alone(module: Callable[[str], ModuleType]) -> None:
    held = np.ones(100 << 20, np.uint8)  # of this process, not of the one that is measured
    run = module("speed_process").run
    small = run([sys.executable, "-c", "pass"])
    large = run([sys.executable, "-c", "a = b'1' * (60 << 20)"])
    assert small.peak < held.nbytes
    assert 50 << 20 < large.peak - small.peak < 70 << 20


def test_heavy_imports_are_seen(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    process = module("speed_process")
    assert process.heavy_imports(["--help"]) == []
    monkeypatch.setattr(
        process, "_IMPORTS", "import types, sys\nsys.modules['numba'] = types\n" + process._IMPORTS
    )
    assert process.heavy_imports(["--help"]) == ["numba"]


def test_thumbnails_are_distinct(module: Callable[[str], ModuleType], data: Path) -> None:
    pictures = module("speed_thumbs").pictures
    found = pictures(data, 16)
    assert len({image.tobytes() for image in found}) == 16
    assert {image.shape for image in found} == {(32, 32, 3)}
    with pytest.raises(ValueError, match=r"17 pictures, expected at most 16 \(8 views of 2\)"):
        pictures(data, 17)


def test_backends_are_read(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = module("speed_codecs").Backend
    monkeypatch.delenv("BBCODEC_TARGET", raising=False)
    portable = backend.parse("native:portable")
    assert "target portable" in portable.facts()
    assert backend.parse("numpy").title == "numpy"
    for wrong in ("native:", "native:mmx", "numpy:avx2", "fortran"):
        with pytest.raises(OptionError):
            backend.parse(wrong)
    assert "BBCODEC_TARGET" not in __import__("os").environ


def test_labels_of_the_plot_do_not_overlap(module: Callable[[str], ModuleType]) -> None:
    plot = module("speed_plot")
    points = [plot.Point(f"a & <b> {i}", 3 + 0.001 * (i % 3), 0.1 * i + 0.05, 5.0) for i in range(30)]
    text = plot.svg([plot.Panel('one "panel"', points), plot.Panel("two", points[:1])])
    root = ElementTree.fromstring(text)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for group in root.iter(f"{SVG}g"):
        labels = [e for e in group.iter(f"{SVG}text") if re.fullmatch(r"a & <b> \d+", e.text or "")]
        places = sorted(float(label.attrib["y"]) for label in labels)
        assert len(places) in (1, 30)
        assert all(b - a >= 14 for a, b in itertools.pairwise(places))
    for circle in root.iter(f"{SVG}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert float(circle.attrib["cy"]) <= height
