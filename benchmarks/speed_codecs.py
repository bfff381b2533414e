# SPDX-License-Identifier: Apache-2.0
"""The codecs of `speed.py`: how each is called, here and as a process of its own. Nothing is timed."""

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

_TARGET = "BBCODEC_TARGET"
# What `bbcodec compress` and `decompress` do, with a peer: a picture into a file, and back.
_PEER = """
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
    """What was decoded is not what was encoded."""


@dataclass(frozen=True)
class Codec:
    """One row.

    Attributes
    ----------
    label : for tables
    encode, decode : in this process, of one picture
    command : from "encode" or "decode", source and target to the words of a process; pictures are PPM files
    refusals : what the codec may raise on a picture that it cannot take
    variables : of the environment, for the process
    """

    label: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    command: Callable[[str, Path, Path], list[str]]
    refusals: tuple[type[Exception], ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backend:
    """A backend, and with `native` a target or None: what BBCODEC_TARGET says, or else the best one."""

    name: str
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> Backend:
        """Read NAME or native:TARGET.

        Raises
        ------
        OptionError
            There is no such backend or target here.
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
        """As the command line has it."""
        return f"{self.name}:{self.target}" if self.target else self.name

    @property
    def variables(self) -> dict[str, str]:
        """What the environment must say."""
        return {_TARGET: self.target} if self.target else {}

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """Let the environment say it while the block runs."""
        before = os.environ.get(_TARGET)
        os.environ.update(self.variables)
        try:
            yield
        finally:
            if before is not None:
                os.environ[_TARGET] = before
            elif self.target:
                del os.environ[_TARGET]

    def facts(self) -> str:
        """What computes under this choice."""
        from bbcodec.families.local.codec import implementation

        with self.chosen():
            module = implementation(self.name)
            words = f"backend {self.title}: the family `local` is computed by {module.__name__}"
            if self.name == "native":
                words += f", target {native_target()}"
        return words


def ours(profile: str, threads: int, backend: Backend) -> Codec:
    """Return a row of bbcodec; the caller compares the pixels, so nothing is verified by the codec itself."""
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
    """Return the rows of the peers, their settings and versions a line each, and why others are missing."""
    found, missing = peers(wanted)
    lines = [f"{peer.title}: {peer.settings}; {peer.library}" for peer in found]
    return [_peer(peer) for peer in found], lines, missing


def _peer(peer: Peer) -> Codec:
    def command(way: str, source: Path, target: Path) -> list[str]:
        place = str(Path(__file__).resolve().parent)
        return [sys.executable, "-c", _PEER, place, peer.key, way, str(source), str(target)]

    return Codec(peer.title, peer.encode, peer.decode, command, (Exception,))
