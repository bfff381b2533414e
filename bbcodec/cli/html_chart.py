# SPDX-License-Identifier: Apache-2.0
"""A scatter chart of sizes against times as inline SVG, with a name beside every point.

Colours come from the page's style sheet by class. Nothing is measured here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

__all__ = ["Point", "scatter"]

_WIDTH, _HEIGHT = 500, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 26, 26, 46
_LETTER, _LINE, _RADIUS = 7.5, 15, 5.5  # about what 13 px letters take, in px

_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """A codec: its time (more than 0), its size, and whether it is bbcodec."""

    name: str
    time: float
    size: float
    ours: bool


def scatter(points: list[Point], identity: str, title: str, time: str, size: str) -> str:
    """Return an ``<svg>``.

    Parameters
    ----------
    points
        Codecs to show; at least one.
    identity
        Prefix of the ids of title and description, unique on the page.
    title
        Title for screen readers. The points follow in words.
    time, size
        Labels of the axes, with units. The axis of time is logarithmic.
    """
    times = _decades([point.time for point in points])
    sizes = _nice([point.size for point in points])
    low, high = math.log10(times[0]), math.log10(times[-1])

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - sizes[0]) / (sizes[-1] - sizes[0]) * (_HEIGHT - _TOP - _BOTTOM)

    words = "; ".join(f"{p.name}: {p.time:.3g}, {p.size:.3f}" for p in points)
    names = f"{identity}-title {identity}-desc"
    out = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{names}">',
        f'<title id="{identity}-title">{escape(title)}</title>',
        f'<desc id="{identity}-desc">{escape(f"{time}, {size}. {words}.")}</desc>',
    ]
    bottom = _HEIGHT - _BOTTOM
    for value in times:
        out.append(f'<path class="grid" d="M{x(value):.1f} {_TOP}V{bottom}"/>')
        out.append(_text(x(value), bottom + 17, f"{value:g}", "axis", "middle"))
    for value in sizes:
        out.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}"/>')
        out.append(_text(_LEFT - 7, y(value) + 4, f"{value:g}", "axis", "end"))
    out.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, time, "axis", "middle"))
    out.append(_text(4, 13, size, "axis", "start"))
    places = [(x(p.time), y(p.size)) for p in points]
    for point, (px, py), (lx, ly, anchor) in zip(points, places, _labels(points, places), strict=True):
        kind = "ours" if point.ours else "rival"
        tip = escape(f"{point.name}: {point.time:.3g}, {point.size:.3f}")
        out.append(
            f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="{_RADIUS}"><title>{tip}</title></circle>'
        )
        out.append(_text(lx, ly + 4, _label(point), "name", anchor))
    return "\n".join([*out, "</svg>"])


def _label(point: Point) -> str:
    """What stands beside a point: the colour says already what is ours."""
    return point.name.removeprefix("bbcodec ") if point.ours else point.name


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _decades(values: list[float]) -> list[float]:
    """Ticks of a logarithmic axis around values: powers of ten, or 1, 2, 5 where these are few."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1,) if last - first > 3 else (1, 2, 5)
    ticks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    below = [tick for tick in ticks if tick <= min(values)]
    above = [tick for tick in ticks if tick >= max(values)] or [10 * ticks[-1]]
    found = [tick for tick in ticks if below[-1] <= tick <= above[0]]
    return found if len(found) > 1 else [found[0], 10 * found[0]]


def _nice(values: list[float]) -> list[float]:
    """Ticks of a linear axis around values, about five, at round numbers."""
    spread = max(values) - min(values) or max(values) / 5 or 1
    rough = spread / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(min(values) / step), math.ceil(max(values) / step)
    return [round(step * i, 10) for i in range(first, max(last, first + 1) + 1)]


def _labels(points: list[Point], places: list[tuple[float, float]]) -> list[tuple[float, float, str]]:
    """Return the places of names (x, middle of y, anchor): beside the points, where they cover least."""
    taken: list[_Box] = [(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in places]
    found = []
    for point, (px, py) in zip(points, places, strict=True):
        width, gap = _LETTER * len(_label(point)), _RADIUS + 4
        spots = [(px + gap, py + d, "start") for d in (0, -_LINE / 2, _LINE / 2)]
        spots += [(px - gap, py + d, "end") for d in (0, -_LINE / 2, _LINE / 2)]
        spots += [(px, py + d, "middle") for d in (-_LINE, _LINE)]
        spots += [(px - s * 2, py + d, a) for d in (-_LINE, _LINE) for s, a in ((1, "start"), (-1, "end"))]
        lefts = [x - {"start": 0, "middle": width / 2, "end": width}[anchor] for x, _, anchor in spots]
        boxes = [
            (left, y - _LINE / 2, left + width, y + _LINE / 2)
            for left, (_, y, _) in zip(lefts, spots, strict=True)
        ]
        costs = [_outside(box) + sum(_common(box, other) for other in taken) for box in boxes]
        best = min(range(len(spots)), key=costs.__getitem__)
        taken.append(boxes[best])
        found.append(spots[best])
    return found


def _common(a: _Box, b: _Box) -> float:
    """Return the area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _outside(box: _Box) -> float:
    """Return the area of a box outside the chart, weighted more than any overlap."""
    inside = _common(box, (_LEFT, _TOP - 6, _WIDTH, _HEIGHT - _BOTTOM + 2))
    return 100 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)
