# SPDX-License-Identifier: Apache-2.0
"""The page of `bbcodec compare --html`: one file that loads nothing from the network.

All text from outside (file names, messages, the command) goes through `html_tables.text`. A content security
policy allows only our own script, by its hash.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bbcodec.cli.html_assets import SCRIPT, STYLE
from bbcodec.cli.html_chart import Point, scatter
from bbcodec.cli.html_tables import TINY, Record, base, codec_table, image_table, text
from bbcodec.cli.report import counted

if TYPE_CHECKING:
    from bbcodec.picture.picture import Picture

__all__ = ["render", "shared", "thumbnail"]

_THUMBNAIL = 128  # pixels, the longest side: sharp at half that size on dense screens

_METHOD = (
    "Every codec is lossless and leaves metadata out; every round trip was compared pixel by pixel. Bits per "
    "dim are bits per sample: 8 × bytes / (width × height × channels). Times are of one run, after a warm-up."
)
_AXES = (
    "Further down is smaller, further to the left is faster; the axis of time is logarithmic."
    '<br><span class="key ours">bbcodec</span> <span class="key rival">others</span>'
)


def thumbnail(picture: Picture) -> str:
    """Return a small copy of a picture as a ``data:`` URI."""
    from PIL import Image

    if picture.pixels.dtype == "uint16":
        image = Image.fromarray((picture.pixels >> 8).astype("uint8"))
    else:
        image = picture.to_pil()
    clear = image.mode.endswith("A") or "transparency" in image.info
    image = image.convert("RGBA" if clear else "RGB")
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, lossless=max(image.size) <= TINY)
    return "data:image/webp;base64," + b64encode(out.getvalue()).decode("ascii")


def shared(images: Sequence[Record]) -> list[Record]:
    """Return the images that all codecs could encode, so that means over them can be compared.

    A codec that takes none of the images is ignored. If no such image is left, all images are returned.
    """
    count = len(images[0]["codecs"])
    able = [i for i in range(count) if any("bytes" in image["codecs"][i] for image in images)]
    found = [image for image in images if all("bytes" in image["codecs"][i] for i in able)]
    return found or list(images)


def render(
    images: Sequence[Record],
    means: Sequence[Record],
    *,
    thumbnails: Sequence[str],
    ours: set[str],
    failures: Sequence[Record] = (),
    facts: Mapping[str, str],
) -> str:
    """Return the page.

    Parameters
    ----------
    images
        Records of the images, as `bbcodec compare --json` writes them; at least one.
    means
        Mean results of every codec over the `shared` images.
    thumbnails
        The `thumbnail` of every image.
    ours
        Names of the codecs that are bbcodec.
    failures
        Records of images that could not be measured.
    facts
        Versions, settings and the command: label and value.
    """
    script = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{script}'"
    )
    common, count = shared(images), counted(len(images), "image")
    over = (
        count if len(common) == len(images) else f"the {counted(len(common), 'image')} that all codecs take"
    )
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>bbcodec compare: {count}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        "<header>",
        "<h1>Lossless sizes and times</h1>",
        f'<p class="lead">{count}. {_lead(means, ours, over)}</p>',
        "</header>",
        _charts(common, means, ours),
        codec_table(means, ours, over),
        image_table(images, thumbnails),
        _failed(failures),
        "<section>",
        "<h2>How this was measured</h2>",
        f'<p class="soft">{_METHOD}</p>',
        "<dl>",
        *(f"<dt>{text(label)}</dt><dd>{_fact(label, value)}</dd>" for label, value in facts.items()),
        "</dl>",
        "</section>",
        "</main>",
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _fact(label: str, value: str) -> str:
    return f"<code>{text(value)}</code>" if label == "command" else text(value)


def _lead(means: Sequence[Record], ours: set[str], over: str) -> str:
    """Return a sentence with the result."""
    good = sorted((mean for mean in means if "bytes" in mean), key=lambda mean: float(mean["bytes"]))
    if not good:
        return "No codec takes any of them."
    best, png = good[0], base(good)
    said = [f"{best['bits_per_dim']:.3f} bits per dim"]
    if png and best["bytes"] < png:
        said.append(f"{100 * (1 - best['bytes'] / png):.1f} % less than PNG")
    rival = next((mean for mean in good if mean["codec"] not in ours), best)
    if best["codec"] in ours and rival is not best and not rival["codec"].startswith("PNG"):
        said.append(f"{100 * (1 - best['bytes'] / rival['bytes']):.1f} % less than {text(rival['codec'])}")
    where = "" if over[0].isdigit() else f" over {over}"
    return f"Smallest on average{where}: <strong>{text(best['codec'])}</strong>, {', '.join(said)}."


def _pace(images: Sequence[Record], codec: int, key: str) -> float | None:
    """Return the seconds per megapixel of a codec over the images that it could encode."""
    good = [image for image in images if "bytes" in image["codecs"][codec]]
    pixels = sum(image["width"] * image["height"] for image in good)
    seconds = sum(image["codecs"][codec][key] for image in good)
    return max(seconds * 1e6 / pixels, 1e-6) if pixels else None


def _charts(images: Sequence[Record], means: Sequence[Record], ours: set[str]) -> str:
    figures = []
    for kind in ("encod", "decod"):
        points = [
            Point(mean["codec"], pace, mean["bits_per_dim"], mean["codec"] in ours)
            for index, mean in enumerate(means)
            if (pace := _pace(images, index, f"{kind}e_seconds")) is not None
        ]
        if points:
            title, time = f"Size against the time of {kind}ing", f"{kind.title()}ing, seconds per megapixel"
            figures.append(f"<figure>{scatter(points, kind, title, time, 'bits per dim')}</figure>")
    if not figures:
        return ""
    head = ["<section>", "<h2>Size against time</h2>", f'<p class="soft">{_AXES}</p>', '<div class="charts">']
    return "\n".join([*head, *figures, "</div>", "</section>"])


def _failed(failures: Sequence[Record]) -> str:
    if not failures:
        return ""
    rows = [
        f"<li><strong>{text(failure['input'])}</strong>: {text(failure['error']['message'])}</li>"
        for failure in failures
    ]
    return "\n".join(["<section>", "<h2>Not measured</h2>", "<ul>", *rows, "</ul>", "</section>"])
