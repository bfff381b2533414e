# SPDX-License-Identifier: Apache-2.0
"""The picture of `speed.py`: size against speed, as plain SVG. Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Panel", "Point", "svg"]

_WIDTH = 560  # of the plotting area; all lengths are pixels
_LEFT, _TOP, _BOTTOM = 64, 56, 52
_GAP = 17  # between the baselines of two labels
_LETTER = 6.9  # width of a letter of the labels, more than the mean
_COLOURS = (
    *("#0b6e4f", "#c2410c", "#1d4ed8", "#9d174d", "#6d28d9", "#0e7490"),
    *("#854d0e", "#374151", "#15803d", "#be123c", "#0369a1", "#a21caf"),
)


@dataclass(frozen=True)
class Point:
    """A codec: bits/dim, and MP/s of encoding and of decoding, all above 0."""

    label: str
    bits_per_dim: float
    encode: float
    decode: float


@dataclass(frozen=True)
class Panel:
    """A plot of at least one point."""

    title: str
    points: Sequence[Point]


def svg(panels: Sequence[Panel]) -> str:
    """Return a document with the panels, one below the other."""
    longest = max((len(p.label) for panel in panels for p in panel.points), default=0)
    width = round(_LEFT + _WIDTH + 40 + _LETTER * longest)
    parts, y = [], 0
    for panel in panels:
        inner = max(320, _GAP * (len(panel.points) + 1))
        parts += [f'<g transform="translate({_LEFT},{y + _TOP})">', *_panel(panel, inner), "</g>"]
        y += _TOP + inner + _BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}"'
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1f2937"'
    return "\n".join(
        [f"{head} {style}>", '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"]
    )


def _panel(panel: Panel, height: int) -> list[str]:
    """Return the elements of a panel; (0, 0) is the upper left corner of its plotting area."""
    speeds = [speed for p in panel.points for speed in (p.encode, p.decode)]
    xs, ys = _decades(min(speeds), max(speeds)), _steps([p.bits_per_dim for p in panel.points])

    def across(speed: float) -> float:
        return _WIDTH * math.log(speed / xs[0]) / math.log(xs[-1] / xs[0])

    def down(rate: float) -> float:
        return height * (ys[-1] - rate) / (ys[-1] - ys[0])

    parts = [_text(0, -34, panel.title, 'font-size="15" font-weight="bold"')]
    parts += [_circle(6, -14, "#1f2937", True), _text(16, -10, "encode")]
    parts += [_circle(86, -14, "#1f2937", False), _text(96, -10, "decode")]
    for x in xs:
        parts += [_line(across(x), 0, across(x), height), _middle(across(x), height + 17, f"{x:g}")]
    for y in ys:
        parts += [_line(0, down(y), _WIDTH, down(y)), _text(-8, down(y) + 4, f"{y:g}", 'text-anchor="end"')]
    parts.append(_middle(_WIDTH / 2, height + 38, "MP/s: faster to the right"))
    turned = f'text-anchor="middle" transform="translate(-46,{height / 2}) rotate(-90)"'
    parts.append(_text(0, 0, "bits/dim: smaller files below", turned))
    order = sorted(range(len(panel.points)), key=lambda i: -panel.points[i].bits_per_dim)
    places = spread([down(panel.points[i].bits_per_dim) for i in order], _GAP, height)
    for i, place in zip(order, places, strict=True):
        point, colour = panel.points[i], _COLOURS[i % len(_COLOURS)]
        y, x1, x2 = down(point.bits_per_dim), across(point.encode), across(point.decode)
        thin = f'stroke="{colour}" stroke-opacity="0.35"'
        parts += [_line(max(x1, x2), y, _WIDTH + 4, y, thin), _line(_WIDTH + 4, y, _WIDTH + 22, place, thin)]
        parts += [_line(x1, y, x2, y, f'stroke="{colour}" stroke-width="1.5"')]
        parts += [_circle(x1, y, colour, True), _circle(x2, y, colour, False)]
        parts.append(_text(_WIDTH + 26, place + 4, point.label, f'fill="{colour}"'))
    return parts


def spread(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Move ascending places apart: at least `gap` between two, none below `lowest`, few of them far.

    >>> spread([1, 2, 30, 99], 10, 100)
    [1, 11, 30, 99]
    >>> spread([95, 95], 10, 100)
    [90, 100]
    """
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap) if places else place)
    limit = lowest
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places


def _decades(least: float, most: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of every decade, at least two."""
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    ticks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick < least)
    last = min(i for i, tick in enumerate(ticks) if tick > most)
    return ticks[first : last + 1]


def _steps(values: Sequence[float]) -> list[float]:
    """Ticks of a linear axis, around the values."""
    low, high = min(values), max(values)
    steps = [m * 10.0**power for power in range(-3, 3) for m in (1, 2, 5)]
    step = next((s for s in steps if (high - low) / s <= 7), steps[-1])
    first, last = math.ceil(low / step) - 1, math.floor(high / step) + 1
    return [round(i * step, 6) for i in range(first, last + 1)]


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _middle(x: float, y: float, text: str) -> str:
    return _text(x, y, text, 'text-anchor="middle"')


def _line(x1: float, y1: float, x2: float, y2: float, more: str = 'stroke="#e5e7eb"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def _circle(x: float, y: float, colour: str, full: bool) -> str:
    fill = colour if full else "white"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
