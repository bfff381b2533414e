# SPDX-License-Identifier: Apache-2.0
"""Helpers of the plots: elements of plain SVG, ticks, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

__all__ = ["COLOURS", "circle", "document", "line", "middle", "spread", "steps", "text"]

COLOURS = (
    *("#0b6e4f", "#c2410c", "#1d4ed8", "#9d174d", "#6d28d9", "#0e7490"),
    *("#854d0e", "#374151", "#15803d", "#be123c", "#0369a1", "#a21caf"),
)


def document(width: int, height: int, parts: Sequence[str]) -> str:
    """Return an SVG document with a white background."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1f2937"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def spread(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Move ascending positions apart, as little as possible: at least `gap` between two, none below `lowest`.

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


def steps(values: Sequence[float]) -> list[float]:
    """Return the ticks of a linear axis that includes the values."""
    low, high = min(values), max(values)
    steps = [m * 10.0**power for power in range(-3, 3) for m in (1, 2, 5)]
    step = next((s for s in steps if (high - low) / s <= 7), steps[-1])
    first, last = math.ceil(low / step) - 1, math.floor(high / step) + 1
    return [round(i * step, 6) for i in range(first, last + 1)]


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Return text that begins at x."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def middle(x: float, y: float, words: str) -> str:
    """Return text centred at x."""
    return text(x, y, words, 'text-anchor="middle"')


def line(x1: float, y1: float, x2: float, y2: float, more: str = 'stroke="#e5e7eb"') -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def circle(x: float, y: float, colour: str, full: bool) -> str:
    """Return a circular mark, filled or hollow."""
    fill = colour if full else "white"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
