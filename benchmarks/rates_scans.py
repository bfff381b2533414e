# SPDX-License-Identifier: Apache-2.0
"""Bilevel pictures of `rates_sets.py`: pages and drawings as from a scanner, and dithered photographs.

All are gray8 with the values 0 (black) and 255. They are drawn with Pillow and its own font: another version
of Pillow or FreeType may give slightly other pixels.

The package jbigkit-testdata of Debian (2.1-6.1) has eight real scans, the test charts of ITU-T T.24. They are
used as well if they are found beside the packages of `rates_icons.py`, as `ccitt1.pbm` to `ccitt8.pbm`:

    apt-get download jbigkit-testdata && dpkg -x jbigkit-testdata_*.deb packages/jbigkit-testdata
    apt-get install jbigkit-bin
    for chart in packages/jbigkit-testdata/usr/share/jbigkit-testdata/ccitt?.jbg; do
      jbgtopbm $chart ${chart%.jbg}.pbm
    done
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["PAGES", "Scan", "bayer", "charts", "dithered", "floyd_steinberg", "halftone", "pages", "scanned"]

Pixels = NDArray[np.uint8]

_DPI = 200
_POINT = _DPI / 72  # pixels
_PAGE = (1165, 1654)  # width and height of A5 at 200 dpi, pixels
_MARGIN = 110  # pixels
_BAYER_SIDE = 8  # pixels
_HALFTONE_PERIOD = 6.0  # pixels between the dots of a printed photograph
_COMMON_WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an "
    "they which one you were all her she there would their we him been has when who will no more if out so "
    "up said what its about than into them can only other time new some could these two may first then do "
    "any like my now over such our man me even most made after also did many off before must well back "
    "through years where much your way down should because long each just state those people too how "
    "little good world make very year still see own work men day get here old life both between being under "
    "three never know same last another while us might great go come since against came right used take"
)
_WORDS = _COMMON_WORDS.split()


@dataclass(frozen=True)
class Scan:
    """What a scanner adds to a page.

    Attributes
    ----------
    angle : rotation, degrees
    noise : largest change of a pixel before it is compared with middle gray, levels of 255
    specks : number of small black or white rectangles
    border : width of the black border on the left, pixels; its edge is rough
    """

    angle: float = 0.0
    noise: int = 0
    specks: int = 0
    border: int = 0


def scanned(page: Image.Image, scan: Scan, seed: int) -> Pixels:
    """Return a gray page as a bilevel scan: rotated, blurred, noisy, and compared with middle gray."""
    random = np.random.default_rng(seed)
    if scan.angle:
        page = page.rotate(scan.angle, Image.Resampling.BICUBIC, fillcolor=255)
    if scan.noise:
        page = page.filter(ImageFilter.GaussianBlur(0.7))
    light = np.asarray(page).astype(np.int64)
    if scan.noise:
        light = light + random.integers(-scan.noise, scan.noise, light.shape, endpoint=True)
    black = light < 128
    height, width = black.shape
    for _ in range(scan.specks):
        y, x = random.integers(0, height), random.integers(0, width)
        rows, columns = random.integers(1, 4, 2)
        black[y : y + rows, x : x + columns] = random.integers(0, 4) > 0  # some are holes in the ink
    if scan.border:
        edge = scan.border + np.cumsum(random.integers(-1, 2, height))
        black |= np.arange(width)[None, :] < edge[:, None]
    return np.where(black, 0, 255).astype(np.uint8)


def floyd_steinberg(gray: Pixels) -> Pixels:
    """Return a photograph dithered by error diffusion."""
    return np.asarray(Image.fromarray(gray).convert("1").convert("L"))


def bayer(gray: Pixels) -> Pixels:
    """Return a photograph dithered with the ordered matrix of 8 × 8."""
    matrix = np.zeros((1, 1), np.int64)
    while len(matrix) < _BAYER_SIDE:
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return _threshold(gray, (matrix + 0.5) * 256 / matrix.size)


def halftone(gray: Pixels) -> Pixels:
    """Return a photograph as printed: dots of varying size on a grid at 45 degrees."""
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]] * (np.pi * np.sqrt(2) / _HALFTONE_PERIOD)
    screen = np.cos(y + x) * np.cos(y - x)
    return np.where(gray >= 127.5 + 120 * screen, 255, 0).astype(np.uint8)


def dithered(photographs: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield gray photographs dithered in turn by error diffusion, the ordered matrix, and as printed."""
    ways = (floyd_steinberg, bayer, halftone)
    for i, photograph in enumerate(photographs):
        yield ways[i % len(ways)](photograph)


def pages() -> Iterator[Pixels]:
    """Yield the pages and drawings of `PAGES`."""
    for seed, (draw, scan) in enumerate(PAGES):
        page = Image.new("L", _PAGE, 255)
        draw(ImageDraw.Draw(page), seed)
        yield scanned(page, scan, seed)


def charts(packages: Path) -> Iterator[Pixels]:
    """Yield the test charts of jbigkit-testdata, if they are there and were converted to PBM."""
    for path in sorted((packages / "jbigkit-testdata").rglob("ccitt?.pbm")):
        with Image.open(path) as image:
            yield np.asarray(image.convert("L"))


def _threshold(gray: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    height, width = gray.shape
    repeats = (-(-height // matrix.shape[0]), -(-width // matrix.shape[1]))
    return np.where(gray >= np.tile(matrix, repeats)[:height, :width], 255, 0).astype(np.uint8)


def _font(points: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points * _POINT)


def _column(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], points: float, seed: int
) -> None:
    """Fill a box (left, top, right, bottom) with paragraphs of random words."""
    random = np.random.default_rng(seed)
    left, top, right, bottom = box
    font, step = _font(points), 1.35 * points * _POINT
    y, x, left_in_paragraph = top, left + 2 * points, 0
    while y + step < bottom:
        if left_in_paragraph == 0:
            left_in_paragraph, capital = int(random.integers(30, 90)), True
        word = _WORDS[int(random.integers(len(_WORDS)))]
        word = word.capitalize() if capital else word
        left_in_paragraph -= 1
        capital = left_in_paragraph == 0 or random.integers(10) == 0
        word += "." if capital else ""
        if x + draw.textlength(word, font) > right:
            x, y = left, y + step
            continue
        draw.text((x, y), word, fill=0, font=font)
        x += draw.textlength(word + " ", font)
        if left_in_paragraph == 0:
            x, y = left + 2 * points, y + 1.5 * step


def _inner() -> tuple[int, int, int, int]:
    return _MARGIN, _MARGIN, _PAGE[0] - _MARGIN, _PAGE[1] - _MARGIN


def _text(draw: ImageDraw.ImageDraw, seed: int) -> None:
    _column(draw, _inner(), 10, seed)


def _letter(draw: ImageDraw.ImageDraw, seed: int) -> None:
    left, top, right, _ = _inner()
    _column(draw, (left, top, left + 300, top + 160), 9, seed)
    draw.text((right, top + 260), "12 March", fill=0, font=_font(11), anchor="ra")
    _column(draw, (left, top + 360, right, top + 1000), 11, seed + 100)
    angles = np.linspace(0, 6 * np.pi, 200)  # a signature
    curve = [(left + 40 + 14 * a, top + 1120 + 40 * np.sin(a) * np.cos(2.3 * a)) for a in angles]
    draw.line(curve, fill=0, width=4)


def _two_columns(draw: ImageDraw.ImageDraw, seed: int) -> None:
    left, top, right, bottom = _inner()
    draw.text((_PAGE[0] / 2, top), "On the state of the world", fill=0, font=_font(16), anchor="mm")
    middle = (left + right) / 2
    _column(draw, (left, top + 80, middle - 20, bottom), 7.5, seed)
    _column(draw, (middle + 20, top + 80, right, bottom), 7.5, seed + 100)


def _form(draw: ImageDraw.ImageDraw, seed: int) -> None:
    left, top, right, bottom = _inner()
    random, font = np.random.default_rng(seed), _font(8)
    lines = range(top, bottom, 46)
    for y in lines:
        draw.line([(left, y), (right, y)], fill=0, width=2)
    for x in (left, left + 330, left + 520, left + 730, right):
        draw.line([(x, lines[0]), (x, lines[-1])], fill=0, width=3)
    for y in lines[:-1]:
        draw.text((left + 12, y + 10), _WORDS[int(random.integers(len(_WORDS)))], fill=0, font=font)
        for x in (left + 510, left + 720, right - 10):
            amount = f"{int(random.integers(10**6)) / 100:,.2f}"
            draw.text((x, y + 10), amount, fill=0, font=font, anchor="ra")


def _title(draw: ImageDraw.ImageDraw, seed: int) -> None:
    for points, word, y in ((64, "Still", 300), (40, "the same", 560), (28, "old world", 760)):
        draw.text((_PAGE[0] / 2, y), word, fill=0, font=_font(points), anchor="mm")
    draw.rectangle((300, 900, _PAGE[0] - 300, 940), fill=0)
    draw.ellipse((430, 1040, 735, 1345), outline=0, width=24)


def _plan(draw: ImageDraw.ImageDraw, seed: int) -> None:
    random = np.random.default_rng(seed)
    left, top, right, bottom = _inner()
    draw.rectangle(_inner(), outline=0, width=10)
    for i in range(7):
        x, y = int(random.integers(left + 60, right - 60)), int(random.integers(top + 60, bottom - 60))
        draw.line([(x, top), (x, y), (left if i % 2 else right, y)], fill=0, width=6)
        draw.arc((x - 90, y - 90, x + 90, y + 90), 90 * (i % 4), 90 * (i % 4) + 90, fill=0, width=2)
        draw.text((x + 14, y + 10), f"{int(random.integers(90, 900))}", fill=0, font=_font(6))
    for offset in range(-400, 900, 14):  # hatching
        draw.line([(left + offset, bottom), (left + offset + 300, bottom - 300)], fill=0, width=1)
    draw.rectangle((0, 0, left - 6, _PAGE[1]), fill=255)
    draw.rectangle((right + 6, 0, _PAGE[0], _PAGE[1]), fill=255)


def _map(draw: ImageDraw.ImageDraw, seed: int) -> None:
    """Draw contour lines of smooth random heights."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 7), np.uint8)
    width, height = _PAGE[0] - 2 * _MARGIN, _PAGE[1] - 2 * _MARGIN
    heights = Image.fromarray(cells.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    level = np.floor(np.asarray(heights) / 14)
    edge = np.zeros(level.shape, np.uint8)
    edge[1:] |= level[1:] != level[:-1]
    edge[:, 1:] |= level[:, 1:] != level[:, :-1]
    draw.bitmap((_MARGIN, _MARGIN), Image.fromarray(255 * edge), fill=0)


def _circuit(draw: ImageDraw.ImageDraw, seed: int) -> None:
    random = np.random.default_rng(seed)
    left, top, right, bottom = _inner()
    for i in range(60):
        xs, ys = random.integers(left, right, 3) // 20 * 20, random.integers(top, bottom, 3) // 20 * 20
        path = [(xs[0], ys[0]), (xs[1], ys[0]), (xs[1], ys[1]), (xs[2], ys[1])]
        draw.line([(int(x), int(y)) for x, y in path], fill=0, width=3 + 4 * (i % 8 == 0))
        for x, y in (path[0], path[-1]):
            draw.ellipse((int(x) - 8, int(y) - 8, int(x) + 8, int(y) + 8), fill=0)
    for i in range(12):
        x, y = (int(v) // 20 * 20 for v in random.integers((left, top), (right - 200, bottom - 100)))
        draw.rectangle((x, y, x + 200, y + 100), fill=255, outline=0, width=4)
        draw.text((x + 100, y + 50), f"U{i + 1}", fill=0, font=_font(9), anchor="mm")


PAGES: tuple[tuple[Callable[[ImageDraw.ImageDraw, int], None], Scan], ...] = (
    (_text, Scan()),
    (_letter, Scan(angle=0.4, noise=60, specks=60)),
    (_two_columns, Scan(angle=-0.7, noise=80, specks=150, border=24)),
    (_form, Scan(angle=0.2, noise=50, specks=40)),
    (_title, Scan(angle=1.1, noise=90, specks=300, border=40)),
    (_plan, Scan(angle=-0.3, noise=60, specks=80)),
    (_map, Scan()),
    (_circuit, Scan(angle=0.6, noise=50, specks=30)),
)
"""Functions that draw a page, called with (canvas, seed), and what the scanner adds."""
