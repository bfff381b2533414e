# SPDX-License-Identifier: Apache-2.0
"""The plot of `speed.py`: size against speed, as plain SVG. Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from plot_parts import COLOURS, circle, document, line, middle, spread, steps, text

__all__ = ["Panel", "Point", "svg"]

_WIDTH = 560  # of the plotting area; all lengths are pixels
_LEFT, _TOP, _BOTTOM = 64, 56, 52
_GAP = 17  # between the baselines of two labels
_LETTER = 6.9  # width of a letter of the labels, above the average


@dataclass(frozen=True)
class Point:
    """A codec: bits/dim, and MP/s to encode and to decode, all above 0."""

    label: str
    bits_per_dim: float
    encode: float
    decode: float


@dataclass(frozen=True)
class Panel:
    """A plot with at least one point."""

    title: str
    points: Sequence[Point]


def svg(panels: Sequence[Panel]) -> str:
    """Return an SVG document with the panels, one below the other."""
    longest = max((len(p.label) for panel in panels for p in panel.points), default=0)
    width = round(_LEFT + _WIDTH + 40 + _LETTER * longest)
    parts, y = [], 0
    for panel in panels:
        inner = max(320, _GAP * (len(panel.points) + 1))
        parts += [f'<g transform="translate({_LEFT},{y + _TOP})">', *_panel(panel, inner), "</g>"]
        y += _TOP + inner + _BOTTOM
    return document(width, y, parts)


def _panel(panel: Panel, height: int) -> list[str]:
    """Return the elements of a panel; (0, 0) is the upper left corner of its plotting area."""
    speeds = [speed for p in panel.points for speed in (p.encode, p.decode)]
    xs, ys = _decades(min(speeds), max(speeds)), steps([p.bits_per_dim for p in panel.points])

    def across(speed: float) -> float:
        return _WIDTH * math.log(speed / xs[0]) / math.log(xs[-1] / xs[0])

    def down(rate: float) -> float:
        return height * (ys[-1] - rate) / (ys[-1] - ys[0])

    parts = [text(0, -34, panel.title, 'font-size="15" font-weight="bold"')]
    parts += [circle(6, -14, "#1f2937", True), text(16, -10, "encode")]
    parts += [circle(86, -14, "#1f2937", False), text(96, -10, "decode")]
    for x in xs:
        parts += [line(across(x), 0, across(x), height), middle(across(x), height + 17, f"{x:g}")]
    for y in ys:
        parts += [line(0, down(y), _WIDTH, down(y)), text(-8, down(y) + 4, f"{y:g}", 'text-anchor="end"')]
    parts.append(middle(_WIDTH / 2, height + 38, "MP/s: faster to the right"))
    turned = f'text-anchor="middle" transform="translate(-46,{height / 2}) rotate(-90)"'
    parts.append(text(0, 0, "bits/dim: smaller files below", turned))
    order = sorted(range(len(panel.points)), key=lambda i: -panel.points[i].bits_per_dim)
    places = spread([down(panel.points[i].bits_per_dim) for i in order], _GAP, height)
    for i, place in zip(order, places, strict=True):
        point, colour = panel.points[i], COLOURS[i % len(COLOURS)]
        y, x1, x2 = down(point.bits_per_dim), across(point.encode), across(point.decode)
        thin = f'stroke="{colour}" stroke-opacity="0.35"'
        parts += [line(max(x1, x2), y, _WIDTH + 4, y, thin), line(_WIDTH + 4, y, _WIDTH + 22, place, thin)]
        parts += [line(x1, y, x2, y, f'stroke="{colour}" stroke-width="1.5"')]
        parts += [circle(x1, y, colour, True), circle(x2, y, colour, False)]
        parts.append(text(_WIDTH + 26, place + 4, point.label, f'fill="{colour}"'))
    return parts


def _decades(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis: 1, 2 and 5 of every decade, at least two."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick < low)
    last = min(i for i, tick in enumerate(ticks) if tick > high)
    return ticks[first : last + 1]
