# SPDX-License-Identifier: Apache-2.0
"""Training curves of `paper_table.py`, as plain SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plot_parts import COLOURS, document, line, middle, spread, steps, text

__all__ = ["curves"]

_WIDTH, _HEIGHT = 560, 380  # size of the plotting area; all lengths are in pixels
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 40, 170, 52
_GAP = 16  # smallest distance between two names of rows


def curves(rows: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Return a plot of bits per dim against steps.

    Parameters
    ----------
    rows : points (steps, bits/dim) of each row, at least one point each.
    title : text above the plot.
    """
    points = [point for row in rows.values() for point in row]
    xs, ys = steps([x for x, _ in points]), steps([y for _, y in points])

    def across(x: float) -> float:
        return _WIDTH * (x - xs[0]) / (xs[-1] - xs[0])

    def down(y: float) -> float:
        return _HEIGHT * (ys[-1] - y) / (ys[-1] - ys[0])

    parts = [text(0, -14, title, 'font-size="15" font-weight="bold"')]
    for x in xs:
        parts += [line(across(x), 0, across(x), _HEIGHT), middle(across(x), _HEIGHT + 17, f"{x:g}")]
    for y in ys:
        parts += [line(0, down(y), _WIDTH, down(y)), text(-8, down(y) + 4, f"{y:g}", 'text-anchor="end"')]
    parts.append(middle(_WIDTH / 2, _HEIGHT + 38, "steps of training"))
    turned = f'text-anchor="middle" transform="translate(-46,{_HEIGHT / 2}) rotate(-90)"'
    parts.append(text(0, 0, "bound, bits/dim", turned))
    order = sorted(rows, key=lambda name: -rows[name][-1][1])
    places = spread([down(rows[name][-1][1]) for name in order], _GAP, _HEIGHT)
    for i, (name, place) in enumerate(zip(order, places, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in rows[name])
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x, y = rows[name][-1]
        parts.append(line(across(x), down(y), _WIDTH + 22, place, f'stroke="{colour}" stroke-opacity="0.35"'))
        parts.append(text(_WIDTH + 26, place + 4, name, f'fill="{colour}"'))
    group = [f'<g transform="translate({_LEFT},{_TOP})">', *parts, "</g>"]
    return document(_LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM, group)
