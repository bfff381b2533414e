# SPDX-License-Identifier: Apache-2.0
"""Short ids of models: files that have them, files that must not, and every door that reads them."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loglinear_cases import drawing, small_model
from typer.testing import CliRunner

import bbcodec
from bbcodec import container, modelfile
from bbcodec.archive import sections
from bbcodec.archive.check import describe, verify
from bbcodec.archive.sections import Source
from bbcodec.archive.writer import Writer
from bbcodec.arrays import chunks
from bbcodec.arrays.stacks import Options
from bbcodec.cli import app
from bbcodec.container import Section
from bbcodec.engine.graph import Graph
from bbcodec.errors import FormatError, ModelMissingError
from bbcodec.modelfile import Model, registry

PICTURE = drawing((11, 13, 3))
OPAQUE = np.dstack([PICTURE, drawing((11, 13, 1), 1)])  # with alpha, it is a file of its own in an archive
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model("fast")


@pytest.fixture(scope="module")
def path(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the model, in no folder that a package reads."""
    out = tmp_path_factory.mktemp("models") / "icons.bbm"
    out.write_bytes(modelfile.dump(model.family, model.config, Graph({}, {}), model.tensors))
    return out


@pytest.fixture
def released(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Release the model as ``icons``; undo what this gives, and it is not installed."""
    found = registry.released() | {"icons": path}
    with monkeypatch.context() as patch:
        patch.setattr(registry, "released", lambda: found)
        yield patch


def compressed(image: Any = PICTURE, **options: Any) -> bytes:
    return bbcodec.compress(image, method="learned", **options)


def named(data: bytes) -> bytes:
    """Return the payload of the section that names the model."""
    found = container.read(data).one(container.MODEL)
    assert found is not None
    return bytes(found.payload)


def renamed(data: bytes, payload: bytes) -> bytes:
    """Return a sound file that names its model otherwise."""
    parsed = container.read(data)
    new = Section(container.MODEL, payload)
    return container.write(
        parsed.header, [new if section.kind == container.MODEL else section for section in parsed.sections]
    )


def shortened(data: bytes) -> bytes:
    return renamed(data, named(data)[: container.SHORT_MODEL_ID_SIZE])


# ----------------------------------------------------------------------------------------------- writers


def test_a_released_model_of_the_family_has_a_short_id(released: Any, model: Model, path: Path) -> None:
    data = compressed(model="icons")
    assert named(data) == bytes.fromhex(model.id)[:8]
    assert compressed(model=model) == compressed(model=path) == data
    for given in (None, "icons", path, model):
        assert np.array_equal(bbcodec.decompress(data, model=given), PICTURE)


def test_an_embedded_model_has_its_whole_id(released: pytest.MonkeyPatch, model: Model, path: Path) -> None:
    data = compressed(model="icons", embed_model=True)
    assert named(data) == bytes.fromhex(model.id) + path.read_bytes()
    released.undo()
    assert np.array_equal(bbcodec.decompress(data), PICTURE)


def test_a_model_of_the_user_has_its_whole_id(model: Model, path: Path) -> None:
    for given in (model, path):
        assert named(compressed(model=given)) == bytes.fromhex(model.id)


@pytest.mark.parametrize("name", ["fast", "markov"])
def test_models_of_older_families_have_their_whole_id(name: str, released: Any) -> None:
    assert named(compressed(model=name)) == bytes.fromhex(modelfile.load_named(name).id)


# ----------------------------------------------------------------------------------------------- readers


@pytest.mark.parametrize("name", ["fast", "markov"])
def test_short_ids_of_every_family_are_read(name: str) -> None:
    data = shortened(compressed(model=name))
    assert len(named(data)) == 8
    assert np.array_equal(bbcodec.decompress(data), PICTURE)
    assert np.array_equal(bbcodec.decompress(data, model="rvae"), PICTURE)  # another one is passed over
    assert np.array_equal(bbcodec.decompress(data, region=(2, 3, 5, 4)), PICTURE[3:7, 2:7])
    assert bbcodec.cost_map(data).shape == PICTURE.shape[:2]


def test_a_missing_model_is_named(released: pytest.MonkeyPatch, model: Model) -> None:
    data = compressed(model="icons")
    released.undo()
    for given in (None, "fast"):
        with pytest.raises(ModelMissingError, match=f"needs model {model.id[:16]}, which is neither"):
            bbcodec.decompress(data, model=given)
    assert np.array_equal(bbcodec.decompress(data, model=model), PICTURE)


@pytest.mark.parametrize("at", range(8))
def test_every_byte_of_a_short_id_counts(at: int, released: Any, model: Model) -> None:
    wrong = bytearray.fromhex(model.id[:16])
    wrong[at] ^= 1
    for given in (None, model):
        with pytest.raises(ModelMissingError, match=wrong.hex()):
            bbcodec.decompress(renamed(compressed(model="icons"), bytes(wrong)), model=given)


@pytest.mark.parametrize("size", [0, 4, 7, 9, 16, 31])
def test_other_sizes_are_refused(size: int, released: Any, model: Model) -> None:
    data = renamed(compressed(model="icons"), bytes.fromhex(model.id)[:size])
    for read in (bbcodec.decompress, bbcodec.info):
        with pytest.raises(FormatError, match=f"section MODL: {size} bytes, expected at least 32, or 8"):
            read(data)


def test_nothing_follows_a_short_id(released: Any, model: Model, path: Path) -> None:
    data = renamed(compressed(model="icons"), bytes.fromhex(model.id)[:8] + path.read_bytes())
    with pytest.raises(FormatError, match="embedded model has id"):
        bbcodec.decompress(data)


def test_chunks(released: Any, model: Model) -> None:
    data = chunks.encode(PICTURE, Options("icons", "learned"))
    assert bytes.fromhex(model.id)[:8] in data
    assert bytes.fromhex(model.id) not in data
    assert np.array_equal(chunks.decode(data), PICTURE)


def test_the_second_decoder(
    released: pytest.MonkeyPatch, model: Model, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    reference = importlib.import_module("reference_decoder")
    installed = reference.installed() | {bytes.fromhex(model.id): path.read_bytes()}
    data = compressed(model="icons")
    assert np.array_equal(reference.container.decode(data, installed).array(), PICTURE)
    for size in (7, 9, 31):
        with pytest.raises(reference.Refused, match="length of the name of a model"):
            reference.container.decode(renamed(data, bytes.fromhex(model.id)[:size]), installed)
    with pytest.raises(reference.Refused, match="no model"):
        reference.container.decode(data, reference.installed())
    whole = packed({"a": OPAQUE, "b": PICTURE}, embed_model=True)
    found = reference.archive.decode(whole, reference.installed())
    assert np.array_equal(found["a"].array(), OPAQUE)
    assert np.array_equal(found["b"].array(), PICTURE)


# ------------------------------------------------------------------------------------------------- facts


def shown(data: bytes, tmp_path: Path) -> str:
    """Return what the command line tells of a file."""
    (tmp_path / "a.bb").write_bytes(data)
    done = CliRunner().invoke(app, ["info", str(tmp_path / "a.bb")])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_info(released: pytest.MonkeyPatch, model: Model, tmp_path: Path) -> None:
    data = compressed(model="icons")
    report = bbcodec.info(data)
    assert (report.model_id, report.model_embedded) == (model.id, False)
    assert f"icons {model.id} (installed)" in shown(data, tmp_path)
    released.undo()
    report = bbcodec.info(data)
    assert (report.model_id, report.model_embedded) == (model.id[:16], False)
    assert f"  {model.id[:16]} (not installed here)" in shown(data, tmp_path)


# ----------------------------------------------------------------------------------------------- archives


def packed(images: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    with bbcodec.Archive(file, "w", **{"model": "icons", "method": "learned"} | options) as archive:
        for name, image in images.items():
            archive[name] = image
    return file.getvalue()


def payloads(data: bytes, kind: str) -> list[bytes]:
    source = Source(io.BytesIO(data))
    return [bytes(sections.payload(source, place)) for place in sections.walk(source) if place.kind == kind]


def unpacked(data: bytes, **options: Any) -> dict[str, Any]:
    with bbcodec.Archive(io.BytesIO(data), **options) as archive:
        assert all(error is None for _, error in verify(archive.reader))
        return {name: np.asarray(image) for name, image in archive.items()}


def test_from_a_file_into_an_archive_and_out(released: Any, model: Model) -> None:
    images = {"own": bbcodec.decompress_picture(compressed(OPAQUE, model="icons")), "shared": PICTURE}
    data = packed(images)
    (file,) = payloads(data, "FILE")
    assert named(file[1 + len("own") :]) == bytes.fromhex(model.id)[:8]
    assert payloads(data, "MODL") == [bytes.fromhex(model.id)]
    found = unpacked(data)
    assert np.array_equal(found["own"], OPAQUE)
    assert np.array_equal(found["shared"], PICTURE)
    assert compressed(found["own"], model="icons") == file[1 + len("own") :]


def test_files_of_an_archive_find_the_model_that_it_embeds(released: pytest.MonkeyPatch) -> None:
    """The file of the picture has the short id, the archive has the whole one."""
    data = packed({"own": OPAQUE}, embed_model=True)
    released.undo()
    assert np.array_equal(unpacked(data)["own"], OPAQUE)
    damaged = bytearray(data)
    damaged[data.index(b"CHNS") + 30] ^= 1
    with bbcodec.Archive(io.BytesIO(damaged), salvage=True) as archive:
        saved = archive.reader.salvage("own")
    assert saved.picture.pixels.shape == OPAQUE.shape
    assert np.array_equal(saved.picture.pixels[..., 3], OPAQUE[..., 3])
    assert [loss.what for loss in saved.lost if loss.regions] == ["colour"]


@pytest.fixture
def short_archive(released: Any, model: Model, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive whose own section ``MODL`` has a short id, which this package does not write."""
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_model_payload", lambda writer: bytes.fromhex(model.id)[:8])
        data = packed({"own": OPAQUE, "shared": PICTURE})
    assert payloads(data, "MODL") == [bytes.fromhex(model.id)[:8]]
    return data


def test_archives_with_a_short_id_are_read(
    short_archive: bytes, released: pytest.MonkeyPatch, model: Model
) -> None:
    def read(**options: Any) -> None:
        found = unpacked(short_archive, **options)
        assert np.array_equal(found["own"], OPAQUE)
        assert np.array_equal(found["shared"], PICTURE)

    read()
    with bbcodec.Archive(io.BytesIO(short_archive)) as archive:
        assert describe(archive.reader)["models"] == [{"id": model.id, "embedded_bytes": 0}]
    released.undo()
    read(model=model)
    with (
        bbcodec.Archive(io.BytesIO(short_archive)) as archive,
        pytest.raises(ModelMissingError, match=f"needs model {model.id[:16]}, which is neither"),
    ):
        archive["shared"]


def test_a_whole_id_in_an_archive_with_a_short_one(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writer, "_model_payload", lambda writer: bytes.fromhex(model.id)[:8])
    data = packed({"shared": PICTURE, "own": OPAQUE}, model=model, embed_model=False)
    (file,) = payloads(data, "FILE")
    assert named(file[1 + len("own") :]) == bytes.fromhex(model.id)
    assert np.array_equal(unpacked(data, model=model)["own"], OPAQUE)


def test_archives_with_a_short_id_grow(short_archive: bytes, tmp_path: Path, model: Model) -> None:
    path = tmp_path / "a.bb"
    path.write_bytes(short_archive)
    with bbcodec.Archive(path, "a", model="icons", method="learned") as archive:
        archive["more"] = PICTURE
    data = path.read_bytes()
    assert payloads(data, "MODL") == [bytes.fromhex(model.id)[:8]]
    assert len(payloads(data, "BTCH")) == 2
    assert np.array_equal(unpacked(data)["more"], PICTURE)


def test_a_damaged_short_id_of_an_archive_stands_in_its_copy(short_archive: bytes, model: Model) -> None:
    (at,) = (place.at for place in sections.walk(Source(io.BytesIO(short_archive))) if place.kind == "MODL")
    damaged = bytearray(short_archive)
    damaged[at + sections.LEAD_BYTES : at + sections.LEAD_BYTES + 8] = bytes(8)
    with bbcodec.Archive(io.BytesIO(damaged), salvage=True) as archive:
        assert archive.reader.model_facts(0) == (model.id[:16], b"")
        assert np.array_equal(archive["shared"], PICTURE)


@pytest.mark.parametrize("size", [7, 9, 31])
def test_other_sizes_in_archives_are_refused(
    size: int, released: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "_model_payload", lambda writer: bytes.fromhex(model.id)[:size])
    data = packed({"shared": PICTURE})
    with (
        bbcodec.Archive(io.BytesIO(data), preload=False) as archive,
        pytest.raises(FormatError, match=f"section MODL: {size} bytes"),
    ):
        archive["shared"]


# ------------------------------------------------------------------------------------------------ salvage


@pytest.mark.parametrize(("wrong", "is_told"), [(0, True), (2, True), (3, False)])
def test_a_damaged_short_id_is_told_by_what_is_left_of_it(wrong: int, is_told: bool, released: Any) -> None:
    data = bytearray(compressed(model="icons"))
    section = container.read(data).one(container.MODEL)
    assert section is not None
    data[section.offset + 8] ^= 1  # its checksum
    for at in range(section.offset + 1, section.offset + 1 + wrong):
        data[at] ^= 1
    if is_told:
        assert np.array_equal(bbcodec.salvage(bytes(data)).picture.pixels, PICTURE)
    else:
        with pytest.raises(FormatError, match="id of the model is damaged"):
            bbcodec.salvage(bytes(data))
    assert np.array_equal(bbcodec.salvage(bytes(data), model="icons").picture.pixels, PICTURE)


def test_recovery_data(released: Any) -> None:
    data = bytearray(compressed(model="icons", recovery=10))
    assert len(named(bytes(data))) == 8
    data[data.index(b"MODL") + 7] ^= 1
    saved = bbcodec.salvage(bytes(data))
    assert saved.repaired
    assert np.array_equal(saved.picture.pixels, PICTURE)
