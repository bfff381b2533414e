# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz targets, small files of every kind, into ``corpus/SURFACE/``::

    PYTHONPATH=tests/helpers python tests/fuzz/make_corpus.py

Existing seeds are not changed; they need not equal the output of this release.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import flows
import local_cases
import loglinear_cases
import numpy as np
from bbcodec.models.loglinear.build import build
from PIL import Image, PngImagePlugin

import bbcodec
from bbcodec import classic, container, modelfile
from bbcodec.archive.tables import blob
from bbcodec.arrays import chunks, writer
from bbcodec.arrays.source import Extent
from bbcodec.arrays.writer import Numbers, Original
from bbcodec.bbfile import metadata_sections
from bbcodec.engine import Add, Bconv, Function, Graph, Input, Mul, Qconv, Requantise, Sign, Wconv, bits
from bbcodec.families import batch, learned
from bbcodec.families.deep import head as deep_heads
from bbcodec.families.deep.family import encode_array
from bbcodec.families.local import fitted
from bbcodec.families.loglinear import codec
from bbcodec.families.loglinear.model import loglinear_model
from bbcodec.jobs import Execution
from bbcodec.modelfile import delta
from bbcodec.picture import turn
from bbcodec.picture.formats import png
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Palette, Picture

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_engine import CORPUS

Seeds = dict[str, bytes]
# First column, first row, and the steps of each pass.
_NAMES = {2: "LA", 3: "RGB", 4: "RGBA"}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CURVE = b"curv" + bytes(4) + struct.pack(">I", 20) + struct.pack(">20H", *range(0, 40000, 2000))
_ICC = bytes(128) + struct.pack(">I4sII", 1, b"rTRC", 144, len(_CURVE)) + _CURVE
METADATA = Metadata(_ICC, b"Exif\0\0II*\0", b"<x/>", (72.0, 96.0), (("k", "v" * 40),))


def smooth(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return a smooth picture [H, W, C], which a model codes in few bits."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 6, (height, width, channels))
    return ((40 + 5 * x + 3 * y)[..., None] + 20 * np.arange(channels) + noise).astype(np.uint8)


def containers() -> Seeds:
    """Return files of every mode and coder: palettes, tiles, learned, fitted."""
    rng = np.random.default_rng(0)
    out = {}
    for mode, info in MODES.items():
        array = rng.integers(0, 2 if info.dtype == "bool" else 200, info.shape(5, 6)).astype(info.dtype)
        palette = Palette(rng.bytes(24), transparency=b"\0\7") if mode == "P" else None
        picture = Picture(array % 8 if mode == "P" else array, mode, palette)
        out[mode.replace(";", "_")] = bbcodec.compress(picture, method="classic", metadata=METADATA)
    shuffled = Palette(bytes(range(90, 240)[: 3 * 32]))
    indices = rng.permutation(30).reshape(5, 6).astype(np.uint8)
    out["painted"] = bbcodec.compress(Picture(indices, "P", shuffled))
    y, x = np.indices((20, 30))
    webp = np.stack([y * x, y + x, y ^ x], axis=2).astype(np.uint8)
    out["webp"] = bbcodec.compress(webp, method="classic")
    out["fast"] = bbcodec.compress(smooth(6, 7, 3), method="learned", model="fast")
    out["alpha"] = bbcodec.compress(smooth(4, 3, 4), method="learned", model="fast")
    out["axis"] = bbcodec.compress(smooth(4, 5, 1), method="learned", model="fast")
    out["tiny"] = bbcodec.compress(smooth(3, 4, 3), method="learned", model=tiny_local(), embed_model=True)
    header = container.read_header(out["fast"])
    kept = [s for s in container.read(out["fast"]).sections if s.kind != "CHNS"]
    fit = fitted.Fitted(view=5, config={"ridge": 40, "along": [2, 1]})
    model = fit.apply(modelfile.load_named("fast"))
    encoded = learned.encode(turn.turn(smooth(6, 7, 3), 5), model, execution=Execution(threads=1)).chains
    body = b"\1" + container.varint(1) + container.varint(len(encoded[0])) + encoded[0]
    parts = [*kept, container.Section("FITT", fit.pack()), container.Section("CHNS", body)]
    out["fitted"] = container.write(header, parts)
    bbcodec.decompress(out["fitted"])
    return out


def tiny_local() -> modelfile.Model:
    """Return a very small model of the family local."""
    return local_cases.model_file({"layers": 1, "components": 1})


def dump(model: modelfile.Model) -> bytes:
    """Return the file of a loaded model."""
    return modelfile.dump(model.family, model.config, model.graph, model.tensors)


def graph() -> Graph:
    """Return a graph of one function with every common operation."""
    ones = {"mul": np.full(3, 5, np.int32), "add": np.arange(3, dtype=np.int64)}
    tensors = {
        "q": np.ones((3, 3, 3, 3), np.int8),
        "w": bits.pack_signs(np.ones((3, 1, 1, 3))),
        "b": bits.pack_signs(np.ones((3, 3, 3, 3))),
        "t": np.zeros(3, np.int16),
        **ones,
    }
    ops = (
        Qconv("x", "a", "q", 3),
        Requantise("a", "b1", "mul", "add", 3, -900, 900),
        Sign("b1", "s", "t"),
        Bconv("s", "c", "b", 3),
        Requantise("c", "d", "mul", "add", 2, -90, 90),
        Wconv("d", "e", "w", 1),
        Requantise("e", "f", "mul", "add", 2, -90, 90),
        Add("b1", "f", "g", -1000, 1000),
        Mul("g", "d", "y", 6, -2000, 2000),
    )
    return Graph({"f": Function((Input("x", "stream", 3, -128, 127),), ops, ("y", "s"))}, tensors)


def models() -> Seeds:
    """Return a graph of every common operation, and small models of two families."""
    one_graph = graph()
    return {
        "graph": modelfile.dump("none", {"layers": [1], "latents": 4}, one_graph, notes={"n": 1.5}),
        "local": dump(tiny_local()),
        "flow": dump(flows.model()),
        "latents": dump(local_cases.model_file({"layers": 0, "components": 1})),
        "loglinear": build(local_cases.model_file({"layers": 0, "components": 1, "latents": 0})),
    }


def deltas() -> Seeds:
    """Return models as changes of nothing, and as changes of a released model."""
    fast = modelfile.load_named("fast")
    tensors = {name: tensor.copy() for name, tensor in fast.tensors.items()}
    for tensor in tensors.values():
        tensor.flat[:: max(1, tensor.size // 3)] ^= 1
    near = modelfile.dump(fast.family, fast.config, Graph(fast.graph.functions, {}), tensors)
    return {
        "alone": delta.make(dump(tiny_local())),
        "near": delta.make(near, fast),
        "graph": delta.make(models()["graph"]),
    }


def payloads(model: modelfile.Model) -> Seeds:
    """Return payloads of a model, with bytes for channels, height and width in front."""
    out = {}
    for height, width, channels in ((1, 1, 3), (6, 7, 3), (5, 12, 1)):
        image = smooth(height, width, channels)
        chain = learned.encode(image, model, execution=Execution(threads=1)).chains[0]
        out[f"{height}x{width}x{channels}"] = bytes([channels // 2, height - 1, width - 1]) + chain
    return out


def drawings(model: modelfile.Model) -> Seeds:
    """Return payloads in which whole pixels are looked for; see `payloads`."""
    checked = loglinear_model(model)
    out = {}
    for channels, neighbours, specks in ((3, 0, 0.0), (1, 0, 0.1), (3, 2, 0.1), (3, 6, 0.0)):
        image = loglinear_cases.drawing((12, 12, channels), specks=specks)
        (words,) = codec.encode([image], checked, Execution(threads=1), neighbours)
        head = bytes([channels // 2, 11, 11, neighbours + 1])
        out[f"drawing{channels}_{neighbours}"] = head + words.astype("<u4").tobytes()
    return out


def deep_arrays() -> Seeds:
    """Return chains of small arrays with their heads; see `fuzz_surfaces.run_deep`."""
    y, x = np.mgrid[:14, :18]
    noise = np.random.default_rng(0).integers(0, 900, (3, 4, 14, 18))
    array = 3000 + 400 * x + 300 * y + noise
    model, run = modelfile.load_named("deep-quick"), Execution(threads=1)
    found = {}
    kinds = {"volume": array[:, :1], "colours": array[:1, :3], "channels": array[:, :, :5, :7] % 5000}
    for name, part in {**kinds, "few": array[:1, :1] // 4000 * 70000, "flat": array[:1, :1] * 0 + 9}.items():
        head, coded = encode_array(part, model, run, colours=part.shape[1], group=len(part))
        told = deep_heads.pack(head)
        shape = [part.shape[0] - 1, part.shape[1] - 1, part.shape[2] - 1, part.shape[3] - 1]
        found[name] = bytes([*shape, len(told)]) + told + b"".join(coded.chains)
    return found


def fits() -> Seeds:
    """Return sections of fits."""
    delta = fitted.Delta(3, np.array([1, 5, 40]), np.array([2, -1, 7]))
    signs = fitted.Delta(0, np.array([3, 64]), np.array([1, 1]))
    few = fitted.Delta(1, np.array([0, 2]), np.array([3, -3]))  # of the shortest tensors
    named = {name: few if name.endswith("_b") else delta for name in fitted.TENSORS} | {fitted.SIGNS: signs}
    return {
        "knobs": fitted.Fitted(3, {"rate_q": 900, "along": [2, 1], "down": [2, 2], "ridge": 9}).pack(),
        "tensors": fitted.Fitted(deltas=named).pack(),
    }


def streams() -> Seeds:
    """Return messages for codecs: lanes, kind, two numbers, words."""
    rng = np.random.default_rng(0)
    out = {}
    for kind in range(6):
        lanes = 1 + kind
        words = rng.integers(0, 1 << 32, 2 * lanes + 20, dtype=np.uint32)
        words[:lanes] &= 0x7FFFFFFF
        out[str(kind)] = bytes([lanes - 1, kind, 100 + kind, 7]) + words.astype("<u4").tobytes()
    return out


def classics() -> Seeds:
    """Return payloads of every classic coder, with mode and size in front."""
    rng = np.random.default_rng(0)
    out = {}
    for kind, (dtype, channels) in enumerate([("bool", 1), ("uint8", 3), ("uint16", 1), ("uint16", 3)]):
        for noise in (False, True):
            shape = (9, 11, channels)
            samples = rng.integers(0, 2, shape) if noise else np.indices(shape).sum(0) // 3
            data = classic.encode((samples * (1 if dtype == "bool" else 3)).astype(dtype))
            head = [("bool", "uint8", "uint16").index(dtype) + 3 * (channels - 1), 8, 10]
            out[f"{kind}{'noise' if noise else 'ramp'}"] = bytes(head) + data
    return out


def archives() -> Seeds:
    """Return archives with batches, files and metadata."""
    few = {f"s/{i}": smooth(4 + i % 2, 5, 3, i) for i in range(4)}
    gray = {"g": smooth(4, 5, 1)[..., 0], "a": smooth(3, 3, 1), "deep": smooth(3, 4, 3).astype(np.uint16)}
    out = {}
    for name, method, model, content in (
        ("classic", "classic", None, few | gray),
        ("batch", "learned", "fast", few),
        ("own", "learned", tiny_local(), few | {"g": gray["g"]}),
    ):
        file = io.BytesIO()
        with bbcodec.Archive(file, "w", method=method, model=model, threads=1) as archive:
            for key, image in content.items():
                archive[key] = Picture(image, "RGB", metadata=METADATA) if key == "s/1" else image
        out[name] = file.getvalue()
    return out


def batches() -> Seeds:
    """Return batches that stand alone."""
    model = modelfile.load_named("fast")
    return {
        "rgb": batch.encode([smooth(3, 4, 3, i) for i in range(3)], model),
        "gray": batch.encode([smooth(5, 2, 1), smooth(4, 4, 1)], model),
    }


def images() -> Seeds:
    """Return image files of other formats."""
    rgb = Image.fromarray(smooth(7, 9, 3))
    paletted = rgb.quantize(9)
    out = {}
    for name, image, options in (
        ("BMP", rgb, {}), ("GIF", paletted, {"transparency": 2}), ("PPM", rgb, {}), ("TGA", rgb, {}),
        ("PCX", rgb, {}), ("TIFF", rgb, {"compression": "tiff_lzw"}), ("JPEG", rgb, {"quality": 50}),
        ("WEBP", rgb, {"lossless": True}), ("PNG", paletted, {"transparency": b"\0\1"}),
    ):  # fmt: skip
        file = io.BytesIO()
        image.save(file, name, **options)
        out[name.lower()] = file.getvalue()
    return out


def pngs() -> Seeds:
    """Return PNG files with every chunk that bbcodec keeps."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title", zip=True)
    text.add_itxt("Comment", "words", "en", "Comment")
    out = {}
    for name, image in (
        ("rgb", Image.fromarray(smooth(5, 6, 3))),
        ("p", Image.fromarray(smooth(5, 6, 3)).quantize(5)),
        ("deep", Image.fromarray(smooth(5, 6, 1)[..., 0].astype(np.uint16) * 200)),
        ("1", Image.fromarray(smooth(5, 6, 1)[..., 0]).convert("1")),
    ):
        file = io.BytesIO()
        image.save(file, "PNG", pnginfo=text, dpi=(72, 96), icc_profile=_ICC, exif=b"Exif\0\0II*\0")
        out[name] = file.getvalue()
    return out


def deep_pngs() -> Seeds:
    """Return PNG files of 16 bits. The Adam7 one is built here, because no library writes it."""
    out = {}
    for channels in (2, 3, 4):
        picture = smooth(6, 5, channels).astype(np.uint16) * 257
        out[str(channels)] = b"".join(
            png.write(Picture(picture, f"{_NAMES[channels]};16", metadata=Metadata(dpi=(72.0, 72.0))))
        )
    rows = b""
    for number, (x, y, dx, dy) in enumerate(_ADAM7):
        part = smooth(9, 10, 3)[y::dy, x::dx].astype(">u2") * 257
        rows += b"".join(bytes([number % 5]) + row.tobytes() for row in part if part.size)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 10, 9, 16, 2, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):  # fmt: skip
        file += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    out["interlaced"] = file
    return out


def array_files() -> Seeds:
    """Return array files: groups, several arrays, a source, complex numbers."""
    stack = np.stack([smooth(4, 5, 3, i) for i in range(3)])
    volume = stack[..., 0].astype(np.int16) * 9 - 700
    data = b"head" + volume.tobytes() + b"between" + stack.tobytes() + b"tail"
    extents = (Extent(4, 0, 0, volume.nbytes), Extent(11 + volume.nbytes, 1, 0, stack.nbytes))
    both = (Numbers(volume, "zyx"), Numbers(stack, "zyxs"))
    source = Original(data, ".nii.gz", extents, is_gzip=True)
    quick = chunks.Options(model="deep-quick")
    return {
        "groups": bbcodec.compress(volume, axes="zyx", group=1, model="deep-quick"),
        "column": bbcodec.compress(np.asfortranarray(volume), model="deep-quick"),
        "complex": bbcodec.compress(volume + 1j, method="classic"),
        "source": writer.encode(both, quick, Execution(threads=1), original=source, group=2),
        "bytes": writer.encode((), quick, Execution(threads=1), original=Original(b"text" * 9, ".dcm", ())),
    }


def arrays() -> Seeds:
    """Return chunks of arrays: batches and files."""
    stack = np.stack([smooth(4, 5, 3, i) for i in range(3)])
    quick = chunks.Options(model="fast")
    return {
        "batch": chunks.encode(stack, chunks.Options(model="fast", method="learned")),
        "classic": chunks.encode(stack, chunks.Options(method="classic")),
        "planes": chunks.encode(np.moveaxis(stack, 3, 1), chunks.Options(model="fast", layout="chw")),
        "deep": chunks.encode(stack[..., 0].astype(">u2") * 300, quick),
        "volume": chunks.encode(stack[..., 0].astype("<i2") * 9 - 700, quick),
        "floats": chunks.encode(stack[0, ..., 0] / np.float32(7), quick),
        "wide": chunks.encode(stack[0].astype(np.int64) ** 3, quick),
        "column": chunks.encode(np.asfortranarray(stack[0, ..., 0]), quick),
    }


def command_lines() -> Seeds:
    """Return bytes that stand for command lines, see `fuzz_surfaces.command_line`."""
    from fuzz_surfaces import _WORDS

    lines = (
        "compress a.png", "compress -f --fast a.png", "decompress -o d.png b.bb", "info --json b.bb",
        "test b.bb c.bb", "pack . -o d.png", "append c.bb a.png", "unpack c.bb --output-dir out", "list c.bb",
        "get c.bb x/y", "models", "models show fast", "compress - -c", "--version",
        "decompress -c b.bb", "compress -T 2 -r sub . --output-dir out", "info -h",
        "decompress --region 0,0,1,1 b.bb",
    )  # fmt: skip
    return {str(i): bytes(_WORDS.index(word) for word in line.split(" ")) for i, line in enumerate(lines)}


def main() -> None:
    """Write the seeds that are missing."""
    files = containers()
    sections = metadata_sections.pack(METADATA)
    keys = metadata_sections.pack(Metadata(colour_key=(1, 2, 3)))
    corrected = modelfile.load(build(modelfile.load_named("fast")))
    everything = {
        "container": files,
        "region": {name: files[name] for name in ("webp", "fast", "fitted", "RGBA_16", "P", "painted", "1")},
        "metadata": {"all": b"\7" + blob(sections), "key": b"\7" + blob(keys)},
        "model": models(),
        "delta": deltas(),
        **{surface: payloads(modelfile.load_named(name)) for surface, name in MODELS.items()},
        "loglinear": payloads(corrected) | drawings(corrected),
        "deep": deep_arrays(),
        "fitted": fits(),
        "rans": streams(),
        "classic": classics(),
        "archive": archives(),
        "batch": batches(),
        "image": images(),
        "png": pngs(),
        "png16": deep_pngs(),
        "chunk": arrays(),
        "arrays": array_files(),
        "cli": command_lines(),
    }
    for surface, found in everything.items():
        for name, data in found.items():
            path = CORPUS / surface / f"{name}.bin"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    print(sum(path.stat().st_size for path in CORPUS.rglob("*.bin")), "bytes of seeds")


MODELS = {"local": "fast", "photo": "photo", "rvae": "rvae", "flowpp": "flowpp"}

if __name__ == "__main__":
    main()
