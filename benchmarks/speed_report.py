# SPDX-License-Identifier: Apache-2.0
"""Results of `speed.py` as values, Markdown tables and plots. Nothing is timed here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rates import markdown
from rates_sets import ImageSet
from speed_codecs import Codec
from speed_plot import Panel, Point
from speed_process import HEAVY, Process

WAYS = ("encode", "decode")

Measured = dict[str, tuple[ImageSet, list[dict[str, Any]]]]


@dataclass
class Row:
    """A codec on a set: `seconds` for the set in this process, `whole` processes for its first picture."""

    codec: Codec
    nbytes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    whole: dict[str, list[Process]] = field(default_factory=lambda: {way: [] for way in WAYS})
    error: str = ""


def process_figures(way: str, processes: list[Process]) -> dict[str, Any]:
    """Return the medians of whole processes, and all runs; names begin with the way."""
    prefix = way and f"{way}_"
    return {
        f"{prefix}process_seconds": median(process.seconds for process in processes),
        f"{prefix}peak_bytes": median(process.peak for process in processes),
        f"{prefix}process_runs": [asdict(process) for process in processes],
    }


def figures(row: Row, pictures: ImageSet) -> dict[str, Any]:
    """Return the results of a row for tables and JSON; names include units."""
    found: dict[str, Any] = {"codec": row.codec.label}
    if row.error:
        return {**found, "error": row.error}
    found |= {"bytes": row.nbytes, "bits_per_dim": 8 * row.nbytes / pictures.dims}
    for way in WAYS:
        found[f"{way}_mp_per_second"] = pictures.pixels / 1e6 / median(row.seconds[way])
        found[f"{way}_runs"] = row.seconds[way]
        found |= process_figures(way, row.whole[way])
    return found


def set_table(found: list[dict[str, Any]]) -> str:
    """Return the table of a set."""
    heads = ["codec", "bytes", "bits/dim", "encode MP/s", "decode MP/s", "encode, process s"]
    heads += ["decode, process s", "encode, peak MB", "decode, peak MB"]
    lines = []
    for row in found:
        if "error" in row:
            lines.append([row["codec"], row["error"], *["–"] * (len(heads) - 2)])
            continue
        cells = [row["codec"], f"{row['bytes']:,}", f"{row['bits_per_dim']:.3f}"]
        cells += [f"{row[f'{way}_mp_per_second']:.3g}" for way in WAYS]
        cells += [f"{row[f'{way}_process_seconds']:.2f}" for way in WAYS]
        cells += [f"{row[f'{way}_peak_bytes'] / 1e6:.0f}" for way in WAYS]
        lines.append(cells)
    return markdown(heads, lines)


def start_table(found: list[dict[str, Any]]) -> str:
    """Return the table of the start-up times."""
    lines = []
    for row in found:
        imports = "" if row["imports"] is None else ", ".join(row["imports"]) or "neither"
        lines.append(
            [row["start"], f"{row['process_seconds']:.3f}", f"{row['peak_bytes'] / 1e6:.0f}", imports]
        )
    return markdown(["process", "s", "peak MB", f"imports {' or '.join(HEAVY)}"], lines)


def thumbs_table(found: list[dict[str, Any]]) -> str:
    """Return the table of the batch."""
    heads = ["codec", "bytes", "bits/dim", "encode images/s", "decode images/s"]
    lines = []
    for row in found:
        cells = [row["codec"], f"{row['bytes']:,}", f"{row['bits_per_dim']:.3f}"]
        lines.append([*cells, *(f"{row[f'{way}_images_per_second']:,.0f}" for way in WAYS)])
    return markdown(heads, lines)


def panel(pictures: ImageSet, found: list[dict[str, Any]]) -> Panel | None:
    """Return the plot of a set, or None if all rows failed."""
    points = [
        Point(row["codec"], row["bits_per_dim"], *(row[f"{way}_mp_per_second"] for way in WAYS))
        for row in found
        if "error" not in row
    ]
    title = f"{pictures.title}: {_count(pictures)}, size against speed in one process"
    return Panel(title, points) if points else None


def report(
    command: str,
    runs: int,
    lines: list[str],
    skipped: list[str],
    sets: Measured,
    starts: list[dict[str, Any]],
    thumbs: list[dict[str, Any]],
) -> str:
    """Return the whole report in Markdown."""
    parts = ["# Speed", "", f"`{command}`", ""]
    parts += [f"- {line}" for line in lines] + [f"- skipped: {reason}" for reason in skipped]
    parts += [
        "",
        f"Wall times, medians of {runs}; every round trip was verified. MP/s: all pictures of a set, one",
        "after the other in one process that is warm, from pixels to bytes and back. A process: the first",
        "picture from a PPM file to a file, and back to a PPM file, by `bbcodec compress --no-verify` and",
        "`bbcodec decompress`, or by a `python -c` that calls the library of a peer; the start of Python is",
        "in all of them. Peak: the largest resident set of that process. The peers have one thread.",
    ]
    for pictures, found in sets.values():
        height, width = pictures.images[0].shape[:2]
        size = f"{_count(pictures)}, {pictures.pixels / 1e6:.2f} MP, {pictures.dims:,} samples"
        parts += ["", f"## {pictures.title}", "", f"{size}; the first is {width} × {height}.", ""]
        parts.append(set_table(found))
    parts += ["", "## Starts", "", start_table(starts)]
    if thumbs:
        what = f"{thumbs[0]['pictures']:,} pictures of 32 × 32 RGB8 in one batch: training images of CIFAR-10"
        parts += ["", "## Thumbnails", "", f"{what}, and where more are needed, mirrored and turned.", ""]
        parts.append(thumbs_table(thumbs))
    return "\n".join(parts)


def _count(pictures: ImageSet) -> str:
    """Return the number of pictures as text."""
    return f"{len(pictures.images)} picture" + ("s" if len(pictures.images) > 1 else "")
