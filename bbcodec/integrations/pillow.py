# SPDX-License-Identifier: Apache-2.0
"""Register ``.bb`` files in Pillow as the format ``BB``, on ``import bbcodec.integrations.pillow``.

Opening reads the header and the metadata; pixels are decoded at first use. `bbcodec.compress` and
`bbcodec.decompress_image` do the coding.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile, PngImagePlugin

from bbcodec import api, container
from bbcodec.bbfile import metadata_sections
from bbcodec.bbfile.parts import mode_of, parts_of
from bbcodec.container import Header, Limits, Reader, Section, varint
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.picture import metadata as meta
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture

__all__ = ["BBImageFile", "PillowError"]

FORMAT = "BB"
_OPTIONS = ("method", "model", "embed_model", "threads", "backend", "verify", "fit", "seed")
_NO_LIMIT = Limits(max_pixels=2**64)  # Pillow checks sizes (Image.MAX_IMAGE_PIXELS) before pixels are read
_HEAD_BYTES = 64  # more than a header, or type and length of a section


class PillowError(BBCodecError, OSError):
    """An error of bbcodec that is also an `OSError`, which callers of Pillow expect."""


@contextlib.contextmanager
def _as_pillow(what: str) -> Iterator[None]:
    """Raise errors of bbcodec as `PillowError`, with `what` in front."""
    try:
        yield
    except BBCodecError as error:
        raise PillowError(f"{what}: {error}") from error


class BBImageFile(ImageFile.ImageFile):
    """A ``.bb`` file as Pillow image.

    ``info`` has ``icc_profile``, ``exif``, ``xmp``, ``dpi``, ``transparency`` and the texts, as for PNG.
    ``text`` has only the texts. The palette is available after pixels are loaded.

    Raises
    ------
    PillowError
        On opening: the picture has 16-bit LA, RGB or RGBA samples. On loading pixels: the file is damaged, or
        its model is missing.
    """

    format = FORMAT
    format_description = "bbcodec lossless image"

    text: dict[str, str]

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header = container.read_header(self.fp.read(_HEAD_BYTES), limits=_NO_LIMIT)
            mode = mode_of(header)
        except FormatError as error:
            raise SyntaxError(str(error)) from error
        if mode.name in ("LA;16", "RGB;16", "RGBA;16"):
            raise PillowError(
                f"mode {mode.name} is not supported by Pillow; use bbcodec.decompress() for the array, or "
                f"`bbcodec decompress` for a PNG"
            )
        self._mode, self._size = mode.name, (header.width, header.height)
        found = Metadata()
        with contextlib.suppress(BBCodecError):  # load() and verify() report damage after the header
            found = metadata_sections.unpack(_metadata_sections(self.fp, header), mode.name)
        self.text = dict(found.text)
        self.info.update(found.as_info())

    def load(self) -> Any:
        """Decode the pixels at the first call; return access to them."""
        if self._im is None:
            data = self._read()
            with _as_pillow("broken BB file"):
                loaded = api.decompress_image(data, limits=Limits(max_pixels=self.width * self.height))
            loaded.load()
            self.im, self.palette = loaded.im, loaded.palette
            if self.mode == "P" and "transparency" in loaded.info:
                self.info.setdefault("transparency", loaded.info["transparency"])
            if self._exclusive_fp and self._close_exclusive_fp_after_loading and self.fp is not None:
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)

    def verify(self) -> None:
        """Check every length and checksum of the file without decoding pixels. Call it right after opening.

        Raises
        ------
        PillowError
            The file is damaged.
        """
        try:
            with _as_pillow("broken BB file"):
                parsed = container.read(self._read(), limits=_NO_LIMIT)
                mode = mode_of(parsed.header)
                parts_of(parsed, mode)
                metadata_sections.unpack(parsed.sections, mode.name)
        finally:
            super().verify()

    def _read(self) -> bytes:
        """Return the bytes of the file; raise `PillowError` if it is closed."""
        if self.fp is None:
            raise PillowError("the file of this image is closed: open it again")
        self.fp.seek(0)
        return self.fp.read()


def _metadata_sections(file: IO[bytes], header: Header) -> Iterator[Section]:
    """Yield the sections with metadata; skip the others without reading them."""
    offset = 24 + len(varint(header.width)) + len(varint(header.height))
    while True:
        file.seek(offset)
        head = file.read(_HEAD_BYTES)
        if head.startswith(container.END):
            return
        reader = Reader(head, "file", offset)
        kind = bytes(reader.take(4, "section type")).decode("ascii", "replace")
        size = reader.varint("length of section")
        start, offset = reader.offset, reader.offset + size + 4
        if kind in metadata_sections.FIELDS:
            if size > _NO_LIMIT.max_metadata:
                raise FormatError(f"section {kind}: {size} bytes, the limit is {_NO_LIMIT.max_metadata}")
            file.seek(start)
            yield Section(kind, file.read(size), start)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    given: dict[str, Any] = getattr(image, "encoderinfo", {})
    with _as_pillow(f"cannot write mode {image.mode} as BB"):
        picture = Picture.of(image)
        picture = replace(picture, metadata=_metadata(image, picture.metadata, given))
        data = api.compress(picture, **{name: given[name] for name in _OPTIONS if name in given})
    file.write(data)


def _metadata(image: Image.Image, own: Metadata, given: dict[str, Any]) -> Metadata:
    """Return the metadata to keep: that of the image, with fields replaced that were given to ``save``."""
    text = getattr(image, "text", None) if image.format == FORMAT else None
    kept = replace(own, text=tuple(text.items())) if text else own
    if not given.get("keep_metadata", True):
        kept = kept.essential()
    for name, field in (("icc_profile", "icc"), ("exif", "exif"), ("xmp", "xmp"), ("dpi", "dpi")):
        if name in given:
            value = given[name]
            if isinstance(value, Image.Exif):
                value = value.tobytes()
            if isinstance(value, str):
                value = value.encode()
            kept = replace(kept, **{field: getattr(Metadata.of({field: value or None}), field)})
    if "pnginfo" in given:
        kept = replace(kept, text=_pnginfo(given["pnginfo"]))
    if "text" in given:
        kept = replace(kept, text=Metadata.of({"text": given["text"]}).text)
    return kept


def _pnginfo(chunks: PngImagePlugin.PngInfo | None) -> tuple[tuple[str, str], ...]:
    """Return the texts of Pillow's ``pnginfo``, as Pillow reads them from a PNG file."""
    file = io.BytesIO()
    Image.new("1", (1, 1)).save(file, "PNG", pnginfo=chunks)
    with Image.open(file) as image:
        return meta.from_pil(image).text


Image.register_open(FORMAT, BBImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".bb")
Image.register_mime(FORMAT, "image/x-bbcodec")
