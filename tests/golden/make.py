# SPDX-License-Identifier: Apache-2.0
"""Write the golden files that are missing; never change an existing one.

    python tests/golden/make.py

Every later version must decode them to pixels with the SHA-256 in manifest.json. Networks embedded in files
are tiny and untrained (making them needs the extra `train`). The others are released models, which stay
available.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bbcodec
from bbcodec.jobs import Execution
from bbcodec.picture.picture import Palette, Picture

HERE = Path(__file__).parent
MANIFEST = HERE / "manifest.json"
# Files that encoders must still write with the same bytes. The format does not promise this, but a change
# should be deliberate.
REPEATED = (
    "learned_rvae.bb",
    "learned_markov.bb",
    "local_photo.bb",
    "local_fast_sums.bb",
    "archive_auto_copies.bb",
    "archive_thumb_copies.bb",
    "archive_recovery.bb",
    "classic_recovery.bb",
    "batch_photo.bbg",
    "chunk_rgb.bbk",
    "loglinear_contexts.bb",
    "loglinear_streams.bb",
    "loglinear_quick.bb",
    "loglinear_rgba.bb",
    "batch_loglinear.bbg",
    "deep_rgb.bb",
    "deep_quick.bb",
    "chunk_volume.bbk",
    "arrays_volume.bb",
)


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Return waves and noise, uint8 [H, W, C], by integer arithmetic, so it is the same everywhere."""
    y, x = np.mgrid[:height, :width]
    waves = [(5 * x + 3 * y) % 256, (x * y // 7) % 256, (255 - 4 * x) % 256, (9 * y + x) % 256]
    noise = np.array([(i * 2654435761 + seed) >> 13 & 7 for i in range(height * width)]).reshape(
        height, width
    )
    return np.stack([(w // 2 + 40 + noise) for w in waves[:channels]], -1).astype(np.uint8)


def drawing(height: int, width: int, channels: int) -> np.ndarray:
    """Return areas of few colours, uint8 [H, W, C], whose edges repeat."""
    return picture(height, width, channels) // 96 * 80


def deep_picture(height: int, width: int, channels: int, scale: int = 40) -> np.ndarray:
    """Return a smooth picture with noise, uint16 [H, W, C], whose samples grow with `scale`."""
    smooth = picture(height, width, channels).astype(np.int64) * scale
    noise = even(height, width, channels).astype(np.int64) - 64
    return np.clip(smooth + noise * scale // 4, 0, 65535).astype(np.uint16)


def enlarged(height: int, width: int) -> np.ndarray:
    """Return a picture that was enlarged twice, uint16 [2 H, 2 W]."""
    small = deep_picture(height, width, 1)[..., 0].astype(np.int64)
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    shifted = large + np.roll(large, 1, 0) + np.roll(large, 1, 1) + np.roll(large, (1, 1), (0, 1))
    return (shifted // 4).astype(np.uint16)


def even(height: int, width: int, channels: int) -> np.ndarray:
    """Return a picture without gaps in its values, uint8 [H, W, C]: no trace of how it was made."""

    def noise(i: int) -> int:
        word = (i + 1) * 0x9E3779B97F4A7C15 & 2**64 - 1
        for shift in (30, 27, 31):
            word = (word ^ word >> shift) * 0xBF58476D1CE4E5B9 & 2**64 - 1
        return sum(word >> 8 * k & 31 for k in range(8)) // 4  # about normal

    dice = np.array([noise(i) for i in range(height * width * channels)]).reshape(height, width, channels)
    return (dice + 32 + np.arange(width)[:, None] % 64).astype(np.uint8)


def tiny_model(seed: int, **changes: Any) -> Any:
    """Return a loaded model of an untrained network of width 16."""
    import torch
    from bbcodec.models.config import Config, FlowConfig
    from bbcodec.models.latent.checkpoint import build
    from bbcodec.models.latent.export import export

    from bbcodec import modelfile

    torch.manual_seed(seed)
    if changes.get("family") == "flowpp":
        config: Any = FlowConfig(width=16, units=1, scales=2, mixtures=2)
    else:
        config = Config(width=16, units=1, layers=(1, 1))
    model = build(dataclasses.replace(config, **changes))
    return modelfile.load(export(model.eval()))


def recipes() -> dict[str, Any]:
    """Return the golden picture files by name: functions that return their bytes."""
    rgb, gray = picture(70, 100, 3), picture(37, 90, 1)[..., 0]
    deep = (picture(11, 13, 3).astype(np.uint16) << 8) + picture(11, 13, 3, seed=5)
    palette = Image.fromarray(picture(19, 23, 3)).quantize(17)
    # A smooth picture with a shuffled palette: its colours are coded, and their order separately.
    order = np.arange(64) * 37 % 64
    entries = np.zeros((64, 3), np.uint8)
    entries[order] = 2 * np.arange(64)[:, None]
    indices = np.repeat(order, 20).reshape(64, 20).astype(np.uint8)
    shuffled = Picture(indices, "P", Palette(entries.tobytes()))
    alphas = Picture(indices, "P", Palette(entries.tobytes(), transparency=bytes(range(64))))
    icc_like = bbcodec.Metadata(icc=bytes(range(200)), exif=b"Exif\0\0II*\0", xmp=b"<x/>", dpi=(72.0, 96.0))

    def learned(image: Any, **options: Any) -> Any:
        return lambda: bbcodec.compress(image, method="learned", **options)

    def embedded(seed: int, image: Any, **changes: Any) -> Any:
        return lambda: bbcodec.compress(
            image, method="learned", model=tiny_model(seed, **changes), embed_model=True
        )

    def classic(image: Any, **options: Any) -> Any:
        return lambda: bbcodec.compress(image, method="classic", **options)

    return {
        "classic_1": classic(Image.fromarray(gray).convert("1", dither=Image.Dither.NONE)),
        "classic_p": classic(palette),
        "classic_p_painted": classic(shuffled),
        "classic_l": classic(gray),
        "classic_la": classic(picture(9, 14, 2)),
        "classic_rgb": classic(rgb, metadata=icc_like),
        "classic_rgba": classic(picture(21, 8, 4)),
        "classic_i16": classic(deep[..., 0]),
        "classic_rgb16": classic(deep),
        "classic_1x1": classic(np.array([[[1, 2, 3]]], np.uint8)),
        "learned_rvae": learned(rgb, model="rvae"),
        "learned_markov": learned(rgb, model="markov"),
        "learned_gray": learned(gray, model="rvae"),
        "learned_rgba": learned(picture(66, 70, 4), model="markov"),
        "learned_flowpp": learned(picture(64, 600, 3), model="flowpp"),
        "learned_flowpp_gray": learned(picture(21, 70, 1)[..., 0], model="flowpp"),
        "local_photo": learned(rgb, model="photo"),
        "local_gray": learned(gray, model="photo"),
        "local_rgba": learned(picture(66, 70, 4), model="photo"),
        "local_fast": learned(picture(520, 21, 3), model="fast"),  # two blocks
        # The same two blocks with a checksum for each, format 1.1; `local_fast` has format 1.0.
        "local_fast_sums": learned(picture(520, 21, 3), model="fast"),
        "classic_tiles_sums": classic(picture(2, 16500, 3)),
        # With recovery data, format 1.2.
        "classic_recovery": classic(rgb, recovery=10),
        "local_fast_gray": learned(gray, model="fast"),
        "embedded_flowpp_1_1": embedded(6, picture(130, 145, 3), family="flowpp"),
        "embedded_flowpp_1_32": embedded(7, picture(64, 192, 3), family="flowpp", precision="1/32"),
        "embedded_rvae_1_1": embedded(1, picture(200, 150, 3)),
        "embedded_rvae_1_32": embedded(2, picture(140, 150, 3), precision="1/32"),
        "embedded_rvae_32_32": embedded(3, picture(140, 150, 3), precision="32/32"),
        "embedded_rvae_bases": embedded(4, picture(140, 150, 3), bases=2),
        "embedded_markov": embedded(5, picture(200, 150, 3), family="markov"),
        # In the files from here on, latents are popped from whitened heads.
        "embedded_rvae_white": embedded(8, picture(200, 150, 3)),
        "embedded_markov_white": embedded(9, picture(200, 150, 3), family="markov"),
        # The family deep: modes of 16 bits, windows, far samples, low bits, lists of values, phases.
        "deep_gray": learned(deep_picture(40, 53, 1)[..., 0], model="deep"),
        "deep_la": learned(deep_picture(21, 30, 2), model="deep"),
        "deep_rgb": learned(deep_picture(45, 38, 3, 250), model="deep"),
        "deep_rgba": learned(deep_picture(20, 33, 4, 5), model="deep"),
        "deep_quick": learned(deep_picture(41, 52, 3), model="deep-quick"),
        "deep_blocks": learned(deep_picture(1030, 4, 1)[..., 0], model="deep"),
        "deep_list": learned(gray.astype(np.uint16) * 257, model="deep"),
        "deep_far": learned(deep, model="deep"),
        "deep_phases": learned(enlarged(70, 66), model="deep"),
        # The family loglinear, in every coding of a block and every mode that its models code.
        "loglinear_contexts": learned(picture(33, 40, 3), model="standard"),
        "loglinear_streams": learned(drawing(70, 200, 3), model="standard"),
        "loglinear_plain": learned(even(70, 66, 3), model="standard"),
        "loglinear_quick": learned(drawing(41, 52, 3), model="quick"),
        "loglinear_quick_plain": learned(rgb, model="quick"),
        "loglinear_best": learned(even(30, 41, 3), model="best"),
        "loglinear_blocks": learned(drawing(1030, 5, 3), model="standard"),
        "loglinear_gray": learned(gray, model="standard"),
        "loglinear_la": learned(picture(14, 19, 2), model="standard"),
        "loglinear_rgba": learned(drawing(33, 40, 4), model="standard"),
        "loglinear_1": learned(Image.fromarray(gray).convert("1"), model="standard"),
        "loglinear_p": learned(shuffled, model="standard"),
        "loglinear_p_alphas": learned(alphas, model="standard"),
    }


def archives() -> dict[str, Any]:
    """Return the golden archives by name: functions that return their bytes."""
    few = {f"sub/{i}.png": picture(24 + i % 2, 30, 3, seed=i) for i in range(5)}
    other = {
        "gray": picture(20, 21, 1)[..., 0],
        "axis": picture(20, 21, 1),
        "large": picture(260, 270, 3) // 64,
        "deep": picture(11, 13, 3).astype(np.uint16) * 257,
        "palette": Image.fromarray(picture(19, 23, 3)).quantize(17),
    }

    def packed(*parts: tuple[dict[str, Any], dict[str, Any]]) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "a.bb")
            for content, options in parts:
                with bbcodec.Archive(path, "a", **options) as archive:
                    for key, image in content.items():
                        archive[key] = image
            return path.read_bytes()

    # Groups have 512 lanes, three for each picture: the first group has latents, the last one pays for them.
    tiny = {f"{i:03}": picture(3, 9, 3, seed=i) for i in range(340)}
    own = {"model": "photo", "method": "learned", "embed_model": True}
    photo = {"model": "photo"}
    tiles = {"model": "flowpp", "method": "learned"}
    return {
        "archive_auto": lambda: packed(({**few, **other}, photo), ({"more": picture(40, 40, 3)}, photo)),
        "archive_thumb": lambda: packed((few, {"model": "thumb", "method": "learned"})),
        "archive_latents": lambda: packed((tiny, {"model": "thumb", "method": "learned"})),
        "archive_embedded": lambda: packed((few, own)),
        "archive_flowpp": lambda: packed(({k: few[k] for k in list(few)[:2]}, tiles)),
        # The same pictures as in two of the files above, which have no section COPY.
        "archive_auto_copies": lambda: packed(
            ({**few, **other}, photo), ({"more": picture(40, 40, 3)}, photo)
        ),
        "archive_thumb_copies": lambda: packed((few, {"model": "thumb", "method": "learned"})),
        "archive_recovery": lambda: packed(
            (few, {"model": "thumb", "recovery": 5}), ({"more": picture(40, 40, 3)}, photo)
        ),
        "archive_loglinear": lambda: packed(({**few, **other}, {"model": "standard"})),
    }


def fitted() -> bytes:
    """Return a file whose section FITT changes a few values of every kind."""
    from bbcodec import container, modelfile
    from bbcodec.container import Section, varint
    from bbcodec.families import learned
    from bbcodec.families.local.fitted import SIGNS, TENSORS, Delta, Fitted

    def some(shift: int, *changes: tuple[int, int]) -> Delta:
        return Delta(shift, *np.array(changes, np.int64).T)

    model, image = modelfile.load_named("photo"), picture(31, 45, 3)
    deltas = {name: some(2, (0, 1), (7, -3), (8, 1)) for name in TENSORS[1:]}
    numbers = {"rate_q": 300, "along": [2, 1], "down": [3, 1], "ridge": 70000}
    fit = Fitted(13, numbers, {SIGNS: some(0, (0, 1), (70, 1), (16383, 1)), **deltas})
    section = Section(container.FITTED, fit.pack())
    plain = container.read(bbcodec.compress(image, method="learned", model="photo"))
    stored = plain.one(container.MODEL)
    assert stored is not None
    (chain,) = learned.encode(image, model, fitted=section).chains
    chains = Section(container.CHAINS, b"\1\1" + varint(len(chain)) + chain)
    return container.write(plain.header, [stored, section, chains])


def batches() -> dict[str, Any]:
    """Return the golden batches and chunks by file name: functions that return their bytes."""
    from bbcodec import modelfile
    from bbcodec.arrays import chunks
    from bbcodec.families import batch

    few = [picture(24 + i // 3, 30, 3, seed=i) for i in range(5)]
    gray = [image[..., :1] for image in few]
    deep = np.stack([picture(11, 13, 3, seed=i) for i in range(2)]).astype(np.uint16) * 257 + 3
    stack = np.stack(few[:3]).transpose(0, 3, 1, 2)

    slices = np.concatenate([deep_picture(22, 30, 4, scale) for scale in (20, 23)], axis=2).astype(np.int64)
    volume = (np.cumsum(np.moveaxis(slices, -1, 0), axis=0) // np.arange(1, 9)[:, None, None]).reshape(
        2, 4, 22, 30
    )
    volume = volume - 1500
    spectra = (deep_picture(20, 24, 1, 90).astype(np.int64) * np.arange(10, 22) // 16).astype(np.uint16)
    floats = even(30, 40, 1)[..., 0].astype(np.float32) * deep_picture(30, 40, 1)[..., 0] / np.float32(7)

    rows, columns = np.mgrid[:120, :90]
    labels = (rows // 17 * 7 + columns // 23 * 3 + (rows + columns) // 40 * 2) * 37 % 31

    def batched(images: list[Any], model: str) -> Any:
        return lambda: batch.encode([np.ascontiguousarray(i) for i in images], modelfile.load_named(model))

    return {
        "batch_photo.bbg": batched(few, "photo"),
        "batch_gray.bbg": batched(gray, "fast"),
        "batch_flowpp.bbg": batched(few[:2], "flowpp"),
        "batch_loglinear.bbg": batched(few[:2], "standard"),
        "batch_loglinear_pixels.bbg": batched([drawing(24 + i, 30, 3) for i in range(3)], "standard"),
        "batch_loglinear_plain.bbg": batched(np.split(even(180, 30, 3), 6), "standard"),
        "chunk_rgb.bbk": lambda: chunks.encode(
            stack, chunks.Options(model="thumb", method="learned", layout="chw")
        ),
        "chunk_columns.bbk": lambda: chunks.encode(
            np.asfortranarray(deep.astype(">u2")), chunks.Options(model="photo")
        ),
        # Planes: a volume at two times, spectral channels, floats with low bits, floats with few values.
        "chunk_volume.bbk": lambda: chunks.encode(volume.astype(">i2"), chunks.Options(model="deep")),
        "chunk_channels.bbk": lambda: chunks.encode(spectra, chunks.Options(model="deep", layout="hwc")),
        "chunk_float.bbk": lambda: chunks.encode(floats, chunks.Options(model="deep-quick")),
        "chunk_scaled.bbk": lambda: chunks.encode(volume[0] / np.float32(8), chunks.Options(model="deep")),
        # The first slice again and again: bytes.
        "chunk_bytes.bbk": lambda: chunks.encode(
            np.tile(volume[:, :1], (1, 9, 1, 1)).astype(">i4"), chunks.Options(model="deep", method="classic")
        ),
        # Labels: ranks of few values.
        "chunk_ranks.bbk": lambda: chunks.encode(
            (np.arange(31, dtype="<i4") ** 3 * 401 % 8191 - 3000)[labels], chunks.Options(model="photo")
        ),
        "chunk_gray.bbk": lambda: chunks.encode(few[0][..., 0], chunks.Options(model="photo")),
    }


def array_files() -> dict[str, Any]:
    """Return the golden array files by name: functions that return their bytes."""
    from bbcodec.arrays import writer
    from bbcodec.arrays.source import Extent
    from bbcodec.arrays.stacks import Options
    from bbcodec.arrays.writer import Numbers, Original
    from bbcodec.jobs import SERIAL

    slices = np.moveaxis(deep_picture(22, 30, 4), -1, 0).astype(np.int64)
    volume = np.stack([slices, slices + even(22, 30, 1)[..., 0] // 40 - 9, slices[::-1]]) - 2000
    colours = picture(9, 14, 3)
    floats = (even(12, 10, 1)[..., 0] / np.float32(4)).astype(">f4")
    pieces = [colours.tobytes()[i : i + 126] for i in range(0, 378, 126)]
    # Samples of two arrays in pieces, some of them in another order, and other bytes around them.
    data = b"head" + pieces[1] + b"--" + floats.tobytes() + b"==" + pieces[0] + pieces[2] + b"tail"
    at = [data.index(piece) for piece in (*pieces, floats.tobytes())]
    extents = (Extent(at[1], 0, 126, 126), Extent(at[3], 1, 0, 480), Extent(at[0], 0, 0, 126))
    extents += (Extent(at[2], 0, 252, 126),)

    def arrays(*numbers: Numbers, **options: Any) -> Any:
        return lambda: writer.encode(numbers, Options(model="deep"), SERIAL, **options)

    two = (Numbers(colours, "yxs"), Numbers(floats, "yx"))
    return {
        "arrays_volume": arrays(Numbers(volume.astype(">i2"), "tzyx"), group=4),
        "arrays_columns": arrays(Numbers(np.asfortranarray(volume[0].astype(np.uint32) * 3), "zyx")),
        "arrays_complex": arrays(Numbers(volume[0] + 1j * volume[1], "czy")),
        "arrays_source": arrays(*two, original=Original(data, ".tif", extents, rewritten=True)),
        "arrays_gzip": arrays(*two[:0], original=Original(data, ".nii.gz", (), is_gzip=True)),
        "arrays_small": arrays(
            *(Numbers(np.array(value)) for value in (2.5, True, 1j)),
            *(Numbers(np.zeros(shape, np.int8)) for shape in (0, (3, 0, 2), (7,), (2, 3, 4, 5, 6, 7))),
        ),
    }


def everything() -> dict[str, Any]:
    """Return all golden files by file name: functions that return their bytes."""
    files = {f"{name}.bb": recipe for name, recipe in {**recipes(), **archives(), **array_files()}.items()}
    return {**files, "local_fitted.bb": fitted, **batches()}


def decoded(data: bytes, backend: str | None = None) -> str:
    """Return the digest of the content of a golden file; of an archive, over names and pictures in order."""
    from bbcodec import modelfile
    from bbcodec.arrays import chunks
    from bbcodec.families import batch

    if data[:4] == b"\x89BBK":
        return digest(chunks.decode(data))
    if data[:4] == b"\x89BBG":
        model = modelfile.load_named(data[9:41].hex())
        images = batch.decode(data, model, execution=Execution(backend=backend))
        return hashlib.sha256("".join(map(digest, images)).encode()).hexdigest()
    if data[:4] == b"\x89BBN":
        with bbcodec.ArrayFile(data, execution=Execution(backend=backend)) as file:
            text = "".join(f"{array.axes} {digest(array[...])}\n" for array in file.arrays)
            text += f"{hashlib.sha256(file.content()).hexdigest()}\n" if file.suffix else ""
        return hashlib.sha256(text.encode()).hexdigest()
    if data[:4] != b"\x89BBA":
        return digest(bbcodec.decompress(data, backend=backend))
    with bbcodec.Archive(io.BytesIO(data), backend=backend) as archive:
        found = "".join(f"{name} {digest(image)}\n" for name, image in archive.items())
    return hashlib.sha256(found.encode()).hexdigest()


def digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of dtype, shape and bytes (little-endian)."""
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    head = f"{pixels.dtype.name} {list(pixels.shape)}\n".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def main() -> None:
    """Write the golden files that are missing."""
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    for name, recipe in everything().items():
        path = HERE / name
        if path.exists():
            continue
        path.write_bytes(recipe())
        manifest[path.name] = decoded(path.read_bytes())
        print(path.name, path.stat().st_size)
    MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
