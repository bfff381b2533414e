# SPDX-License-Identifier: Apache-2.0
"""Find models: by released name, id or path; the one that a file names, embedded or installed.

Here deltas (`bbcodec.modelfile.delta`) are restored, because their parents are found here.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final, TypeAlias

from bbcodec import container
from bbcodec.container import MODEL_ID_SIZE, Buffer, Container, model_id_of
from bbcodec.errors import FormatError, ModelError, ModelMissingError, OptionError
from bbcodec.modelfile import delta, modelfile
from bbcodec.modelfile.modelfile import Model

__all__ = [
    "DEFAULT_MODEL",
    "FAST_MODEL",
    "ModelLike",
    "find",
    "installed",
    "load",
    "load_named",
    "model_bytes",
    "model_for",
    "released",
    "restore",
    "smallest",
]

SUFFIX: Final = ".bbm"
RELEASED_PACKAGE: Final = "bbcodec.models.released"

DEFAULT_MODEL = "photo"
"""Name of the model that is used unless another is asked for."""

FAST_MODEL = "fast"
"""Name of the model for those in a hurry."""

ModelLike: TypeAlias = str | os.PathLike[str] | Model


def load(data: Buffer) -> Model:
    """Parse and check a model file, whole or a delta of a released model.

    Raises
    ------
    ModelError
        The bytes are not a sound model.
    ModelMissingError
        They are a delta of a model that is not installed.
    """
    return modelfile.load(restore(data) if delta.is_delta(data) else data)


def find(model: ModelLike) -> Model:
    """Return a model by released name, id or path, or the model itself; errors as of `load_named`."""
    return model if isinstance(model, Model) else load_named(model)


def released() -> dict[str, Path]:
    """Names and paths of the models that come with the package."""
    try:
        folder = resources.files(RELEASED_PACKAGE)
    except ModuleNotFoundError:
        return {}
    found = [Path(str(item)) for item in folder.iterdir() if item.name.endswith(SUFFIX)]
    return {path.stem: path for path in sorted(found)}


def load_named(name: str | os.PathLike[str]) -> Model:
    """Load a model by released name, by id (or at least 8 digits of it), or by path.

    Models are kept for the life of the process.

    Raises
    ------
    ModelMissingError
        There is no such model here.
    ModelError
        The file is not a sound model.
    """
    shipped = released()
    text = os.fspath(name)
    if text in shipped:
        return _load_path(shipped[text])
    if re.fullmatch(r"[0-9a-f]{8,64}", text):
        for path in shipped.values():
            if hashlib.sha256(path.read_bytes()).hexdigest().startswith(text):
                return _load_path(path)
    if text.endswith(SUFFIX) or os.path.isfile(text):
        return _load_path(Path(text))
    names = ", ".join(shipped) or "none"
    raise ModelMissingError(
        f"model {text!r} is not installed (installed: {names}) and is no path to a {SUFFIX} file"
    )


def _load_path(path: Path) -> Model:
    try:
        status = path.stat()
        if status.st_size > modelfile.MAX_FILE_BYTES:
            raise ModelError(f"{path}: {status.st_size} bytes are too many for a model")
        return _load_cached(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ModelMissingError(f"model {str(path)!r}: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


@lru_cache(maxsize=8)
def _load_cached(path: Path, mtime: int, size: int) -> Model:
    return load(path.read_bytes())


def restore(data: Buffer) -> bytes:
    """Return the model file that a delta stands for.

    Raises
    ------
    ModelError
        The bytes are no sound delta.
    ModelMissingError
        The parent is not installed.
    """
    return delta.restore(data, _parent)


def _parent(wanted: str) -> Model:
    try:
        return load_named(wanted)
    except ModelMissingError:
        raise ModelMissingError(
            f"the model is stored as changes of model {wanted}, which is not installed"
        ) from None


def smallest(data: bytes) -> bytes:
    """Return the shortest form of a sound model file: whole, or a delta of nothing or of a released model."""
    return delta.smallest(data, _alike(modelfile.load(data)))


def _alike(model: Model) -> list[Model]:
    """Released models of the family with which the model shares most of its bytes' shapes."""
    found = []
    for name in released():
        parent = load_named(name)
        shared = [
            tensor.nbytes
            for key, tensor in model.tensors.items()
            if key in parent.tensors and delta.same_form(parent.tensors[key], tensor)
        ]
        if parent.family == model.family and 2 * sum(shared) > sum(t.nbytes for t in model.tensors.values()):
            found.append(parent)
    return found


def model_bytes(source: ModelLike, model: Model) -> bytes:
    """Return the file of a loaded model, to be embedded.

    A released model is embedded whole; any other in its shortest form, which may be what it changes in a
    released one (`bbcodec.modelfile.delta`).

    Raises
    ------
    OptionError
        The model was made elsewhere and its file is not at hand.
    """

    for path in released().values():
        if hashlib.sha256(found := path.read_bytes()).hexdigest() == model.id:
            return found
    return smallest(_own_bytes(source, model))


def _own_bytes(source: ModelLike, model: Model) -> bytes:
    """The whole file of a model that is not released."""
    from bbcodec.modelfile import delta

    if isinstance(source, str | os.PathLike) and (path := Path(source)).is_file():
        found = path.read_bytes()
        if delta.is_delta(found):
            found = restore(found)
        if hashlib.sha256(found).hexdigest() == model.id:
            return found
    again = modelfile.dump(model.family, model.config, model.graph, model.tensors, notes=model.notes)
    if hashlib.sha256(again).hexdigest() != model.id:
        raise OptionError(
            f"model {model.id} cannot be embedded: its file is not at hand; pass its path as model"
        )
    return again


def model_for(parsed: Container, given: ModelLike | None) -> Model:
    """Return the model that a file names: the given one, the embedded one, or an installed one."""
    from bbcodec.modelfile import delta

    section = parsed.one(container.MODEL)
    if section is None:
        raise FormatError(f"file: section {container.CHAINS} without section {container.MODEL}")
    wanted = model_id_of(section)
    if given is not None and (model := find(given)).id == wanted:
        return model
    embedded = section.payload[MODEL_ID_SIZE:]
    if len(embedded):
        hashed = delta.id_of(embedded)
        if hashed != wanted:
            raise FormatError(f"section {section.kind}: embedded model has id {hashed}, expected {wanted}")
        return load(embedded)
    if (found := installed(wanted)) is None:
        raise ModelMissingError(f"the file needs model {wanted}, which is neither embedded nor installed")
    return found


def installed(model_id: str) -> Model | None:
    """Return the released model of an id, or None."""
    for path in released().values():
        status = path.stat()
        if _hash(path, status.st_mtime_ns, status.st_size) == model_id:  # the others need not be sound
            return load_named(path)
    return None


@lru_cache(maxsize=32)
def _hash(path: Path, changed: int, size: int) -> str:
    """SHA-256 of a file that has not changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
