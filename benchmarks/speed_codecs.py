# SPDX-License-Identifier: Apache-2.0
"""The codecs of `speed.py`: how to call each in this process and as a process. Nothing is timed here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rates_peers import Peer, Pixels, peers

import bbcodec
from bbcodec import modelfile
from bbcodec.backends import BACKENDS, TARGETS, backend_name, native_target
from bbcodec.errors import BBCodecError, ModelMissingError, OptionError, UnsupportedImageError

__all__ = ["Backend", "Codec", "RoundTripError", "ours", "theirs"]

_TARGET_VARIABLE = "BBCODEC_TARGET"
# A program that does with a peer what `bbcodec compress` and `decompress` do: a picture to a file, and back.
_PEER_PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from PIL import Image
from rates_peers import peers
key, way, source, target = sys.argv[2:]
(peer,), _ = peers([key])
if way == "encode":
    Path(target).write_bytes(peer.encode(np.array(Image.open(source))))
else:
    Image.fromarray(peer.decode(Path(source).read_bytes())).save(target)
"""


class RoundTripError(BBCodecError):
    """The decoded picture differs from the encoded one."""


@dataclass(frozen=True)
class Codec:
    """One row.

    Attributes
    ----------
    label : name in tables
    encode, decode : code one picture in this process
    command : returns the command line of a process, given "encode" or "decode", source and target;
        pictures are PPM files
    refusals : exceptions for pictures that the codec does not support
    variables : environment variables for the process
    """

    label: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    command: Callable[[str, Path, Path], list[str]]
    refusals: tuple[type[Exception], ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backend:
    """A backend. For `native` also a target, or None for that of BBCODEC_TARGET or the best one."""

    name: str
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> Backend:
        """Parse NAME or native:TARGET.

        Raises
        ------
        OptionError
            The backend or target is unknown or not available here.
        """
        name, colon, target = text.partition(":")
        if name not in BACKENDS or (colon and (name != "native" or target not in TARGETS)):
            raise OptionError(f"backend {text!r}: expected one of {', '.join(BACKENDS)}, or native:TARGET")
        backend = cls(name, target or None)
        with backend.chosen():
            backend_name(name)
        return backend

    @property
    def title(self) -> str:
        """Return the backend as the command line names it."""
        return f"{self.name}:{self.target}" if self.target else self.name

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that select the target."""
        return {_TARGET_VARIABLE: self.target} if self.target else {}

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """Select the target by the environment while the block runs."""
        before = os.environ.get(_TARGET_VARIABLE)
        os.environ.update(self.variables)
        try:
            yield
        finally:
            if before is not None:
                os.environ[_TARGET_VARIABLE] = before
            elif self.target:
                del os.environ[_TARGET_VARIABLE]

    def facts(self) -> str:
        """Return a line that says which implementation and target compute."""
        from bbcodec.families.local.codec import implementation

        with self.chosen():
            module = implementation(self.name)
            words = f"backend {self.title}: the family `local` is computed by {module.__name__}"
            if self.name == "native":
                words += f", target {native_target()}"
        return words


def ours(profile: str, threads: int, backend: Backend) -> Codec:
    """Return a row of bbcodec. The caller compares the pixels, so the codec does not verify."""
    released = modelfile.released()
    model = profile if profile in released else str(Path(profile).resolve())

    def encode(image: Pixels) -> bytes:
        with backend.chosen():
            return bbcodec.compress(
                image, method="learned", model=model, threads=threads, backend=backend.name, verify=False
            )

    def decode(data: bytes) -> Pixels:
        with backend.chosen():
            return bbcodec.decompress(data, model=model, threads=threads, backend=backend.name)

    def command(way: str, source: Path, target: Path) -> list[str]:
        choice = ["--method", "learned", "--no-verify"] if way == "encode" else ["--format", "ppm"]
        words = [sys.executable, "-m", "bbcodec", "compress" if way == "encode" else "decompress"]
        words += ["-q", "-f", *choice, "--model", model, "-T", str(threads), "--backend", backend.name]
        return [*words, "-o", str(target), str(source)]

    count = f"{threads} thread" + ("s" if threads > 1 else "")
    return Codec(
        f"bbcodec {Path(profile).stem}, {count}, {backend.title}",
        encode,
        decode,
        command,
        (ModelMissingError, OptionError, UnsupportedImageError),
        backend.variables,
    )


def theirs(wanted: list[str]) -> tuple[list[Codec], list[str], list[str]]:
    """Return rows of the peers, their settings and versions (one line each), and why others are missing."""
    found, missing = peers(wanted)
    lines = [f"{peer.title}: {peer.settings}; {peer.library}" for peer in found]
    return [_peer(peer) for peer in found], lines, missing


def _peer(peer: Peer) -> Codec:
    def command(way: str, source: Path, target: Path) -> list[str]:
        place = str(Path(__file__).resolve().parent)
        return [sys.executable, "-c", _PEER_PROGRAM, place, peer.key, way, str(source), str(target)]

    return Codec(peer.title, peer.encode, peer.decode, command, (Exception,))
