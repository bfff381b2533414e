# SPDX-License-Identifier: Apache-2.0
"""What a file is by its first bytes: an image format with a reader, or something else that has a name."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HEAD_BYTES", "Foreign", "foreign", "sniff"]

HEAD_BYTES: Final = 512
"""Bytes at the beginning of a file that `sniff` and `foreign` look at."""

_STARTS: Final = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"),
    "QOI": (b"qoif",),
    "BMP": (b"BM",),
}
_PCX_ENCODING_BITS: Final = (1, 2, 4, 8)


class Foreign(NamedTuple):
    """A kind of file that has no reader here: its name, and what a user can do."""

    name: str
    advice: str


_COMPRESS: Final = "it is no picture; bbcodec compress and bbcodec.compress() take it as it is"
_ARRAY: Final = "load it, and give the array to bbcodec.compress()"
_DECODE: Final = "decode it to PNG or TIFF first"
_EXPORT: Final = "export it as PNG or TIFF first"
_DEVELOP: Final = "develop it to TIFF first, or keep it as it is"
_UNPACK: Final = "unpack it first"

# Offset, bytes, name, advice. TIFF-like raw files come before TIFF: they begin like it.
_FOREIGN: Final = (
    (128, b"DICM", "a DICOM file", _COMPRESS),
    (0, b"SIMPLE  =", "a FITS file", _COMPRESS),
    (0, b"\x93NUMPY", "a NumPy array file", _COMPRESS),
    (344, b"n+1\0", "a NIfTI file", _COMPRESS),
    (344, b"ni1\0", "a NIfTI header", "convert it to one file (.nii), which bbcodec compress takes"),
    (4, b"n+2\0", "a NIfTI file", _COMPRESS),
    (0, b"NRRD", "an NRRD file", _ARRAY),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _ARRAY),
    (0, b"CDF\x01", "a NetCDF file", _ARRAY),
    (0, b"CDF\x02", "a NetCDF file", _ARRAY),
    (0, b"\xff\x0a", "a JPEG XL image", _DECODE),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", _DECODE),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", _DECODE),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _DECODE),
    (0, b"II\xbc\x01", "a JPEG XR image", _DECODE),
    (0, b"BPG\xfb", "a BPG image", _DECODE),
    (0, b"FLIF", "a FLIF image", _DECODE),
    (0, b"%PDF", "a PDF document", "render its pages to PNG first"),
    (0, b"%!PS", "a PostScript file", "render its pages to PNG first"),
    (8, b"CR\x02\0", "a raw camera file (CR2)", _DEVELOP),
    (0, b"FUJIFILMCCD-RAW", "a raw camera file (RAF)", _DEVELOP),
    (0, b"IIRO", "a raw camera file (ORF)", _DEVELOP),
    (0, b"IIRS", "a raw camera file (ORF)", _DEVELOP),
    (0, b"MMOR", "a raw camera file (ORF)", _DEVELOP),
    (0, b"IIU\0", "a raw camera file (RW2)", _DEVELOP),
    (0, b"FOVb", "a raw camera file (X3F)", _DEVELOP),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image", "its samples are floats, which are not supported"),
    (0, b"#?RADIANCE", "a Radiance image", "its samples are floats, which are not supported"),
    (0, b"#?RGBE", "a Radiance image", "its samples are floats, which are not supported"),
    (0, b"Pf", "a PFM image", "its samples are floats, which are not supported"),
    (0, b"PF", "a PFM image", "its samples are floats, which are not supported"),
    (0, b"8BPS", "a Photoshop file", _EXPORT),
    (0, b"gimp xcf", "a GIMP file", _EXPORT),
    (0, b"<svg", "an SVG drawing", "render it to PNG first"),
    (0, b"<?xml", "an XML file", "if it is a drawing, render it to PNG first"),
    (0, b"\0\0\x01\0", "an icon of several pictures (ICO)", _EXPORT),
    (0, b"\0\0\x02\0", "a cursor (CUR)", _EXPORT),
    (0, b"icns", "an icon of several pictures (ICNS)", _EXPORT),
    (0, b"DDS ", "a texture (DDS)", _EXPORT),
    (0, b"\xabKTX ", "a texture (KTX)", _EXPORT),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile", "render it to PNG first"),
    (40, b" EMF", "a Windows metafile", "render it to PNG first"),
    (0, b"\x8aMNG", "an MNG animation", _EXPORT),
    (0, b"\x8bJNG", "a JNG image", _EXPORT),
    (0, b"RIFF", "a RIFF file other than WebP", "it is no image"),
    (0, b"PK\x03\x04", "a ZIP file", _UNPACK),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", _UNPACK),
    (0, b"Rar!", "a RAR file", _UNPACK),
    (257, b"ustar", "a tar file", _UNPACK),
    (0, b"\x7fELF", "a program", "it is no image"),
    (0, b"\x89BBC", "a bbcodec file", "a single picture comes back with bbcodec.decompress_picture()"),
    (0, b"\x89BBN", "a bbcodec file of arrays", "read it with bbcodec.decompress() or bbcodec.ArrayFile"),
    (0, b"\x89BBA", "a bbcodec archive", "open it with bbcodec.Archive, or unpack it with bbcodec unpack"),
    (0, b"\x89BBM", "a bbcodec model", "it is no image"),
)
_BRANDS: Final = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
    b"crx ": "a raw camera file (CR3)",
}


def sniff(head: bytes) -> str | None:
    """Return the image format of a file by its first `HEAD_BYTES` bytes; None if it has no reader here.

    TGA files have no signature: what could be the header of one is called TGA.

    Examples
    --------
    >>> sniff(b"GIF89a"), sniff(b"hello")
    ('GIF', None)
    """
    if foreign(head) is not None:
        return None
    for name, starts in _STARTS.items():
        if head.startswith(starts):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7") and head[2:3].isspace():
        return "PNM"
    if len(head) >= 64 and head[0] == 10 and head[1] in (0, 2, 3, 5) and head[3] in _PCX_ENCODING_BITS:
        return "PCX"
    return "TGA" if _is_tga(head) else None


def foreign(head: bytes) -> Foreign | None:
    """Return what a file without a reader is by its first `HEAD_BYTES` bytes; None if that is not known."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return None
    if head[4:8] == b"ftyp":
        name = _BRANDS.get(head[8:12], "a video or an image of the MP4 family")
        return Foreign(name, _DEVELOP if "raw" in name else _DECODE)
    for offset, magic, name, advice in _FOREIGN:
        if head[offset : offset + len(magic)] == magic and _whole(magic, head):
            return Foreign(name, advice)
    return None


def _whole(magic: bytes, head: bytes) -> bool:
    """Return whether a short signature is one, and not the beginning of something else."""
    if magic == b"\0\0\x02\0":  # of a cursor; a TGA file has 0 where a cursor has its count
        return head[4:5] != b"\0"
    return magic not in (b"Pf", b"PF") or head[2:3].isspace()


def _is_tga(head: bytes) -> bool:
    if len(head) < 18:
        return False
    colour_map, kind, entry_bits = head[1], head[2], head[7]
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    return (
        colour_map in (0, 1)
        and kind in (1, 2, 3, 9, 10, 11)
        and (colour_map == 1 or kind not in (1, 9))
        and head[16] in (1, 8, 15, 16, 24, 32)
        and entry_bits in (0, 15, 16, 24, 32)
        and width > 0
        and height > 0
    )
