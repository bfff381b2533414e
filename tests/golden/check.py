# SPDX-License-Identifier: Apache-2.0
"""Check golden files, read and written again, and golden vectors; needs only NumPy and Pillow.

    python tests/golden/check.py --native         fail without the C++ module
    native/emulate.sh aarch64                     the same on another CPU

The exit code is 1 if a picture or a byte differs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys

import make
import numpy as np
import PIL
import vectors

from bbcodec import backends
from bbcodec.errors import BBCodecError

# Pillow before version 10 cannot convert arrays to pictures as make.py does, and comes with a libwebp that
# writes other bytes.
NEEDS_PILLOW = {"archive_auto_copies.bb", "archive_thumb_copies.bb", "classic_recovery.bb"}


def main() -> int:
    """Check everything, print a summary, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--native", action="store_true", help="the C++ module must be there")
    args = parser.parse_args()
    backend = backends.backend_name(None)
    print(f"{platform.machine()}, {sys.byteorder}-endian; Python {platform.python_version()}, ", end="")
    print(f"NumPy {np.__version__}, Pillow {PIL.__version__}; backend {backend}", flush=True)
    wrong = ["the C++ module is missing"] if args.native and backend != "native" else []
    manifest = json.loads(make.MANIFEST.read_text())
    for name, digest in sorted(manifest.items()):
        try:
            if make.decoded((make.HERE / name).read_bytes()) != digest:
                wrong.append(f"{name}: other pixels")
        except BBCodecError as error:
            wrong.append(f"{name}: {error}")
    old = int(PIL.__version__.split(".")[0]) < 10
    writers = [name for name in make.REPEATED if not (old and name in NEEDS_PILLOW)]
    recipes = make.everything()
    for name in writers:
        if recipes[name]() != (make.HERE / name).read_bytes():
            wrong.append(f"{name}: other bytes")
    golden = json.loads(vectors.MANIFEST.read_text())
    found = vectors.everything(backend)
    for kind, digests in golden.items():
        wrong += [f"{kind}: {name}" for name in digests if found[kind].get(name) != digests[name]]
    print(f"{sum(map(len, golden.values()))} golden vectors, ", end="")
    print(f"{len(manifest)} golden files read, {len(writers)} written again")
    print("wrong:", "; ".join(wrong) or "none")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
