# SPDX-License-Identifier: Apache-2.0
"""The torch dataset over an archive: items, order, kinds of pictures, worker processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_pictures import pictures

import bbcodec

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch.utils.data import DataLoader  # noqa: E402

from bbcodec.integrations.torch import ArchiveDataset  # noqa: E402

IMAGES = {f"p{i}": image for i, image in enumerate(pictures(6, 8, 9))}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "set.bb"
    with bbcodec.Archive(path, "w", model="fast", batch=2, threads=1) as archive:
        for name, image in IMAGES.items():
            archive[name] = image
    return path


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


def test_items_in_order(path: Path) -> None:
    data = ArchiveDataset(path)
    assert len(data) == len(IMAGES)
    for (tensor, name), (wanted, image) in zip(data, IMAGES.items(), strict=False):
        assert name == wanted
        assert tensor.dtype == torch.uint8
        assert tensor.is_contiguous()
        assert torch.equal(tensor, as_tensor(image))
    with pytest.raises(IndexError):
        data[len(data)]
    data.close()
    assert data[-1][1] == "p5"


def test_names_and_transform(path: Path) -> None:
    data = ArchiveDataset(str(path), lambda tensor: tensor.float().mean().item(), names=["p4", "p1"])
    assert [name for _, name in (data[0], data[1])] == ["p4", "p1"]
    assert data[1][0] == pytest.approx(IMAGES["p1"].mean(), rel=1e-5)
    with pytest.raises(KeyError, match="nowhere"):
        ArchiveDataset(path, names=["p1", "nowhere"])


def test_every_kind_of_picture() -> None:
    sixteen = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    data = ArchiveDataset(
        {"gray": sixteen, "bits": np.eye(3, dtype=bool), "one": np.ones((2, 3, 1), np.uint8)}
    )
    gray, bits, one = (data[i][0] for i in range(3))
    assert gray.dtype == torch.uint16
    assert gray.tolist() == [sixteen.tolist()]
    assert bits.tolist() == [(np.eye(3, dtype=int) * 255).tolist()]
    assert tuple(one.shape) == (1, 2, 3)


def test_palettes_become_colours(tmp_path: Path) -> None:
    image = Image.fromarray(IMAGES["p0"]).quantize(5)
    with bbcodec.Archive(tmp_path / "p.bb", "w") as archive:
        archive["p"] = image
    tensor, _ = ArchiveDataset(tmp_path / "p.bb")[0]
    assert torch.equal(tensor, as_tensor(np.asarray(image.convert("RGB"))))


def test_an_open_archive_is_left_open(path: Path) -> None:
    with bbcodec.Archive(path) as archive:
        data = ArchiveDataset(archive)
        again = pickle.loads(pickle.dumps(data))
        assert torch.equal(data[2][0], again[2][0])
        data.close()
        assert archive["p2"].shape == (8, 9, 3)
    with path.open("rb") as file, pytest.raises(TypeError, match="path"):
        ArchiveDataset(bbcodec.Archive(file))


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes(path: Path, start: str, workers: int) -> None:
    data = ArchiveDataset(path)
    assert data[0][1] == "p0"  # the file is open when the workers are made
    loader = DataLoader(data, batch_size=2, num_workers=workers, multiprocessing_context=start)
    found = {name: tensor for tensors, names in loader for tensor, name in zip(tensors, names, strict=True)}
    assert list(found) == list(IMAGES)
    assert all(torch.equal(found[name], as_tensor(image)) for name, image in IMAGES.items())
