# SPDX-License-Identifier: Apache-2.0
"""Decodes files of all kinds with the reference decoder, and compares what comes out with a manifest.

    python tests/reference_decoder.py tests/golden/*.bb*

Nothing of the package is imported; model files are read from models/released. Every file must give the pixels
whose SHA-256 stands under its name in manifest.json beside it. Exit code 1 if one does not.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from reference import archive, arrays, batches, container
from reference.wire import Refused

RELEASED = Path(__file__).parents[1] / "models" / "released"


def installed() -> dict[bytes, bytes]:
    """Released model files by their ids."""
    files = [path.read_bytes() for path in sorted(RELEASED.glob("*.bbm"))]
    return {hashlib.sha256(file).digest(): file for file in files}


def digest(pixels: Any) -> str:
    """SHA-256 over dtype, shape and bytes (little-endian), as in the manifest of the golden files."""
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(
        f"{pixels.dtype.name} {list(pixels.shape)}\n".encode() + little.tobytes()
    ).hexdigest()


def decoded(data: bytes) -> str:
    """Digest of a file: of its pixels, of those of a batch, of names and pixels, or of arrays and source."""
    if data[:8] == arrays.MAGIC:
        found, source = arrays.decode(data, installed())
        text = "".join(f"{axes} {digest(array)}\n" for axes, array in found)
        if source is not None:
            text += f"{hashlib.sha256(source).hexdigest()}\n"
        return hashlib.sha256(text.encode()).hexdigest()
    if data[:8] == batches.CHUNK:
        return digest(batches.chunk(data, installed()))
    if data[:8] == batches.BATCH:
        pictures = "".join(map(digest, batches.batch(data, installed())))
        return hashlib.sha256(pictures.encode()).hexdigest()
    if data[:8] != archive.MAGIC:
        return digest(container.decode(data, installed()).array())
    packed = archive.decode(data, installed())
    lines = "".join(f"{name} {digest(picture.array())}\n" for name, picture in packed.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def main(names: list[str]) -> int:
    """Decode all files and tell about each; 1 if one is not what its manifest says."""
    failures = 0
    for name in names:
        path = Path(name)
        wanted = json.loads(path.with_name("manifest.json").read_text())[path.name]
        begin = time.perf_counter()
        try:
            verdict = "right" if decoded(path.read_bytes()) == wanted else "WRONG pixels"
        except Refused as error:
            verdict = f"REFUSED: {error}"
        failures += verdict != "right"
        print(f"{path.name:28} {time.perf_counter() - begin:8.2f} s  {verdict}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
