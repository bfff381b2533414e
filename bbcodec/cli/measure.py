# SPDX-License-Identifier: Apache-2.0
"""Sizes and times of codecs on pictures, every round trip verified. `rivals` says how codecs are called."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bbcodec.cli import codec as ours

if TYPE_CHECKING:
    from bbcodec.cli.rivals import Codec
    from bbcodec.picture.picture import Picture

__all__ = ["mean_results", "measure", "prepare"]


def prepare(model: list[str] | None, threads: int, backend: str | None) -> list[Codec]:
    """Return the codecs, ours with the models of the levels if none is named.

    Each has run once on a small picture, so that imports and files are not timed.
    """
    import contextlib

    import numpy as np

    from bbcodec.cli.model_choice import MODELS
    from bbcodec.cli.rivals import codecs
    from bbcodec.picture.picture import Picture

    rows = codecs(model or list(MODELS.values())[::-1], threads, backend)
    small = Picture.of(np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3))
    for codec in rows:
        with contextlib.suppress(Exception):  # it fails again where it is measured
            codec.decode(codec.encode(small))
    return rows


def measure(codec: Codec, picture: Picture) -> dict[str, Any]:
    """Return the result of one codec on one picture: size and times, or why there are none.

    A rival that cannot take the picture, or changes it, gets a row that says so. For our own codec that is an
    error, except where it refuses a picture by name.
    """
    from bbcodec.errors import BBCodecError, ModelMissingError, OptionError, UnsupportedImageError

    try:
        start = time.perf_counter()
        data = codec.encode(picture)
        middle = time.perf_counter()
        decoded = codec.decode(data)
        end = time.perf_counter()
        exact = codec.exact(picture, decoded)
    except Exception as error:  # whatever a library raises on a picture that it cannot take
        if codec.ours and not isinstance(error, ModelMissingError | OptionError | UnsupportedImageError):
            raise
        return {"codec": codec.name, "error": " ".join(str(error).split()) or type(error).__name__}
    if not exact and codec.ours:
        raise BBCodecError(f"{codec.name}: round trip differs")
    if not exact:
        return {"codec": codec.name, "error": "round trip differs"}
    result = {
        "codec": codec.name,
        "bytes": len(data),
        "bits_per_dim": 8 * len(data) / picture.pixels.size,
        "encode_seconds": middle - start,
        "decode_seconds": end - middle,
    }
    if codec.ours:
        learned = getattr(ours.describe(data), "learned", None)
        if learned is not None and "initial_bits_lost" in learned:
            result["initial_bits_lost"] = learned["initial_bits_lost"]
    return result


def mean_results(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean result of each codec over the images that it could encode, with their number."""
    means: list[dict[str, Any]] = []
    for index, first in enumerate(records[0]["codecs"] if records else ()):
        good = [record["codecs"][index] for record in records if "bytes" in record["codecs"][index]]
        mean: dict[str, Any] = {"codec": first["codec"], "images": len(good)}
        if good:
            for key in ("bytes", "bits_per_dim", "encode_seconds", "decode_seconds"):
                mean[key] = sum(result[key] for result in good) / len(good)
        else:
            mean["error"] = "no image"
        means.append(mean)
    return means
