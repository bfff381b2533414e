# SPDX-License-Identifier: Apache-2.0
"""The demonstration of `make demo`: compress and decompress one photograph with the command line.

    python benchmarks/demo.py [IMAGE]       default: the photograph in scikit-image
    python benchmarks/demo.py --where       print the path of that photograph

Compresses with the learned method and with the automatic choice. Decompresses both, and compares every pixel
with the original as Pillow reads it. Prints bits per dim beside PNG, WebP and, with imagecodecs, JPEG XL.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def shipped_photograph() -> Path:
    """Return the path of a photograph in scikit-image, without importing the package."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("no photograph found: install scikit-image (extra 'bench'), or give an image")
    return Path(spec.origin).parent / "data" / "coffee.png"


def bbcodec(folder: str, *arguments: str) -> None:
    """Print a command and run it in a folder; exit if it fails."""
    print("$ bbcodec", *arguments, flush=True)
    code = subprocess.run([sys.executable, "-m", "bbcodec", *arguments], cwd=folder, check=False).returncode
    if code:
        raise SystemExit(code)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path, help="a photograph")
    parser.add_argument("--where", action="store_true", help="print the path of the shipped photograph")
    options = parser.parse_args()
    image: Path = options.image or shipped_photograph()
    if options.where:
        print(image)
        return

    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copy(image, folder)
        name = Path(source).name
        for method in ("learned", "auto"):
            bbcodec(folder, "compress", "--method", method, name, "-o", f"{method}.bb")
            bbcodec(folder, "decompress", f"{method}.bb", "-o", f"{method}.png")
            with Image.open(source) as before, Image.open(Path(folder, f"{method}.png")) as after:
                if before.mode != after.mode or not np.array_equal(np.asarray(before), np.asarray(after)):
                    raise SystemExit(f"{method}.png differs from {name}")
            print("every pixel is the same\n")
        bbcodec(folder, "info", "learned.bb")
        print()
        bbcodec(folder, "compare", name)


if __name__ == "__main__":
    main()
