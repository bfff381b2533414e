# SPDX-License-Identifier: Apache-2.0
"""Options of a command, grouped: how to encode, how to decode, and where the output goes.

A command builds these from its parameters (`options`) and hands them on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bbcodec.cli.model_choice import check_model
from bbcodec.cli.report import refuse
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.container import Limits

__all__ = ["Decoding", "Destination", "Encoding", "read_region", "read_storage"]


@dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Parameters
    ----------
    method
        `auto`, `learned` or `classic`.
    model
        Name, id or path of the model; None is the default one.
    embed_model
        Whether the model goes into the file. None leaves that to the archive.
    keep_metadata
        Whether ICC, EXIF and the like are kept.
    verify
        Whether every image is decoded again and compared.
    threads
        Threads; 0 means all cores.
    backend
        Name of the backend; None is the fastest one.
    max_pixels
        Largest width * height of an image; None is the limit of the library.
    fit
        Seconds to fit the model to each image, or None.
    seed
        Seed of the fit.
    recovery
        Percent of the sectors that recovery data can repair; None leaves that to the archive.
    axes
        Letters for the axes of an array, or None.
    group
        Planes of an array that are coded together; None is the default.
    """

    method: str = "auto"
    model: str | None = None
    embed_model: bool | None = None
    keep_metadata: bool = True
    verify: bool = True
    threads: int = 0
    backend: str | None = None
    max_pixels: int | None = None
    fit: float | None = None
    seed: int = 0
    recovery: float | None = None
    axes: str | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        """Refuse a percentage that is out of range."""
        from bbcodec.container.recovery import check_percent
        from bbcodec.errors import OptionError

        if self.recovery:
            try:
                check_percent(self.recovery)
            except OptionError as error:
                refuse(f"--recovery: {error}")


@dataclass(frozen=True)
class Decoding:
    """How files are decoded: the model to use beside the installed ones, threads, backend and limits."""

    model: str | None
    threads: int
    backend: str | None
    limits: Limits

    @classmethod
    def of(
        cls,
        model: str | None,
        threads: int,
        backend: str | None,
        max_pixels: int | None,
        max_memory: str | None,
    ) -> Decoding:
        """Return the settings of `--model`, `-T`, `--backend`, `--max-pixels` and `--max-memory`.

        An unknown model or size is a usage error.
        """
        return cls(check_model(model), threads, backend, _read_limits(max_pixels, max_memory))

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of `bbcodec.decompress` and of `bbcodec.Archive`."""
        return {
            "model": self.model,
            "threads": self.threads,
            "backend": self.backend,
            "limits": self.limits,
        }


@dataclass(frozen=True)
class Destination:
    """Where the outputs go, and what happens to files that exist.

    Parameters
    ----------
    output, output_dir, stdout
        The options `-o`, `--output-dir` and `-c`.
    recursive
        Whether folders are searched.
    force
        Whether existing outputs are overwritten.
    skip_existing
        Whether existing whole outputs are left as they are.
    remove
        Whether each input is deleted after its output was checked.
    storage
        How files are reached.
    """

    output: str | None = None
    output_dir: str | None = None
    stdout: bool = False
    recursive: bool = False
    force: bool = False
    skip_existing: bool = False
    remove: bool = False
    storage: Storage = field(default_factory=Storage)


def _read_limits(max_pixels: int | None, max_memory: str | None) -> Limits:
    """Return the limits of a reader. A size that cannot be read is a usage error."""
    from bbcodec.container import MAX_PIXELS, Limits
    from bbcodec.errors import OptionError

    size = None
    if max_memory is not None:
        from bbcodec.bbfile.memory import read_size

        try:
            size = read_size(max_memory)
        except OptionError as error:
            refuse(f"--max-memory: {error}")
    return Limits(max_pixels=max_pixels or MAX_PIXELS, max_memory=size)


def read_storage(text: str | None) -> Storage:
    """Return how files are reached, from `--storage-options`. Other than a JSON object is a usage error."""
    options: Any = {}
    if text is not None:
        try:
            options = json.loads(text)
        except ValueError as error:
            refuse(f"--storage-options is not JSON: {error}")
        if not isinstance(options, dict):
            refuse("--storage-options must be a JSON object, such as '{\"anon\": true}'")
    return Storage(options)


def read_region(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the numbers of `--region X,Y,W,H`. Other than four of them is a usage error."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        refuse(f"--region must be four numbers of pixels X,Y,W,H (got {text!r})")
    x, y, width, height = map(int, parts)
    return x, y, width, height
