# SPDX-License-Identifier: Apache-2.0
"""Rates and times on deep arrays: the sets `deep` (planes alone) and `volumes` of ``rates.py``.

    python benchmarks/rates.py --sets deep,volumes > docs/results/deep.md

Every byte counts, and every round trip is verified. Peers get what suits them: samples from 0 on, the number
of bits that they have, and RGB as RGB where the format knows it. They come from the packages ``imagecodecs``
and ``tomoz``, which must be installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import chunks

SETS: Final = ("deep", "volumes")
REFERENCE: Final = "JPEG XL e9"
THREADS: Final = 2
_MIN_BITS: Final = 9  # fewer bits are coded as 8 by some libraries

Array = NDArray[Any]
Codec = tuple[Callable[[Array], bytes], Callable[[bytes], Array]]


@dataclass
class Result:
    """What a codec made of the parts of one array."""

    nbytes: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    error: str = ""


def ours(model: str) -> Codec:
    """Return bbcodec with a model."""
    options = chunks.Options(model=model, verify=False)
    return (
        lambda array: chunks.encode(array, options, threads=THREADS),
        lambda data: chunks.decode(data, threads=THREADS),
    )


def peers() -> dict[str, Codec]:
    """Return the peers whose packages are installed."""
    found: dict[str, Codec] = {}
    try:
        ic: Any = import_module("imagecodecs")
    except ImportError:
        return found

    def jxl(effort: int) -> Codec:
        def encode(array: Array) -> bytes:
            bits = max(_MIN_BITS, int(array.max()).bit_length())
            found: bytes = ic.jpegxl_encode(
                array, lossless=True, effort=effort, bitspersample=bits, numthreads=THREADS
            )
            return found

        return encode, lambda data: np.asarray(ic.jpegxl_decode(data, numthreads=THREADS))

    found["JPEG XL e7"], found["JPEG XL e9"] = jxl(7), jxl(9)
    found["JPEG-LS"] = lambda a: ic.jpegls_encode(a, level=0), ic.jpegls_decode
    found["JPEG 2000"] = (
        lambda a: ic.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k", numthreads=THREADS),
        lambda data: ic.jpeg2k_decode(data, numthreads=THREADS),
    )
    found["HTJ2K"] = lambda a: ic.htj2k_encode(a, reversible=True), ic.htj2k_decode
    found["PNG 9"] = lambda a: ic.png_encode(a, level=9), ic.png_decode
    found["LERC"] = lambda a: ic.lerc_encode(a, level=0), ic.lerc_decode
    found["zstd 19, bitshuffle"] = (
        lambda a: ic.zstd_encode(ic.bitshuffle_encode(a.tobytes(), itemsize=a.itemsize), level=19),
        lambda data: np.frombuffer(ic.bitshuffle_decode(ic.zstd_decode(data), itemsize=2), np.uint16),
    )
    try:
        tomoz: Any = import_module("tomoz")
    except ImportError:
        return found
    found["tomoz"] = (
        lambda a: tomoz.encode(a, threads=THREADS),
        lambda data: tomoz.decode(data, threads=THREADS),
    )
    return found


def versions() -> list[str]:
    """Return the versions of the packages of the peers."""
    found = []
    for name in ("imagecodecs", "tomoz"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name}: not installed")
    return found


def arrays(data: Path, name: str) -> Iterator[tuple[str, list[Array], Array]]:
    """Yield the name of each array of a set, the parts that peers code, and what bbcodec codes."""
    for file in sorted((data / "deep").glob("*.npz")):
        with np.load(file) as stored:
            array = stored["x"]
        is_rgb = array.shape[-1] == 3
        parts = [array] if is_rgb or array.ndim == 2 else list(array.reshape(-1, *array.shape[-2:]))
        if name == "deep":
            yield file.stem, parts, array
        elif len(parts) > 1 and not is_rgb:
            yield file.stem, [array.reshape(-1, *array.shape[-2:])], array


def measure(codec: Codec, parts: list[Array], *, from_zero: bool, split: bool) -> Result:
    """Return the bytes and times of the parts of an array, each coded alone."""
    result = Result()
    encode, decode = codec
    try:
        for part in parts:
            whole = part.astype(np.int32) - int(part.min()) if from_zero else part
            samples = whole.astype(np.uint16) if from_zero else whole
            planes = list(np.moveaxis(samples, -1, 0)) if split and samples.shape[-1] == 3 else [samples]
            for plane in map(np.ascontiguousarray, planes):
                start = time.perf_counter()
                packed = bytes(encode(plane))
                middle = time.perf_counter()
                found = np.asarray(decode(packed))
                end = time.perf_counter()
                if not np.array_equal(found.reshape(plane.shape), plane):
                    raise ValueError("the decoded samples differ")
                result.nbytes += len(packed)
                result.encode_seconds += middle - start
                result.decode_seconds += end - middle
    except Exception as error:  # libraries raise anything for what they do not support
        result.error = " ".join(str(error).split()) or type(error).__name__
    return result


def table(data: Path, name: str, models: list[str], say: Callable[[str], None]) -> str:
    """Return the report of a set in Markdown."""
    rivals = peers()
    if name == "volumes":
        rivals = {key: codec for key, codec in rivals.items() if key in ("tomoz", "JPEG XL e9")}
    results: dict[str, dict[str, Result]] = {}
    samples: dict[str, int] = {}
    for array_name, parts, whole in arrays(data, name):
        row: dict[str, Result] = {}
        samples[array_name] = whole.size
        for model in models:
            own = parts if name == "deep" else [whole]
            row[f"bbcodec {model}"] = measure(ours(model), own, from_zero=False, split=False)
        for title, codec in rivals.items():
            alone = list(parts[0]) if name == "volumes" and title != "tomoz" else parts
            no_rgb = title in ("tomoz", "JPEG-LS")
            row[title] = measure(codec, alone, from_zero=title != "tomoz", split=no_rgb)
        results[array_name] = row
        say(f"{name}: {array_name}: " + ", ".join(f"{k} {r.error or r.nbytes}" for k, r in row.items()))
    return _markdown(results, samples)


def _markdown(results: dict[str, dict[str, Result]], samples: dict[str, int]) -> str:
    codecs = list(next(iter(results.values())))
    lines = ["| bytes | " + " | ".join(codecs) + " | bits a sample |", "| --- " * (len(codecs) + 2) + "|"]
    for name, row in results.items():
        cells = [f"{row[c].nbytes:,}" if not row[c].error else "–" for c in codecs]
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {8 * row[codecs[0]].nbytes / samples[name]:.3f} |"
        )
    whole = {c: all(not row[c].error for row in results.values()) for c in codecs}
    total = {c: sum(row[c].nbytes for row in results.values()) for c in codecs}
    lines.append("| **all** | " + " | ".join(f"{total[c]:,}" if whole[c] else "–" for c in codecs) + " | |")
    reference = total.get(REFERENCE)
    if reference and whole[REFERENCE]:
        relative = [f"{total[c] / reference - 1:+.1%}" if whole[c] else "–" for c in codecs]
        lines.append(f"| to {REFERENCE} | " + " | ".join(relative) + " | |")
    count = 2e-6 * sum(samples.values())
    for what in ("encode", "decode"):
        speeds = [
            count / max(1e-9, sum(getattr(r[c], f"{what}_seconds") for r in results.values())) for c in codecs
        ]
        lines.append(f"| {what} MB/s | " + " | ".join(f"{speed:.2f}" for speed in speeds) + " | |")
    return "\n".join(lines)


def report(data: Path, names: list[str], models: list[str], say: Callable[[str], None]) -> str:
    """Return the report of the sets in Markdown."""
    titles = {
        "deep": "Deep arrays, planes alone",
        "volumes": "Volumes: bbcodec and tomoz whole, JPEG XL plane by plane",
    }
    parts = [f"Peers: {', '.join(versions())}. All with {THREADS} threads where they have threads."]
    for name in names:
        parts += [f"## {titles[name]}", table(data, name, models, say)]
    return "\n\n".join(parts)
