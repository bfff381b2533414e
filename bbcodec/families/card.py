# SPDX-License-Identifier: Apache-2.0
"""Facts about a model file, and a test that the model codes: for `bbcodec models`.

Functions return JSON values. Nothing here prints.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import backends, modelfile
from bbcodec.errors import ModelError
from bbcodec.families import learned
from bbcodec.families.deep.family import decode_array, encode_array
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model, delta, registry

__all__ = ["describe", "listing", "verify"]

PURPOSES: Final = {
    "standard": "all pictures; the default",
    "quick": "all pictures, four times as fast on photographs, 5 to 8 % larger",
    "best": "all pictures, slowest; photographs up to 1 % smaller",
    "deep": "samples of more than 8 bits, volumes and channels; goes with standard and best",
    "deep-quick": "the same, five times as fast; goes with quick",
    "photo": "photographs: network and predictors of standard, alone",
    "fast": "photographs: network and predictors of quick, alone",
    "thumb": "small pictures in batches",
    "flowpp": "a flow with local bits back (Flow++), for 32 x 32",
    "rvae": "latent variables with bits back (ResNet VAE, BB-ANS)",
    "markov": "latent variables with bits back (Markov chain, Bit-Swap)",
}

RELEASED_IDS: Final = {
    "best": "f604067cf7d92a9c52dcb7c5ba1fb061e3b5af09ec2e60a6a13d5ae3e2d85db4",
    "deep": "9a35706de47eeffd6fbebd829141c6f592268448780801573c7d9580da9d1c83",
    "deep-quick": "53fff9932455d019381549c9e70fd97dd558f74ca49909ebc3fce8ace9d0d8d4",
    "fast": "948960f9b59fd827ca9547067ec2b303469c95de26aacafa1f5ddec805a72e95",
    "flowpp": "e6b54321ef8246d0c95a33ecaaaaef1be64b216c998ef9ab27107599ed4250df",
    "markov": "dac3ecc049973fe71290553df20e91502be113e16549fc03cc97564557b994b6",
    "photo": "19ec88a03fd660a3dc0ace6add7887957c9984ef63ecc79a02022da8c41fd0b0",
    "quick": "db72835524f040da5d03fc5d49810a5c3ed52a2341b96c0973dea656dbfceae1",
    "rvae": "7f99e80bd6a9109d293b16e24bf28f5b2f89f4fabce8c3f6e7c927f55d52a289",
    "standard": "b923986ce84c0347c3dc03c14635990cf0aeed4756591fa6ab4a0eacd958f4d0",
    "thumb": "5f1c6eb406b621b121e9bf64adcb27482aa3e913f8f5b43810ccf3aaa366f8a8",
}
"""SHA-256 of every released model file; `verify` uses it to detect a damaged or replaced file."""

_DEEPER: Final = 97  # times the samples of that picture, for a model of deep samples
_TEST_PICTURE_SHAPE: Final = (12, 19)  # pixels; `verify` codes a picture of this size


def listing() -> list[dict[str, Any]]:
    """Return name, family, bytes, id and purpose of every released model, in JSON values."""
    found = []
    for name, path in modelfile.released().items():
        data = path.read_bytes()
        family = modelfile.split(data)[1]["family"]
        entry = {"name": name, "family": family, "bytes": len(data), "id": hashlib.sha256(data).hexdigest()}
        found.append({**entry, "purpose": PURPOSES.get(name, "")})
    return found


def file_of(name: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a model file.

    Parameters
    ----------
    name : a released name, at least 8 digits of an id, or a path.

    Raises
    ------
    OSError
        The file cannot be read.
    ModelMissingError
        The name is neither a released model nor a path to a file.
    ModelError
        The model is known, but its file cannot be read.
    """
    shipped = modelfile.released()
    if os.fspath(name) in shipped:
        return shipped[os.fspath(name)].read_bytes()
    if os.path.isfile(name):
        return Path(name).read_bytes()
    wanted = modelfile.load_named(name).id
    for path in shipped.values():
        if hashlib.sha256(data := path.read_bytes()).hexdigest() == wanted:
            return data
    raise ModelError(f"model {os.fspath(name)!r}: its file cannot be read")


def describe(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a model in JSON values.

    Returns
    -------
    dict
        - ``name``: the released name, or None;
        - ``family``, ``id``, ``purpose``, and ``bytes`` of the whole file;
        - ``embedded_bytes``: bytes that the model takes inside a picture file or archive;
        - ``parent``: the released model whose changes are stored when it is embedded, or None;
        - ``parameters``: number of all integers (a weight of more than 8 bits may be two of them);
        - ``binary``, ``binary_share``: number and share of the 1-bit weights among them;
        - ``config``, ``notes``: as in the file.

    Raises
    ------
    ModelError, ModelMissingError, OSError
        There is no such model, its file cannot be read, or it is not valid.
    """
    data = file_of(name)
    model = modelfile.load(data)
    whole = registry.restore(data) if delta.is_delta(data) else data
    names = {entry["id"]: entry["name"] for entry in listing()}
    mine = names.get(model.id)
    short = whole if mine else registry.smallest(whole)
    parent = delta.parent_of(short) if delta.is_delta(short) else None
    binary, others = family_of(model).parameters(model)
    return {
        "name": mine,
        "family": model.family,
        "bytes": model.nbytes,
        "id": model.id,
        "purpose": PURPOSES.get(mine or "", ""),
        "embedded_bytes": len(short),
        "parent": names.get(parent or ""),
        "parameters": binary + others,
        "binary": binary,
        "binary_share": binary / max(1, binary + others),
        "config": dict(model.config),
        "notes": dict(model.notes),
    }


def verify(name: str | os.PathLike[str], using: Sequence[str] = ()) -> dict[str, Any]:
    """Verify a model: its id, its bounds, and an exact round trip with the same bytes on every backend.

    Parameters
    ----------
    name : see `describe`.
    using : backends to test. Default: all available ones. The first use of numba compiles for half a minute.

    Returns
    -------
    dict
        ``name``, ``id``, ``backends``, and ``bits_per_dim`` of the synthetic test picture.

    Raises
    ------
    ModelError
        The file differs from the released one, the model is not valid, or it does not code exactly.
    """
    data = file_of(name)
    text = os.fspath(name)
    found = delta.id_of(data)
    if text in modelfile.released() and RELEASED_IDS.get(text, found) != found:
        raise ModelError(f"model {text!r}: the file has id {found}, released was {RELEASED_IDS[text]}")
    model = modelfile.load(data)
    height, width = _TEST_PICTURE_SHAPE
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    image = np.clip(np.stack([4 * x + 40, 5 * y + 60, 3 * (x + y) + 20], 2) + noise, 0, 255).astype(np.uint8)
    coded: list[bytes] | None = None
    used = list(using) or backends.available()
    for backend in used:
        chains, is_same = _round_trip(image, model, Execution(1, backend))
        if coded is not None and chains != coded:
            raise ModelError(f"model {text!r}: backend {backend} gives other bytes than backend {used[0]}")
        if not is_same:
            raise ModelError(f"model {text!r}: backend {backend} does not decode the picture that it encoded")
        coded = chains
    bits = 8 * sum(map(len, coded or []))
    return {"name": text, "id": found, "backends": used, "bits_per_dim": bits / image.size}


def _round_trip(image: NDArray[np.uint8], model: Model, execution: Execution) -> tuple[list[bytes], bool]:
    """Return the chains of a picture, and whether they decode to it. Deep models get 16 bits a sample."""
    if not family_of(model).deep:
        height, width, channels = image.shape
        chains = learned.encode(image, model, execution).chains
        back = learned.decode(chains, height, width, channels, model, execution)
        return list(chains), np.array_equal(back, image)
    array = np.moveaxis(image.astype(np.int64) * _DEEPER, -1, 0)[None]
    head, coded = encode_array(array, model, execution, colours=array.shape[1])
    shape = 1, *array.shape[1:]
    decoded = decode_array(coded.chains, head, shape, np.uint16, model, execution)
    return list(coded.chains), np.array_equal(decoded, array)
