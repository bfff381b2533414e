# SPDX-License-Identifier: Apache-2.0
"""Training, from data to a checkpoint to a model file, on made-up pictures."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from bbcodec.models import data  # noqa: E402
from bbcodec.models.latent import train  # noqa: E402
from bbcodec.models.latent.checkpoint import load_checkpoint  # noqa: E402
from bbcodec.models.latent.export import main as export_main  # noqa: E402

from bbcodec import modelfile  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for i in range(4):
        y, x = np.mgrid[:48, :40]
        rgb = np.stack([128 + 50 * np.sin((x + y * k + i) / 6) for k in (1, 2, 3)], -1)
        Image.fromarray(rgb.astype(np.uint8)).save(path / f"{i}.png")
    return path


def test_training_improves_resumes_and_exports(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = [
        "--width",
        "16",
        "--layers",
        "1,1",
        "--units",
        "1",
        "--crop",
        "32",
        "--batch",
        "2",
        "--threads",
        "1",
    ]
    common = ["--data", str(folder), "--valid", str(folder), *shape, "--out", str(tmp_path)]
    train.main([*common, "--minutes", "0.06", "--validate-every", "0.02"])
    _, state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state["steps"] > 3
    assert state["curve"][-1][2] < 8.5
    train.main([*common, "--minutes", "0.09", "--resume", str(tmp_path / "checkpoint.pt")])
    _, later = load_checkpoint(tmp_path / "checkpoint.pt")
    assert later["steps"] > state["steps"]
    assert later["curve"][: len(state["curve"])] == state["curve"]
    assert "KL [" in capsys.readouterr().out
    export_main([str(tmp_path / "checkpoint.pt"), str(tmp_path / "small.bbm"), "--data", str(folder)])
    model = modelfile.load((tmp_path / "small.bbm").read_bytes())
    assert model.family == "rvae"
    assert model.notes["steps"] == later["steps"]


def test_free_bits_put_a_floor_under_the_kl_of_each_channel() -> None:
    from bbcodec.models.latent.outputs import Terms

    log_likelihood = torch.zeros(1, 3, 4, 4)
    kl = torch.zeros(1, 2, 2, 2)
    kl[:, 1] = 1.0  # nats: channel 0 is below the floor, channel 1 above
    loss = Terms(log_likelihood, [kl]).loss(free_bits=0.5)
    floor, rest = 0.5 * 4, 4 / np.log(2)
    assert float(loss) == pytest.approx((floor + rest) / 48)


def cifar_rows(n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, 3072), np.uint8)


def test_cifar10_python_and_binary_batches_give_the_same_pictures(tmp_path: Path) -> None:
    rows = cifar_rows(5)
    (tmp_path / "py").mkdir()
    (tmp_path / "bin").mkdir()
    batch = {b"data": rows, b"labels": [0, 1, 2, 3, 4], b"batch_label": b"x"}
    (tmp_path / "py" / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    records = np.concatenate([np.arange(5, dtype=np.uint8)[:, None], rows], axis=1)
    (tmp_path / "bin" / "data_batch_1.bin").write_bytes(records.tobytes())
    first, second = data.load_cifar10(tmp_path / "py"), data.load(f"cifar10:{tmp_path / 'bin'}")
    assert np.array_equal(first, second)
    assert (first[2] == rows[2].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    with pytest.raises(FileNotFoundError, match="test_batch"):
        data.load_cifar10(tmp_path / "py", train=False)


def test_cifar10_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("boo",))

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Bad()))
    with pytest.raises(pickle.UnpicklingError, match="unexpected"):
        data.load_cifar10(tmp_path)


def test_npz_ranges_and_thumbnails(tmp_path: Path) -> None:
    x = np.arange(6 * 8 * 8 * 3).reshape(6, 8, 8, 3).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=x)
    part = data.load(f"{tmp_path / 'x.npz'}[2:5]")
    assert np.array_equal(part, x[2:5])
    assert data.load(str(tmp_path / "x.npz"), size=4)[0].shape == (4, 4, 3)


def test_cifar10_sample_loads() -> None:
    sample = Path(__file__).parents[3] / "shared" / "data" / "cifar10_first4000.npz"
    if not sample.exists():
        pytest.skip("the CIFAR-10 sample is not at ../shared/data")
    pictures = data.load(f"{sample}[3500:4000]")
    assert len(pictures) == 500
    assert pictures[0].shape == (32, 32, 3)


def test_crops_are_reproducible_and_refuse_small_pictures(folder: Path) -> None:
    pictures = data.load_folder(folder)
    first, second = (next(data.crops(pictures, 32, 4, seed=5)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (4, 3, 32, 32)
    with pytest.raises(ValueError, match="64 pixels"):
        next(data.crops(pictures, 64, 1, seed=0))
