# SPDX-License-Identifier: Apache-2.0
"""Find models by released name, id or path, and the model that a file needs, embedded or installed.

It also says how a file names its model (`model_payload`).

This module also restores deltas (`bbcodec.modelfile.delta`), because it finds their parents.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from bbcodec import container
from bbcodec.container import (
    MODEL_ID_SIZE,
    SHORT_MODEL_ID_SIZE,
    Buffer,
    Container,
    model_id_of,
    same_model,
    short_id,
)
from bbcodec.errors import FormatError, ModelError, ModelMissingError, OptionError
from bbcodec.modelfile import delta, modelfile
from bbcodec.modelfile.modelfile import Model

__all__ = [
    "DEEP_MODEL",
    "DEFAULT_MODEL",
    "FITTED_MODEL",
    "ModelLike",
    "Released",
    "deep_model_of",
    "find",
    "full_id",
    "installed",
    "load",
    "load_named",
    "model_bytes",
    "model_for",
    "model_like",
    "model_payload",
    "released",
    "released_as",
    "released_ids",
    "restore",
    "smallest",
]

SUFFIX: Final = ".bbm"
RELEASED_PACKAGE: Final = "bbcodec.models.released"

DEFAULT_MODEL = "standard"
"""Name of the default model."""

FITTED_MODEL = "photo"
"""Name of the released model that is fitted to a picture if none is named."""

DEEP_MODEL = "deep"
"""Name of the released model of samples of 16 bits."""

_DEEP_MODELS: Final = {"quick": "deep-quick"}
"""Other models of samples of 16 bits, by the model of 8 bits that they go with."""

ModelLike: TypeAlias = str | os.PathLike[str] | Model

_SHORT_ID_FAMILIES: Final = frozenset(
    {"loglinear", "deep"}
)  # files of older families keep their bytes and readers
_MIN_EQUAL_ID_SHARE: Final = 0.75  # of the bytes of a damaged id: those that a released model must share


class Released(NamedTuple):
    """The full id and the name of a released model."""

    id: str
    name: str


def load(data: Buffer) -> Model:
    """Parse and check a model file: whole, or a delta from a released model.

    Raises
    ------
    ModelError
        The bytes are not a valid model.
    ModelMissingError
        The bytes are a delta, and its parent is not installed.
    """
    return modelfile.load(restore(data) if delta.is_delta(data) else data)


def find(model: ModelLike) -> Model:
    """Return a model by released name, id or path, or the given model. Raise the errors of `load_named`."""
    return model if isinstance(model, Model) else load_named(model)


def deep_model_of(model: ModelLike) -> str:
    """Return the released model of samples of 16 bits that goes with a model of 8 bits."""
    return _DEEP_MODELS.get(model, DEEP_MODEL) if isinstance(model, str) else DEEP_MODEL


def released() -> dict[str, Path]:
    """Return the names and paths of the models in the package."""
    try:
        folder = resources.files(RELEASED_PACKAGE)
    except ModuleNotFoundError:
        return {}
    found = [Path(str(item)) for item in folder.iterdir() if item.name.endswith(SUFFIX)]
    return {path.stem: path for path in sorted(found)}


def load_named(name: str | os.PathLike[str]) -> Model:
    """Load a model by released name, by id (or its first digits, at least 8), or by path.

    The process caches the loaded models.

    Raises
    ------
    ModelMissingError
        No released model and no file has this name.
    ModelError
        The file is not a valid model.
    """
    shipped = released()
    text = os.fspath(name)
    if text in shipped:
        return _load_path(shipped[text])
    if re.fullmatch(r"[0-9a-f]{8,64}", text) and (found := released_as(text)):
        return _load_path(shipped[found.name])
    if text.endswith(SUFFIX) or os.path.isfile(text):
        return _load_path(Path(text))
    names = ", ".join(shipped) or "none"
    raise ModelMissingError(
        f"model {text!r} is not installed (installed: {names}) and is not a path to a {SUFFIX} file"
    )


def _load_path(path: Path) -> Model:
    try:
        status = path.stat()
        if status.st_size > modelfile.MAX_FILE_BYTES:
            raise ModelError(f"{path}: a file of {status.st_size} bytes is too large for a model")
        return _load_cached(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ModelMissingError(f"model {str(path)!r}: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


@lru_cache(maxsize=8)
def _load_cached(path: Path, mtime: int, size: int) -> Model:
    return load(path.read_bytes())


def restore(data: Buffer) -> bytes:
    """Return the model file that a delta encodes.

    Raises
    ------
    ModelError
        The bytes are not a valid delta.
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
    """Return the shortest form of a model file: whole, or a delta from nothing or from a released model.

    Raises
    ------
    ModelError
        The bytes are not a valid model.
    """
    return delta.smallest(data, _parent_candidates(modelfile.load(data)))


def _parent_candidates(model: Model) -> list[Model]:
    """Return the released models of the family that share tensor names and shapes for most of the bytes."""
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
    """Return the bytes that embed a loaded model in a file.

    A released model is embedded whole. Any other model is embedded in its shortest form, perhaps a delta
    from a released model (`bbcodec.modelfile.delta`).

    Raises
    ------
    OptionError
        The file of the model is not available, and cannot be rebuilt from the loaded model.
    """
    for path in released().values():
        if hashlib.sha256(found := path.read_bytes()).hexdigest() == model.id:
            return found
    return smallest(_unreleased_bytes(source, model))


def _unreleased_bytes(source: ModelLike, model: Model) -> bytes:
    """Return the whole file of a model that is not released."""
    if isinstance(source, str | os.PathLike) and (path := Path(source)).is_file():
        found = path.read_bytes()
        if delta.is_delta(found):
            found = restore(found)
        if hashlib.sha256(found).hexdigest() == model.id:
            return found
    again = modelfile.dump(model.family, model.config, model.graph, model.tensors, notes=model.notes)
    if hashlib.sha256(again).hexdigest() != model.id:
        raise OptionError(
            f"model {model.id} cannot be embedded: its file is not available; pass its path as model"
        )
    return again


def model_payload(model: Model, file: bytes = b"") -> bytes:
    """Return the payload of the section that names a model in the file of a picture.

    The id is short where every installation can complete it: the model is released, not embedded, and of
    a family that came with the short form.

    Parameters
    ----------
    model : the model.
    file : the file that is embedded, as `model_bytes` returns it, or nothing.
    """
    is_short = not file and model.family in _SHORT_ID_FAMILIES and released_as(model.id) is not None
    return bytes.fromhex(short_id(model.id) if is_short else model.id) + file


def model_for(parsed: Container, given: ModelLike | None) -> Model:
    """Return the model that a file needs: the given model, the embedded one, or an installed one.

    Raises
    ------
    FormatError
        The file does not name a model, or its embedded model has another id.
    ModelMissingError
        The model is neither given, embedded nor installed.
    ModelError
        The model is not valid.
    """
    section = parsed.one(container.MODEL)
    if section is None:
        raise FormatError(f"file: section {container.CHAINS} without section {container.MODEL}")
    wanted = model_id_of(section)
    if given is not None and same_model((model := find(given)).id, wanted):
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
    """Return the released model with an id, full or short, or None."""
    found = released_as(model_id)
    return None if found is None else load_named(found.name)


def model_like(stored: bytes) -> Model | None:
    """Return the released model whose id, full or short, nearly equals a damaged one, else None."""
    size = MODEL_ID_SIZE if len(stored) >= MODEL_ID_SIZE else SHORT_MODEL_ID_SIZE
    for known, name in released_ids():
        equal = sum(a == b for a, b in zip(bytes.fromhex(known)[:size], stored, strict=False))
        if equal >= _MIN_EQUAL_ID_SHARE * size:
            return load_named(name)
    return None


def released_as(model_id: str) -> Released | None:
    """Return the released model that an id names, or its first digits; the first one, or None."""
    return next((found for found in released_ids() if same_model(found.id, model_id)), None)


def released_ids() -> Iterator[Released]:
    """Yield the ids and names of the released models, without loading them."""
    for name, path in released().items():
        status = path.stat()
        yield Released(_file_hash(path, status.st_mtime_ns, status.st_size), name)


def full_id(model_id: str) -> str:
    """Return an id in full if it is that of a released model, else as it is."""
    found = released_as(model_id)
    return model_id if found is None else found.id


@lru_cache(maxsize=32)
def _file_hash(path: Path, changed: int, size: int) -> str:
    """Return the SHA-256 of a file; the cache key includes its time of change and its size."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
