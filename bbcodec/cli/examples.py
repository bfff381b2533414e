# SPDX-License-Identifier: Apache-2.0
"""The examples at the end of every command's `--help`. The tests run them in a folder with such files."""

from __future__ import annotations

from typing import Final

__all__ = ["EXAMPLES", "epilog"]

EXAMPLES: Final = {
    "compress": (
        "bbcodec compress photo.png",
        "bbcodec compress -1 -r photos --output-dir small",
        "bbcodec compress - -c <photo.png >stream.bb",
    ),
    "decompress": (
        "bbcodec decompress photo.bb",
        "bbcodec decompress photo.bb -o photo.webp",
        "bbcodec decompress photo.bb -o part.png --region 10,20,24,10",
    ),
    "compare": (
        "bbcodec compare photo.png",
        "bbcodec compare photos/*.png --model fast --html report.html",
    ),
    "info": ("bbcodec info photo.bb", "bbcodec info --json photo.bb photos.bb"),
    "test": ("bbcodec test *.bb", "bbcodec test -q photo.bb && echo sound"),
    "pack": ("bbcodec pack photos -o photos.bb", "bbcodec pack -1 photo.png photos -o few.bb"),
    "append": ("bbcodec append photos.bb photo.png", "bbcodec append photos.bb photos --skip-existing"),
    "unpack": ("bbcodec unpack photos.bb -o everything", "bbcodec unpack photos.bb 'cats/*' -o cats"),
    "list": ("bbcodec list photos.bb", "bbcodec list -l photos.bb 'cats/*'"),
    "get": ("bbcodec get photos.bb cats/7.png", "bbcodec get photos.bb cats/7.png -c >cat.png"),
    "train": (
        "bbcodec train photos -o mine.bbm --minutes 5",
        "bbcodec pack photos -o photos.bb --model mine.bbm",
    ),
    "models": ("bbcodec models", "bbcodec models info photo"),
    "models list": ("bbcodec models list --json",),
    "models info": ("bbcodec models info photo", "bbcodec models info mine.bbm"),
    "models verify": ("bbcodec models verify fast --backend numpy",),
}
"""Command lines by command."""


def epilog(command: str) -> str:
    """Return the examples of a command as the end of its help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[command])
