# SPDX-License-Identifier: Apache-2.0
"""The surfaces that accept untrusted bytes: one function for each, which returns or raises a `BBCodecError`.

Any other outcome is a find: another exception, a signal, or more time or memory than `run.py` allows. Limits
are small, so that large inputs are refused at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_forms as forms
import numpy as np
from bbcodec.models.loglinear.build import build

import bbcodec
from bbcodec import classic, container, modelfile
from bbcodec.archive import check as archive_check
from bbcodec.archive.tables import split_blob
from bbcodec.arrays import chunks
from bbcodec.bbfile import metadata_sections
from bbcodec.coding import ans, codecs
from bbcodec.coding.distributions.categorical import Categorical
from bbcodec.coding.distributions.logistic import Logistic
from bbcodec.coding.distributions.mixture import LogisticMixture
from bbcodec.coding.distributions.uniform import Uniform
from bbcodec.container import Limits
from bbcodec.engine import Program
from bbcodec.errors import BBCodecError, FormatError, LimitError
from bbcodec.families import batch, learned
from bbcodec.families.deep import chains as deep_chains
from bbcodec.families.deep import head as deep_heads
from bbcodec.families.deep.family import decode_array
from bbcodec.families.family import MODULES
from bbcodec.families.local import fitted
from bbcodec.jobs import Execution
from bbcodec.modelfile import delta, registry
from bbcodec.picture import formats
from bbcodec.picture.formats import png
from bbcodec.picture.formats.png.chunks import SIGNATURE

LIMITS = Limits(max_pixels=1 << 14, max_metadata=1 << 17)
_MODES = sorted(bbcodec.picture.picture.MODES)


def run_container(data: bytes) -> None:
    """Decode a ``.bb`` file with any coder of its pixels."""
    with contextlib.suppress(BBCodecError):
        bbcodec.info(data, limits=LIMITS)
    picture = bbcodec.decompress_picture(data, limits=LIMITS, threads=1)
    assert picture.pixels.size


def run_region(data: bytes) -> None:
    """Decode a region, for which no picture digest hides errors of the coders."""
    header = container.read_header(data, limits=LIMITS)
    x, y = header.width // 3, header.height // 3
    region = (x, y, header.width - x, header.height - y)
    part = bbcodec.decompress(data, limits=LIMITS, threads=1, region=region)
    assert part.shape[:2] == (region[3], region[2])


def run_metadata(data: bytes) -> None:
    """Read sections of metadata as in a batch of an archive; the first byte gives the mode."""
    mode = _MODES[data[0] % len(_MODES)] if data else "RGB"
    found = metadata_sections.unpack(split_blob(data[1:], 0), mode, LIMITS)
    assert metadata_sections.unpack(metadata_sections.pack(found), mode, Limits()) == found


def run_model(data: bytes) -> None:
    """Load a model file; if it is valid, decode a meaningless payload with it."""
    model = modelfile.load(data)
    with contextlib.suppress(BBCodecError):
        _use_functions(model)
    if model.family in MODULES:
        words = np.full(600, 1 << 30, "<u4").tobytes()
        for payload in (b"\1\0" + words, b"\0" + words, words):
            with contextlib.suppress(BBCodecError):
                learned.decode([payload], 3, 4, 3, model, execution=Execution(threads=1))


def _use_functions(model: modelfile.Model) -> None:
    program = Program(model.graph)
    if any(a.macs > 1 << 20 or a.largest > 1 << 16 or a.live > 1 << 18 for a in program.analysis.values()):
        return  # `bbcodec.families.latent.signature` refuses graphs with too much work
    for name, function in program.graph.functions.items():
        inputs: dict[str, Any] = {}
        for port in function.inputs:
            if port.kind == "bits":
                inputs[port.name] = np.zeros((1, 4, 4, -(-port.channels // 64)), np.uint64)
            else:
                inputs[port.name] = np.full((1, 4, 4, port.channels), port.hi, np.int16)
        with contextlib.suppress(ValueError):  # shapes inside the function do not fit each other
            program(name, inputs)


def run_delta(data: bytes) -> None:
    """Restore a model from changes of a released one."""
    with contextlib.suppress(ValueError):
        assert len(delta.id_of(data)) == 64
    modelfile.load(registry.restore(data))


@cache
def _released(name: str) -> modelfile.Model:
    return modelfile.load_named(name)


def _run_payload(model: str | modelfile.Model, data: bytes) -> None:
    """Decode a payload without a container; three bytes in front give channels, height and width."""
    if len(data) < 3:
        raise FormatError("too short")
    channels, height, width = (1, 3)[data[0] % 2], 1 + data[1] % 12, 1 + data[2] % 12
    found = _released(model) if isinstance(model, str) else model
    pixels = learned.decode([data[3:]], height, width, channels, found, execution=Execution(threads=1))
    assert pixels.shape == (height, width, channels)


def run_local(data: bytes) -> None:
    """Decode a payload of the family local."""
    _run_payload("fast", data)


def run_photo(data: bytes) -> None:
    """Decode a payload with the largest model of the family local."""
    _run_payload("photo", data)


@cache
def _loglinear() -> modelfile.Model:
    return modelfile.load(build(_released("fast")))


def run_loglinear(data: bytes) -> None:
    """Decode a payload of the family loglinear."""
    _run_payload(_loglinear(), data)


def run_deep(data: bytes) -> None:
    """Decode chains of an array; bytes in front give its shape and the size of its head."""
    if len(data) < 5:
        raise FormatError("too short")
    shape = 1 + data[0] % 3, 1 + data[1] % 4, 1 + data[2] % 24, 1 + data[3] % 24
    head, rest = data[5 : 5 + data[4]], data[5 + data[4] :]
    told = deep_heads.unpack(container.Reader(head, "head"), shape[1], shape[0], -(1 << 63), (1 << 63) - 1)
    count = deep_chains.count(told, shape[0], *shape[2:])
    size = len(rest) // 4 // max(1, count) * 4
    chains = [rest[i * size : (i + 1) * size] for i in range(count)]
    array = decode_array(chains, told, shape, np.int64, _released("deep-quick"), Execution(threads=1))
    assert array.shape == shape


def run_rvae(data: bytes) -> None:
    """Decode a chain of tiles with latents."""
    _run_payload("rvae", data)


def run_flowpp(data: bytes) -> None:
    """Decode a chain of tiles of the flow."""
    _run_payload("flowpp", data)


def run_fitted(data: bytes) -> None:
    """Read and apply a fit, and decode a picture with the changed model."""
    change = fitted.unpack(data)
    model = change.apply(_released("photo"))
    with contextlib.suppress(BBCodecError):
        learned.decode(
            [np.full(600, 1 << 30, "<u4").tobytes()], 2, 3, 3, model, execution=Execution(threads=1)
        )


def run_rans(data: bytes) -> None:
    """Pop symbols off a message of arbitrary words with one kind of codec, and push them again."""
    if len(data) < 8:
        raise FormatError("too short")
    lanes, kind, first, second = 1 + data[0] % 9, data[1] % 6, data[2], data[3]
    words = np.frombuffer(data[4 : 4 + (len(data) - 4) // 4 * 4], "<u4").astype(np.uint32)
    if kind == 5:
        message = codecs.unflatten(words, lanes)
        message = codecs.reshape_head(message, 1 + first % 9)
        assert codecs.message_bits(message) > 0
        return
    if len(words) > 2 * lanes and second % 2:  # valid heads, and a short tail
        words[:lanes] = words[:lanes] & 0x7FFFFFFF | 1
    message = ans.unflatten(words, lanes)
    count = 1 + second % 13
    mu = np.resize(words.view(np.int32), count)
    codec = (
        lambda: Logistic(mu, mu >> 7, 1 + first),
        lambda: LogisticMixture([1 << 15, 1 << 15], np.stack([mu, -(mu >> 1)], 1), first - 128, 256),
        lambda: Categorical([first, 256 - first], (count,)),
        lambda: Uniform(1 + 3 * first, (count,)),
        lambda: codecs.uniform(first % 28),
    )[kind]()
    popped, symbols = codec.pop(message)
    (again,) = codec.push(popped, symbols)
    assert ans.message_equal(again, message), "push does not undo pop"


def run_classic(data: bytes) -> None:
    """Decode a classic payload without a container; three bytes in front give mode, height and width."""
    if len(data) < 4:
        raise FormatError("too short")
    dtype = (np.bool_, np.uint8, np.uint16)[data[0] % 3]
    channels = 1 if dtype is np.bool_ else 1 + data[0] // 3 % 4  # as in the modes
    shape = (1 + data[1] % 20, 1 + data[2] % 20, channels)
    found = classic.decode(data[3:], shape, np.dtype(dtype))
    assert found.shape == shape


def run_archive(data: bytes) -> None:
    """Open an archive, describe and verify it, and decode some pictures."""
    with bbcodec.Archive(io.BytesIO(data), threads=1, limits=LIMITS, preload=False) as archive:
        archive_check.describe(archive.reader)
        for _ in archive_check.verify(archive.reader):
            pass
        for name in list(archive)[:3]:
            entry = archive.entry(name)
            with contextlib.suppress(BBCodecError):
                assert archive[name].shape[:2] == (entry.height, entry.width)


def run_batch(data: bytes) -> None:
    """Decode a batch of pictures as in chunks."""
    for found in batch.decode(data, _released("fast"), execution=Execution(threads=1), limits=LIMITS):
        assert found.size


def run_image(data: bytes) -> None:
    """Read an image file of another format."""
    picture = formats.read(io.BytesIO(data), max_pixels=LIMITS.max_pixels).picture
    if problem := picture.metadata.problem(picture.mode):
        raise FormatError(problem)


def run_png(data: bytes) -> None:
    """Read a PNG file in both ways, and write it again: pictures and chunks stay the same."""
    if not data.startswith(SIGNATURE):
        raise FormatError("not a PNG file")
    picture = png.read(data, LIMITS.max_pixels).picture
    again = png.read_again(data, LIMITS.max_pixels)
    assert again.same(picture)
    assert again.metadata == picture.metadata
    written = png.read(b"".join(png.write(picture)), LIMITS.max_pixels)
    assert written.picture.same(picture)
    assert written.picture.metadata == picture.metadata


def run_chunk(data: bytes) -> None:
    """Decode a chunk of an array."""
    chunks.decode(data, limits=LIMITS)


def run_arrays(data: bytes) -> None:
    """Read an array file: all arrays, a part, the source; and what is intact, if it is damaged."""
    with contextlib.suppress(BBCodecError):
        bbcodec.info(data)
    execution = Execution(threads=1)
    with bbcodec.ArrayFile(data, limits=LIMITS, execution=execution, salvage=True) as file:
        for array in file.arrays[:3]:
            with contextlib.suppress(LimitError):
                assert array[...].shape == array.shape
    with bbcodec.ArrayFile(data, limits=LIMITS, execution=execution) as file:
        for array in file.arrays[:3]:
            part = array[tuple(slice(length // 2, None) for length in array.shape)]
            assert part.shape == tuple(length - length // 2 for length in array.shape)
        if file.suffix is not None:
            file.original()


# --- the command line ---------------------------------------------------------------------------------------

_WORDS = (
    "compress", "decompress", "info", "test", "pack", "append", "unpack", "list", "get", "models",
    "--help", "-h", "--version", "-o", "-f", "-c", "-k", "--rm", "-q", "-v", "--json", "-T", "0", "1", "2",
    "--method", "auto", "classic", "learned", "--model", "fast", "photo", "none.bbm", "--fast", "--strip",
    "--embed-model", "--no-verify", "--output-dir", "out", "--force", "-", "--", "-r", "--region", "0,0,1,1",
    "1,1,9,9", "a.png", "b.bb", "c.bb", "d.png", "nothing", ".", "sub", "--max-pixels", "10", "-1", "--batch",
    "x/y", "", "--limit", "--format", "png", "--quiet", "--verbose", "--tree", "show", "card",
)  # fmt: skip


@cache
def _runner() -> tuple[Any, Any]:
    from typer.testing import CliRunner

    from bbcodec.cli import app

    return CliRunner(), app


def command_line(data: bytes) -> list[str]:
    """Return the arguments that bytes stand for: known words and text, without paths out of the folder."""
    found: list[str] = []
    at = 0
    while at < len(data) and len(found) < 12:
        code = data[at]
        at += 1
        if code < 200:
            found.append(_WORDS[code % len(_WORDS)])
            continue
        size = code % 10
        text = data[at : at + size].decode("utf-8", "surrogateescape")
        at += size
        found.append(re.sub(r"[/~\0]|\.\.", "_", text))
    return found


def run_cli(data: bytes) -> None:
    """Run the command line in a temporary folder; an undocumented exit code is a find."""
    arguments = command_line(data)
    runner, app = _runner()
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        Path(name, "sub").mkdir()
        for file in ("a.png", "b.bb", "c.bb"):
            Path(name, file).write_bytes(_file(file))
        Path(name, "sub", "d.png").write_bytes(_file("a.png")[:-3])
        os.chdir(name)
        try:
            result = runner.invoke(app, arguments, input=_file("a.png" if len(data) % 2 else "b.bb"))
        finally:
            os.chdir(here)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2), f"exit code {result.exit_code} of {arguments}"
    asked = result.stderr.count("Traceback") and any(
        a == "--verbose" or a.startswith("-v") for a in arguments
    )
    assert asked or "Traceback" not in result.stderr, f"a traceback from {arguments}: {result.stderr[-300:]}"


@cache
def _file(name: str) -> bytes:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    if name == "b.bb":
        return bbcodec.compress(pixels, method="classic")
    file = io.BytesIO()
    if name == "a.png":
        from PIL import Image

        Image.fromarray(pixels).save(file, "PNG")
    else:
        with bbcodec.Archive(file, "w", method="classic", threads=1) as archive:
            archive["x/y"], archive["z"] = pixels, pixels[:2]
    return file.getvalue()


@dataclass(frozen=True)
class Surface:
    """A function to fuzz.

    Attributes
    ----------
    run : takes bytes; returns or raises a `BBCodecError`.
    form : how seeds are split into parts, or None.
    share : relative number of executions in a run over all surfaces; faster functions have more.
    """

    run: Callable[[bytes], None]
    form: forms.Form | None
    share: float


SURFACES = {
    "container": Surface(run_container, forms.CONTAINER, 20),
    "region": Surface(run_region, forms.CONTAINER, 20),
    "metadata": Surface(run_metadata, forms.METADATA, 60),
    "model": Surface(run_model, forms.MODEL, 4),
    "delta": Surface(run_delta, forms.DELTA, 2),
    "local": Surface(run_local, None, 2),
    "photo": Surface(run_photo, None, 0.5),
    "loglinear": Surface(run_loglinear, None, 2),
    "deep": Surface(run_deep, None, 4),
    "rvae": Surface(run_rvae, None, 0.5),
    "flowpp": Surface(run_flowpp, None, 0.5),
    "fitted": Surface(run_fitted, None, 10),
    "rans": Surface(run_rans, None, 10),
    "classic": Surface(run_classic, None, 80),
    "archive": Surface(run_archive, forms.ARCHIVE, 8),
    "batch": Surface(run_batch, forms.CHUNK, 60),
    "image": Surface(run_image, None, 10),
    "png": Surface(run_image, forms.PNG, 10),
    "png16": Surface(run_png, forms.PNG, 60),
    "chunk": Surface(run_chunk, forms.CHUNK, 5),
    "arrays": Surface(run_arrays, forms.ARRAYS, 5),
    "cli": Surface(run_cli, None, 0.05),
}
