# SPDX-License-Identifier: Apache-2.0
"""The tables of the page that `bbcodec compare --html` writes: one of codecs, one of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bbcodec.cli.report import shown

__all__ = ["TINY", "Record", "base", "change", "codec_table", "image_table", "text"]

Record = Mapping[str, Any]

TINY = 64
"""Pixels of the longest side of a picture that is shown without scaling it down."""


def text(value: object) -> str:
    """Return text from outside as HTML, without markup and control characters."""
    return escape(shown(str(value)), quote=True)


def change(size: float, other: float | None) -> str:
    """Return how a size differs from another one, such as ``-12.3 %``; an empty text without another one."""
    if not other:
        return ""
    return "0 %" if size == other else f"{100 * (size / other - 1):+.1f} %".replace("-", "\N{MINUS SIGN}")


def base(results: Sequence[Record]) -> float | None:
    """Return the bytes of PNG among results. Other sizes are compared with it."""
    return next((r["bytes"] for r in results if r["codec"].startswith("PNG") and "bytes" in r), None)


def codec_table(means: Sequence[Record], ours: set[str], over: str) -> str:
    """Return the table of codecs: mean sizes and times over images, which `over` describes."""
    sizes = [mean["bytes"] for mean in means if "bytes" in mean]
    png = base(means)
    rows = []
    for mean in means:
        name, kind = text(mean["codec"]), "ours" if mean["codec"] in ours else "rival"
        cells = [f'<th scope="row" data-value="{name}">{name}</th>']
        if "bytes" in mean:
            size = mean["bytes"]
            best = " best" if size == min(sizes) else ""
            cells += [
                _cell(size, f"{size:,.0f}", best),
                _cell(size, _bar(100 * size / max(sizes), kind), " left"),
                _cell(size, change(size, png)),
                _cell(mean["bits_per_dim"], f"{mean['bits_per_dim']:.3f}"),
                *(_cell(mean[key], f"{mean[key]:.3f}") for key in ("encode_seconds", "decode_seconds")),
            ]
        else:
            cells.append('<td colspan="6" class="none">takes none of these images</td>')
        rows.append(f'<tr class="{kind}-row">{"".join(cells)}</tr>')
    heads = ["bytes", "size", "to PNG", "bits per dim", "encode s", "decode s"]
    return _table("codecs", "Codecs", f"Means over {over}. A click on a head sorts.", ["codec", *heads], rows)


def image_table(images: Sequence[Record], thumbnails: Sequence[str]) -> str:
    """Return the table of images: bytes of every codec, the smallest marked."""
    heads = ["image", *(result["codec"] for result in images[0]["codecs"])]
    rows = [_row(image, source) for image, source in zip(images, thumbnails, strict=True)]
    note = "Bytes of each image, and how they compare with PNG; the smallest is marked."
    return _table("images", "Images", note, heads, rows)


def _table(identity: str, title: str, note: str, heads: list[str], rows: list[str]) -> str:
    first, *others = map(text, heads)
    return "\n".join(
        [
            "<section>",
            f'<h2 id="{identity}">{title}</h2>',
            f'<p class="soft" id="{identity}-note">{text(note)}</p>',
            f'<div class="scroll" role="region" aria-labelledby="{identity}" tabindex="0">',
            f'<table class="sortable" aria-labelledby="{identity}" aria-describedby="{identity}-note">',
            f'<thead><tr><th scope="col" data-kind="text">{first}</th>',
            *(f'<th scope="col">{head}</th>' for head in others),
            "</tr></thead>",
            "<tbody>",
            *rows,
            "</tbody>",
            "</table>",
            "</div>",
            "</section>",
        ]
    )


def _cell(value: float, content: str, kind: str = "") -> str:
    mark = f' class="{kind.strip()}"' if kind else ""
    return f'<td{mark} data-value="{value:.9g}">{content}</td>'


def _bar(part: float, kind: str) -> str:
    """Return a bar of a percentage. The cell before has the number."""
    rect = f'<rect class="track" width="100" height="8"/><rect class="{kind}" width="{part:.1f}" height="8"/>'
    return f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{rect}</svg>'


def _row(image: Record, source: str) -> str:
    results, name = image["codecs"], text(image["input"])
    png = base(results)
    least = min((r["bytes"] for r in results if "bytes" in r), default=None)
    tiny = ' class="tiny"' if max(image["width"], image["height"]) <= TINY else ""
    size = f"{image['width']} × {image['height']} {text(image['mode'])}"
    cells = [
        f'<th scope="row" data-value="{name}"><div class="picture">',
        f'<img src="{source}" alt="Thumbnail of {name}"{tiny} width="64" height="64">',
        f"<span>{name}<small>{size}</small></span></div></th>",
    ]
    for result in results:
        if "bytes" in result:
            content = f"{result['bytes']:,}<small>{change(result['bytes'], png)}</small>"
            cells.append(_cell(result["bytes"], content, "best" if result["bytes"] == least else ""))
        else:
            cells.append(f'<td class="none"><small>{text(result["error"])}</small></td>')
    return f"<tr>{''.join(cells)}</tr>"
