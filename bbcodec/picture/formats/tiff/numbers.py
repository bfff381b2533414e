# SPDX-License-Identifier: Apache-2.0
"""The numbers of TIFF 6.0 and its supplements: tags of the layout, compressions, colour spaces.

Numbers of tags that describe a picture are in `bbcodec.picture.formats.tiff.metadata`.
"""

from __future__ import annotations

from typing import Final

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, CHANNELS, STRIP_ROWS, STRIP_BYTES, PLANAR, FAX_OPTIONS = 273, 277, 278, 279, 284, 292
PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 317, 320, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, DEPTH = 338, 339, 347, 32997
# 288 and 289 list unused bytes; 293 only allows what no encoder of T.6 writes; 529 to 531 are for JPEG.
STRUCTURAL: Final = frozenset(
    {
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        CHANNELS,
        STRIP_ROWS,
        STRIP_OFFSETS,
        STRIP_BYTES,
    }
    | {PLANAR, FAX_OPTIONS, PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES}
    | {EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, 288, 289, 293, 529, 530, 531}
)
"""Numbers of the tags that say how samples are stored."""

PLAIN, FAX_RLE, FAX_3, FAX_4, LZW, JPEG, DEFLATE, PACK_BITS, OLD_DEFLATE = 1, 2, 3, 4, 5, 7, 8, 32773, 32946
LZMA, ZSTD, WEBP = 34925, 50000, 50001
FAX: Final = (FAX_RLE, FAX_3, FAX_4)
PREDICTED: Final = (LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD)  # compressions that know predictors
READ: Final = (PLAIN, *FAX, JPEG, PACK_BITS, WEBP, *PREDICTED)
UNREAD: Final = {
    6: "old JPEG",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32771: "CCITT RLE in words",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGILog",
    34677: "SGILog",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34933: "PNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
COLOURS: Final = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
SPACES: Final = {
    4: "a transparency mask",
    5: "CMYK (separated) samples",
    8: "CIELab samples",
    9: "ICCLab samples",
    10: "ITULab samples",
    32844: "LogL samples",
    32845: "LogLuv samples",
}
RAW_SPACES: Final = (32803, 34892)  # CFA, linear raw
RAW_TAGS: Final = (33421, 33422, 50706)  # CFARepeatPatternDim, CFAPattern, DNGVersion
ASSOCIATED, UNASSOCIATED = 1, 2
UNDEFINED_FORMAT = 4
