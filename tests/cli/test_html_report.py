# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compare --html`: well formed, what comes from outside escaped, without errors in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bbcodec.cli import app, html_report
from bbcodec.cli.html_chart import Point, scatter
from bbcodec.picture.picture import Picture

EVIL = "<script>alert(1)</script>\"'&\x1b.png"
CODECS = ["bbcodec photo", "PNG optimised", "WebP", "JPEG XL e7"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def result(codec: str, size: int) -> dict[str, Any]:
    return {
        "codec": codec,
        "bytes": size,
        "bits_per_dim": size / 1000,
        "encode_seconds": size / 20_000,
        "decode_seconds": size / 300_000,
    }


def image(name: str, *sizes: int) -> dict[str, Any]:
    codecs = [result(codec, size) for codec, size in zip(CODECS, sizes, strict=True)]
    return {"input": name, "width": 90, "height": 60, "mode": "RGB", "codecs": codecs}


def page() -> str:
    """A page of three images, one of which WebP did not take."""
    images = [
        image("b.png", 2500, 5000, 3500, 3000),
        image(EVIL, 1500, 3000, 2000, 1600),
        image("a.png", 900, 1000, 1200, 800),
    ]
    images[2]["codecs"][2] = {"codec": "WebP", "error": f"cannot <b>{EVIL}"}
    means = [result(codec, size) | {"images": 2} for codec, size in zip(CODECS, (2, 4, 3, 2.3), strict=True)]
    for each in images:
        each["codecs"].append({"codec": "other", "error": "takes nothing"})
    means.append({"codec": "other", "images": 0, "error": "no image"})
    small = html_report.thumbnail(Picture.of(np.arange(60 * 90 * 3, dtype=np.uint8).reshape(60, 90, 3)))
    return html_report.render(
        images,
        means,
        thumbnails=[small] * 3,
        ours={"bbcodec photo"},
        failures=[{"input": EVIL, "error": {"message": f"is {EVIL}"}}],
        facts={"command": f"bbcodec compare '{EVIL}'", "Python": "3"},
    )


class Outline(HTMLParser):
    """Elements with their attributes, and whether every one was closed."""

    EMPTY = ("meta", "link", "img", "br", "rect", "circle", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_is_complete_in_itself() -> None:
    text = page()
    outline = Outline(text)
    assert text.startswith("<!doctype html>")
    for tag, attributes in outline.found:
        for key in ("src", "href", "srcset", "action"):
            assert (attributes.get(key) or "data:").startswith("data:"), (tag, attributes)
    assert not re.search(r"https?:|@import|url\(", text)
    (policy,) = [a["content"] for a in outline.all("meta") if a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_do_not_become_markup() -> None:
    outline = Outline(page())
    assert len(outline.all("script")) == 1
    assert not outline.all("b")
    seen = EVIL.encode("unicode_escape").decode()
    assert f"cannot <b>{seen}" in outline.words
    assert f"Thumbnail of {seen}" in [attributes["alt"] for attributes in outline.all("img")]
    assert "\x1b" not in page()


def test_who_cannot_see_it_is_told() -> None:
    outline = Outline(page())
    assert {attributes.get("scope") for attributes in outline.all("th")} == {"col", "row"}
    assert all(attributes.get("alt") for attributes in outline.all("img"))
    charts = [attributes for attributes in outline.all("svg") if attributes["class"] == "chart"]
    assert len(charts) == 2
    ids = [attributes["id"] for _, attributes in outline.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert chart["role"] == "img"
        assert set((chart["aria-labelledby"] or "").split()) <= set(ids)
    assert any("JPEG XL e7" in word and "seconds per megapixel" in word for word in outline.words)


def test_what_all_codecs_take_is_what_is_compared() -> None:
    images = [image("a", 1, 2, 3, 4), image("b", 1, 2, 3, 4), image("c", 1, 2, 3, 4)]
    assert html_report.shared(images) == images
    images[1]["codecs"][0] = {"codec": CODECS[0], "error": "no"}
    assert html_report.shared(images) == [images[0], images[2]]
    for each in images:
        each["codecs"][3] = {"codec": CODECS[3], "error": "no"}
    assert html_report.shared(images) == [images[0], images[2]]
    assert "2 images that all codecs take" in " ".join(Outline(page()).words)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB;16", "I;16"])
def test_thumbnails_of_all_modes(mode: str) -> None:
    if ";16" in mode:
        shape = (300, 20, 3)[: 3 if mode == "RGB;16" else 2]
        picture = Picture.of(np.full(shape, 40_000, np.uint16))
    else:
        picture = Picture.of(Image.new("RGBA", (20, 300), (1, 2, 3, 99)).convert(mode))
    assert re.fullmatch(r"data:image/webp;base64,[A-Za-z0-9+/]+=*", html_report.thumbnail(picture))


@pytest.mark.parametrize("times", [[1.0], [0.5, 0.6], [1e-6, 1e4], [1, 10, 100]])
def test_points_lie_inside_of_the_chart(times: list[float]) -> None:
    points = [Point(f"bbcodec {i}", t, 3.0, ours=i == 0) for i, t in enumerate(times)]
    circles = Outline(scatter(points, "x", "title", "seconds", "bits")).all("circle")
    assert len(circles) == len(times)
    assert all(0 < float(c["cx"] or 0) < 500 and 0 < float(c["cy"] or 0) < 380 for c in circles)
    assert sorted(circles, key=lambda c: float(c["cx"] or 0)) == circles


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", "--model", "fast", *arguments])


def test_the_command_writes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("no image.png").write_text("no image")
    done = compare("--html", "report.html", "photo.png", "no image.png")
    assert done.exit_code == 1  # of the file that is no image
    outline = Outline(Path("report.html").read_text())
    words = " ".join(outline.words)
    assert all(name in words for name in ("photo.png", "no image.png", "bbcodec fast", "WebP", "libwebp"))
    before = Path("report.html").read_bytes()
    done = compare("--html", "report.html", "photo.png")
    assert done.exit_code == 1
    assert "exists already" in done.stderr
    assert Path("report.html").read_bytes() == before
    assert compare("--html", "-", "photo.png").exit_code == 2


def chromium(folder: Path, *arguments: str) -> tuple[str, list[str]]:
    """Open a page; return what Chromium printed, and the lines of the console."""
    assert CHROMIUM is not None
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars "
        "--enable-logging=stderr --v=0"
    )
    done = subprocess.run(
        [CHROMIUM, *options.split(), f"--user-data-dir={folder / 'profile'}", *arguments],
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@browser
def test_a_browser_shows_it_without_errors(tmp_path: Path) -> None:
    report, shot = tmp_path / "report.html", tmp_path / "shot.png"
    report.write_text(page())
    _, console = chromium(tmp_path, f"--screenshot={shot}", "--window-size=1000,1400", report.as_uri())
    assert not console
    picture = Image.open(shot).convert("RGB")
    assert picture.size == (1000, 1400)
    pixels = np.asarray(picture)
    parts = [part for band in np.split(pixels[:1200], 4) for part in np.split(band, 2, axis=1)]
    assert all(np.ptp(part) > 100 for part in parts[:6])  # not blank anywhere above the end
    # A point of our colour and one of the others'.
    for colour in ((0xC2, 0x41, 0x0C), (0x47, 0x60, 0x7F)):
        assert (pixels == colour).all(2).sum() > 50


@browser
def test_a_browser_sorts_and_runs_no_other_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    click = """
    const [codecs, images] = document.querySelectorAll("table");
    for (const i of [1, 2]) images.querySelector("button").click();
    [...codecs.querySelectorAll("button")].at(-1).click();"""
    monkeypatch.setattr(html_report, "SCRIPT", html_report.SCRIPT + click)
    foreign = '<script>document.documentElement.dataset.evil = "yes"</script></body>'
    report = tmp_path / "report.html"
    report.write_text(page().replace("</body>", foreign))
    text, console = chromium(tmp_path, "--dump-dom", report.as_uri())
    assert 'data-ready="yes"' in text
    assert "data-evil" not in text
    (line,) = console  # so errors would be seen
    assert "Content Security Policy" in line
    assert 'aria-sort="descending"' in text
    order = [text.rindex(f'data-value="{name}"') for name in ("b.png", "a.png")]
    assert order == sorted(order)
    assert text.index(">other</th>") > text.index(">PNG optimised</th>") > text.index(">bbcodec photo</th>")
    assert len(re.findall(r"<button", text)) == 7 + 6
