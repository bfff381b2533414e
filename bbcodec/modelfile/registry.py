# SPDX-License-Identifier: Apache-2.0
"""Which model a picture is coded with: by name, path or id; embedded, given or installed.

The model file itself is `bbcodec.modelfile`'s business, which is imported when it is first needed.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bbcodec import container
from bbcodec.container import MODEL_ID_SIZE, Container, model_id_of
from bbcodec.errors import FormatError, ModelMissingError, OptionError

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["DEFAULT_MODEL", "FAST_MODEL", "ModelLike", "installed", "load", "model_bytes", "model_for"]

DEFAULT_MODEL = "photo"
"""Name of the model that is used unless another is asked for."""

FAST_MODEL = "fast"
"""Name of the model for those in a hurry."""

ModelLike: TypeAlias = "str | os.PathLike[str] | Model"


def load(model: ModelLike) -> Model:
    """Return a model by released name, id or path, or the model itself."""
    from bbcodec import modelfile

    return model if isinstance(model, modelfile.Model) else modelfile.load_named(model)


def model_bytes(source: ModelLike, model: Model) -> bytes:
    """Return the file of a loaded model, to be embedded.

    A released model is embedded whole; any other in its shortest form, which may be what it changes in a
    released one (`bbcodec.modelfile.delta`).

    Raises
    ------
    OptionError
        The model was made elsewhere and its file is not at hand.
    """
    from bbcodec import modelfile
    from bbcodec.modelfile import delta

    for path in modelfile.released().values():
        if hashlib.sha256(found := path.read_bytes()).hexdigest() == model.id:
            return found
    return delta.smallest(_own_bytes(source, model))


def _own_bytes(source: ModelLike, model: Model) -> bytes:
    """The whole file of a model that is not released."""
    from bbcodec import modelfile
    from bbcodec.modelfile import delta

    if isinstance(source, str | os.PathLike) and (path := Path(source)).is_file():
        found = path.read_bytes()
        if delta.is_delta(found):
            found = delta.restore(found)
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
    from bbcodec import modelfile
    from bbcodec.modelfile import delta

    section = parsed.one(container.MODEL)
    if section is None:
        raise FormatError(f"file: section {container.CHAINS} without section {container.MODEL}")
    wanted = model_id_of(section)
    if given is not None and (model := load(given)).id == wanted:
        return model
    embedded = section.payload[MODEL_ID_SIZE:]
    if len(embedded):
        hashed = delta.id_of(embedded)
        if hashed != wanted:
            raise FormatError(f"section {section.kind}: embedded model has id {hashed}, expected {wanted}")
        return modelfile.load(embedded)
    if (found := installed(wanted)) is None:
        raise ModelMissingError(f"the file needs model {wanted}, which is neither embedded nor installed")
    return found


def installed(model_id: str) -> Model | None:
    """Return the released model of an id, or None."""
    from bbcodec import modelfile

    for path in modelfile.released().values():
        status = path.stat()
        if _hash(path, status.st_mtime_ns, status.st_size) == model_id:  # the others need not be sound
            return modelfile.load_named(path)
    return None


@lru_cache(maxsize=32)
def _hash(path: Path, changed: int, size: int) -> str:
    """SHA-256 of a file that has not changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
