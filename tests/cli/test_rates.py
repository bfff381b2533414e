# SPDX-License-Identifier: Apache-2.0
"""benchmarks/rates.py: icons that are picked, pictures that are composed and scanned, and the peers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__


@pytest.fixture
def data(module: Callable[[str], ModuleType], tmp_path: Path) -> Path:
    """Two photographs, two screenshots, and icon themes with two icons of each side."""
    random = np.random.default_rng(5)
    for place, name in (("photos/valid", "{}.webp"), ("graphics", "{}.png")):
        (tmp_path / place).mkdir(parents=True)
        for i in range(2):
            pixels = random.integers(0, 256, (256, 260, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / name.format(i), lossless=True)
    for package in module("rates_icons").PACKAGES:
        for side in (*module("rates_icons").SIDES, 128, 256, 512):
            folder = tmp_path / "packages" / package / f"icons/{side}"
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = np.zeros((side, side, 4), np.uint8)
                pixels[:3, :3] = random.integers(0, 256, (3, 3, 4), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png", compress_level=1)
    return tmp_path


def test_names_are_picked_in_turn_and_in_a_fixed_order(module: Callable[[str], ModuleType]) -> None:
    pick = module("rates_icons").pick
    groups = {"b": ["1", "2", "3"], "a": [str(i) for i in range(5)]}
    picked = list(pick(groups))
    assert [group for group, _ in picked] == ["a", "b", "a", "b", "a", "b", "a", "a"]
    assert sorted(picked) == sorted((group, name) for group, names in groups.items() for name in names)
    assert list(pick({"a": groups["a"][::-1], "b": groups["b"]})) == picked
    assert [name for _, name in pick({"a": groups["a"]})] == [name for group, name in picked if group == "a"]
    assert [name for group, name in picked if group == "a"] != sorted(groups["a"])


def test_icons_are_square_distinct_and_no_links(module: Callable[[str], ModuleType], data: Path) -> None:
    icons = module("rates_icons")
    first, *others = (data / "packages" / package / "icons/16" for package in icons.PACKAGES)
    (first / "link.png").symlink_to(first / "0.png")
    Image.new("RGBA", (16, 12)).save(first / "wide.png")
    for folder in others:
        for name in ("0.png", "1.png"):
            (folder / name).write_bytes((first / name).read_bytes())
    found = list(icons.theme_icons(data / "packages", (16,), 9))
    assert [icon.shape for icon in found] == [(16, 16, 4)] * 2


def test_crops_show_something(module: Callable[[str], ModuleType]) -> None:
    image = np.full((64, 64, 3), 200, np.uint8)
    image[20:50, 20:50] = np.random.default_rng(1).integers(0, 256, (30, 30, 3), np.uint8)
    crop = module("rates_icons").busiest_crop(image, 16, seed=0)
    assert crop.shape == (16, 16, 3)
    assert crop.std() > 20
    assert np.array_equal(module("rates_icons").busiest_crop(crop, 16, seed=0), crop)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", None), ("L", None), ("LA", 2), ("P", 3), ("RGB", 3), ("RGBA", 4)]
)
def test_pixels_keep_their_alpha(
    module: Callable[[str], ModuleType], mode: str, channels: int | None
) -> None:
    pixels = module("rates_icons").pixels_of(Image.new(mode, (5, 4)))
    assert pixels.shape == ((4, 5) if channels is None else (4, 5, channels))
    assert pixels.dtype == np.uint8


def test_palettes_with_transparency_become_rgba(module: Callable[[str], ModuleType], tmp_path: Path) -> None:
    image = Image.new("P", (3, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=bytes([255, 128]))
    with Image.open(tmp_path / "a.png") as opened:
        assert (module("rates_icons").pixels_of(opened) == (10, 20, 30, 128)).all()
    with pytest.raises(ValueError, match="mode CMYK"):
        module("rates_icons").pixels_of(Image.new("CMYK", (3, 3)))


def test_masks_are_soft_and_hidden_colours_are_kept_or_zeroed(module: Callable[[str], ModuleType]) -> None:
    alpha = module("rates_alpha")
    colours = np.random.default_rng(2).integers(1, 256, (90, 120, 3), np.uint8)
    for name, mask in alpha.MASKS.items():
        opacity = mask(90, 120, 3)
        assert opacity.shape == (90, 120), name
        assert opacity.dtype == np.uint8, name
        assert len(np.unique(opacity)) > 8, name  # a soft edge
        hidden = opacity == 0
        assert 0.03 < hidden.mean() < 0.95, name
        kept, zeroed = (alpha.compose(colours, opacity, keep) for keep in (True, False))
        assert np.array_equal(kept[:, :, :3], colours)
        assert np.array_equal(zeroed[~hidden], kept[~hidden])
        assert not zeroed[hidden].any()


def test_shadow_is_black_and_hides_nothing(module: Callable[[str], ModuleType]) -> None:
    colours = np.full((100, 100, 3), 200, np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    mask[30:70, 30:70] = 255
    shadowed, opacity = module("rates_alpha").with_shadow(colours, mask)
    assert (shadowed[mask == 255] == 200).all()
    assert (opacity[mask == 255] == 255).all()
    seen = (mask == 0) & (opacity > 0)
    assert seen.any()
    assert not shadowed[seen].any()
    assert (shadowed[opacity == 0] == 200).all()
    assert opacity[72, 72] > opacity[28, 28]  # down and to the right


def test_scans_and_dithering_are_bilevel_and_reproducible(module: Callable[[str], ModuleType]) -> None:
    scans, is_bilevel = module("rates_scans"), module("rates_peers").is_bilevel
    page = Image.new("L", (120, 160), 255)
    page.paste(0, (30, 40, 90, 120))
    scan = scans.Scan(angle=2, noise=80, specks=9, border=4)
    scanned = scans.scanned(page, scan, seed=1)
    assert is_bilevel(scanned)
    assert np.array_equal(scanned, scans.scanned(page, scan, seed=1))
    assert not np.array_equal(scanned, scans.scanned(page, scan, seed=2))
    assert np.array_equal(scans.scanned(page, scans.Scan(), seed=1), np.asarray(page))

    gray = np.tile(np.linspace(0, 255, 200).astype(np.uint8), (97, 1))
    for dither in (scans.floyd_steinberg, scans.bayer, scans.halftone):
        dots = dither(gray)
        assert dots.shape == gray.shape
        assert is_bilevel(dots)
        for part in (slice(0, 50), slice(75, 125), slice(150, 200)):
            assert abs(dots[:, part].mean() - gray[:, part].mean()) < 20, dither.__name__


def test_sets_are_complete_and_reproducible(module: Callable[[str], ModuleType], data: Path) -> None:
    sets = module("rates_sets").SETS
    icons = sets["icons"](data, None)
    assert len(icons.images) == 7 * 2 * 6 + 2  # all icons of the themes, and one of each screenshot
    assert [image.shape[0] for image in icons.images[:6]] == [16, 22, 24, 32, 48, 64]
    alpha = sets["alpha"](data, None, data / "packages")
    assert len(alpha.images) == 3 * 4 + 16
    assert {image.shape[2] for image in alpha.images} == {4}
    for name, found in (("icons", icons), ("alpha", alpha)):
        again, few = sets[name](data, None), sets[name](data, 3)
        assert all(map(np.array_equal, again.images, found.images))
        assert again.note == found.note
        assert all(map(np.array_equal, few.images, found.images))
        assert len(few.images) == 3


def test_bilevel_set_takes_charts_where_they_are(module: Callable[[str], ModuleType], data: Path) -> None:
    read, is_bilevel = module("rates_sets").SETS["bilevel"], module("rates_peers").is_bilevel
    made = read(data, None)
    assert len(made.images) == 12
    assert all(map(is_bilevel, made.images))
    assert "no charts" in made.note
    (data / "packages/jbigkit-testdata").mkdir()
    Image.new("1", (40, 30), 1).save(data / "packages/jbigkit-testdata/ccitt1.pbm")
    charted = read(data, None)
    assert all(map(np.array_equal, charted.images, made.images))
    assert np.array_equal(charted.images[12], np.full((30, 40), 255))


@pytest.mark.parametrize("name", ["icons", "alpha", "bilevel"])
def test_missing_files_are_named(module: Callable[[str], ModuleType], tmp_path: Path, name: str) -> None:
    missing = "photos/valid" if name == "bilevel" else "adwaita-icon-theme"
    with pytest.raises(FileNotFoundError, match=f"no .*{missing}"):
        module("rates_sets").SETS[name](tmp_path, None, tmp_path)


def test_report_has_the_sets_and_skips_those_without_files(
    module: Callable[[str], ModuleType],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--data", str(data), "--sets", "icons,bilevel,kodak", "--limit", "2", "--profiles", "none"]
    words += ["--packages", str(data / "packages"), "--peer-names", "png"]
    monkeypatch.setattr(sys, "argv", ["rates.py", *words])
    module("rates").main()
    text = capsys.readouterr().out
    assert "| bits/dim by all bytes | icons (2) | bilevel scans (2) |" in text
    assert "- skipped: set kodak: no " in text


def test_exact_accepts_what_a_format_lacks_and_nothing_else(module: Callable[[str], ModuleType]) -> None:
    exact = module("rates_peers").exact
    random = np.random.default_rng(4)
    gray = random.integers(0, 256, (6, 5), np.uint8)
    rgb = random.integers(0, 256, (6, 5, 3), np.uint8)
    soft = random.integers(0, 255, (6, 5), np.uint8)
    opaque = np.full((6, 5), 255, np.uint8)
    dots = np.where(gray > 127, 255, 0).astype(np.uint8)
    dots[0, :2] = 0, 255
    three = np.dstack([gray] * 3)
    assert exact(gray, gray)
    assert exact(gray, three)
    assert exact(np.dstack([gray, soft]), np.dstack([three, soft]))
    assert exact(np.dstack([gray, opaque]), three)
    assert exact(np.dstack([gray, opaque]), gray)
    assert exact(np.dstack([rgb, opaque]), rgb)
    assert exact(dots, dots // 255)
    assert exact(dots, np.dstack([dots] * 3))

    assert not exact(gray, rgb)
    assert not exact(gray, gray[:5])
    assert not exact(gray, gray.astype(np.int16))
    assert not exact(gray, np.dstack([three, soft]))
    assert not exact(rgb, np.dstack([rgb, opaque]))
    assert not exact(np.dstack([rgb, soft]), rgb)
    assert not exact(np.dstack([gray, soft]), gray)
    assert not exact(np.dstack([rgb, soft]), np.dstack([rgb, opaque]))
    assert not exact(dots, 1 - dots // 255)
    assert not exact(gray, gray // 255)


@pytest.mark.parametrize("key", ["png", "webp", "jpegls", "jxl7"])
def test_peers_are_exact_in_all_formats(module: Callable[[str], ModuleType], key: str) -> None:
    if key in ("jpegls", "jxl7"):
        pytest.importorskip("imagecodecs", reason="the extra `bench` (imagecodecs) is not installed")
    (peer,), _ = module("rates_peers").peers([key])
    random = np.random.default_rng(6)
    for channels in (1, 2, 3, 4):
        for opaque in (False, True):
            image = random.integers(0, 256, (9, 11, channels), np.uint8)
            if channels in (2, 4):
                image[:, :, -1] = 255 if opaque else image[:, :, -1] // 128 * 255  # colours under alpha 0
            pixels = image[:, :, 0] if channels == 1 else image
            assert module("rates_peers").Cache(None).measure(peer, pixels).nbytes > 0
    dots = np.where(random.integers(0, 2, (32, 40)) == 1, 255, 0).astype(np.uint8)
    measured = module("rates_peers").Cache(None).measure(peer, dots)
    assert measured.nbytes < 40 * 32 or key == "jpegls"  # not a byte for each pixel


def test_bilevel_pictures_are_coded_with_one_bit_where_that_is_smaller(
    module: Callable[[str], ModuleType],
) -> None:
    rates = module("rates")
    dots = np.where(np.random.default_rng(7).integers(0, 2, (40, 50)) == 1, 255, 0).astype(np.uint8)
    eight, one = (len(rates.bbcodec.compress(form)) for form in (dots, dots > 0))
    assert rates.one_by_one([dots])[0].nbytes == min(eight, one)
    assert rates.one_by_one([dots], method="classic")[0].nbytes >= min(eight, one)


def program(path: Path, body: str) -> None:
    """Write an executable Python program; `a` is its arguments."""
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\na = sys.argv[1:]\n{body}\n")
    path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="programs are scripts")
def test_bilevel_tools_run_if_they_are_installed(
    module: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, cache = module("rates_peers"), module("rates_peers").Cache(None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found, missing = peers.peers(["jbig2"])
    assert not found
    assert missing == ["jbig2: no program jbig2, jbig2dec (optional, for bilevel pictures)"]

    read = "Path(a[-1]).read_bytes()"
    version = "if a == ['-V']: sys.exit('encoder 7\\nand more')\n"
    copy = f"sys.stdout.buffer.write({read} + (b'' if a[0] == '-d' else b'more'))"
    program(tmp_path / "jbig2", version + copy)
    program(tmp_path / "jbig2dec", f"Path(a[a.index('-o') + 1]).write_bytes({read})")
    version = "if len(a) < 2: sys.exit('coder 3 -- codes pictures')\n"
    copy = "Path(a[-1]).write_bytes(Path(a[-2]).read_bytes())"
    program(tmp_path / "pbmtojbg", version + copy)
    program(tmp_path / "jbgtopbm", copy)
    (peer, other), missing = peers.peers(["jbig2", "jbig"])
    assert not missing
    assert [peer.library, other.library] == ["encoder 7", "coder 3"]
    dots = np.where(np.arange(60).reshape(6, 10) % 7 > 2, 255, 0).astype(np.uint8)
    assert cache.measure(other, dots).nbytes == len(b"P4\n10 6\n") + 6 * 2
    assert cache.measure(peer, dots).nbytes > 0
    assert peer.encode(dots).endswith(b"IEND\xaeB`\x82")  # the smaller of two files
    pictures = module("rates_sets").ImageSet("a", "a", [dots, dots + 1])
    assert module("rates").peer_rows(pictures, ["jbig2"], cache) == []

    program(tmp_path / "jbig2dec", "sys.exit('no memory')")
    with pytest.raises(ValueError, match="jbig2dec failed: no memory"):
        peer.decode(b"")
