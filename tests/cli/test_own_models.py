# SPDX-License-Identifier: Apache-2.0
"""`bbcodec train` and `bbcodec models` as a user has them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import default_signals
from PIL import Image
from typer.testing import CliRunner

import bbcodec
from bbcodec import modelfile
from bbcodec.cli import app, train

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("bbcodec._native") is None,
    reason="the extra `train` (torch) or the C++ module is not installed",
)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures in `set` and below it."""
    (tmp_path / "set" / "more").mkdir(parents=True)
    y, x = np.mgrid[:20, :20]
    for i in range(10):
        noise = np.random.default_rng(i).integers(0, 4, (20, 20, 3))
        shade = (60 * ((x + y + i) // 3 % 2) + 90)[..., None] + noise
        target = tmp_path / "set" / ("more" if i == 9 else ".") / f"p{i}.png"
        Image.fromarray(shade.astype(np.uint8)).save(target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_torch
def test_train_compress_decompress(place: Path) -> None:
    result = invoke("train", "set", "-o", "mine.bbm", "--from", "fast", "--steps", "40", "-T", "1", "--json")
    assert result.exit_code == 0, result.stderr
    (record,) = json.loads(result.stdout)
    assert (record["pictures"], record["embedded_as_changes_of"]) == (10, "fast")
    assert record["worth_embedding"] == (record["saved_bytes"] > 0)
    assert "validation" in result.stderr
    assert "worth embedding" in result.stderr.splitlines()[-1]
    model = modelfile.load_named(place / "mine.bbm")
    assert model.id == record["id"]

    data = place / "set" / "p0.png"
    embedded = ("--method", "learned", "--model", "mine.bbm", "--embed-model", "-o", "a.bb", data)
    assert invoke("compress", *embedded).exit_code == 0
    (place / "mine.bbm").unlink()
    assert invoke("decompress", "a.bb", "-o", "a.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open(data)))


@needs_torch
def test_train_from_an_array_and_refusals(place: Path) -> None:
    np.savez("set.npz", x=np.random.default_rng(0).integers(0, 9, (3, 16, 16, 3)).astype(np.uint8))
    options = ("-o", "mine.bbm", "--from", "fast", "--steps", "2", "-T", "1")
    assert invoke("train", "set.npz", *options).exit_code == 0
    before = Path("mine.bbm").read_bytes()
    again = invoke("train", "set.npz", *options)
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert Path("mine.bbm").read_bytes() == before

    np.savez("flat.npz", x=np.zeros((3, 4), np.uint8))
    (place / "empty").mkdir()
    for source, said in (
        ("flat.npz", "N, H, W, 3"),
        ("empty", "no pictures"),
        ("absent.npz", "No such file"),
    ):
        result = invoke("train", source, "-o", "new.bbm", "--steps", "2")
        assert result.exit_code == 1
        assert said in result.stderr
    assert "latents" in invoke("train", "set", "-o", "new.bbm", "--from", "thumb").stderr
    assert not Path("new.bbm").exists()


@needs_torch
def test_pictures_of_an_archive_become_rgb(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gray, rgba = np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((2, 2, 4), np.uint8)

    class Archive(dict[str, np.ndarray]):
        def __init__(self, path: str):
            super().__init__(gray=gray, deep=gray.astype(np.uint16), rgba=rgba)

        def __enter__(self) -> Archive:
            return self

        def __exit__(self, *error: object) -> None:
            self.clear()

    monkeypatch.setattr(bbcodec, "Archive", Archive, raising=False)
    first, second = train._pictures("set.bb")
    assert np.array_equal(first, np.stack([gray] * 3, axis=2))
    assert np.array_equal(second, rgba[..., :3])


@needs_torch
def test_usage(place: Path) -> None:
    for arguments in (
        ("--minutes", "0"),
        ("--steps", "0"),
        ("--fresh", "--what", "head"),
        ("--what", "tail"),
    ):
        assert invoke("train", "set", "-o", "new.bbm", *arguments).exit_code == 2
    assert invoke("train", "set").exit_code == 2


def test_without_torch_the_way_out_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a)
    )
    result = invoke("train", "set", "-o", "new.bbm")
    assert result.exit_code == 2
    assert "pip install 'bbcodec[train]'" in result.stderr


@needs_torch
def test_an_interrupt_keeps_the_best_so_far(place: Path) -> None:
    command = [sys.executable, "-m", "bbcodec", "train", "set", "-o", "mine.bbm", "--from", "fast", "-T", "1"]
    with subprocess.Popen(
        [*command, "--steps", "1000000"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as child:
        assert child.stderr is not None
        seen: list[str] = []
        asked = False
        for line in child.stderr:
            seen.append(line)
            if "validation" in line and not asked:  # a second signal would end it at once
                asked = True
                child.send_signal(signal.SIGINT)
    assert child.returncode == 0, "".join(seen)
    assert any("training ends" in line for line in seen)
    assert modelfile.load_named(place / "mine.bbm").family == "local"


def test_models_list_info_verify(place: Path) -> None:
    for command in (("models",), ("models", "list")):
        assert "all pictures; the default" in invoke(*command).stdout
    listed = json.loads(invoke("models", "list", "--json").stdout)
    assert listed == json.loads(invoke("models", "--json").stdout)
    assert {entry["name"] for entry in listed} == set(modelfile.released())

    shown = invoke("models", "info", "photo").stdout
    assert "16,384 (40.3 %)" in shown
    (document,) = json.loads(invoke("models", "info", "photo", "--json").stdout)
    assert document["id"] == modelfile.load_named("photo").id

    result = invoke("models", "verify", "fast", "--backend", "numpy")
    assert result.exit_code == 0
    assert "fast: ok" in result.stderr
    Path("bad.bbm").write_bytes(b"no model")
    mixed = invoke("models", "verify", "bad.bbm", "fast", "--backend", "numpy", "--json")
    assert mixed.exit_code == 1
    bad, good = json.loads(mixed.stdout)
    assert bad["error"]["kind"] == "ModelError"
    assert good["ok"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom bbcodec.cli import app\n"
        "for name in ('train', 'models'):\n"
        "    assert CliRunner().invoke(app, [name, '--help']).exit_code == 0\n"
        "assert not {'torch', 'numba', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
