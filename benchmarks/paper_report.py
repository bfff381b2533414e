# SPDX-License-Identifier: Apache-2.0
"""The page that `paper_table.py` prints, in Markdown. It is made of figures; nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from paper_rows import ABLATION, AVERAGE, PAPER, Row

__all__ = ["average", "page"]

Figures = Mapping[str, dict[str, Any]]


def average(bits: Sequence[Sequence[float]], dims: int) -> float:
    """Return the bound of the average of several networks' distributions over pictures, in bits/dim.

    Parameters
    ----------
    bits : bits per sub-pixel of each network and picture.
    dims : sub-pixels of a picture.

    >>> average([[3.0, 4.0], [3.0, 4.0]], 3072)
    3.5
    """
    total = np.logaddexp2.reduce(-dims * np.asarray(bits)) - np.log2(len(bits))
    return float(-total.mean() / dims)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Return the lines of a table whose first `texts` columns are texts; the others are numbers."""
    marks = ["---"] * texts + ["---:"] * (len(heads) - texts)
    return ["| " + " | ".join(cells) + " |" for cells in (heads, marks, *rows)]


def _networks(rows: Sequence[Row], found: Figures) -> list[str]:
    """Return the lines of the table of some rows, as far as they have figures."""
    known = [(row, found[row.name]) for row in rows if row.name in found]
    if not known:
        return ["None yet."]
    sets = list(known[0][1]["sets"])
    heads = ["system", "weights/activations", "paper, CIFAR-10"]
    heads += [head for name in sets for head in (f"{name}: bound", "coded", "excess")]
    heads += ["pictures/s, coding", "decoding", "parameters", "binary", "float32 bytes", "packed", "`.bbm`"]
    lines = []
    for row, f in known:
        cells = [row.system, row.label, f"{row.published:.2f}" if row.published else ""]
        for s in f["sets"].values():
            cells += [f"{s['bound']:.3f}", f"{s['coded']:.3f}", f"{s['excess']:+.3f}"]
        first = f["sets"][sets[0]]
        cells += [f"{first['encode']:.1f}", f"{first['decode']:.1f}"]
        cells += [f"{f['parameters']:,}", f"{f['binary'] / f['parameters']:.1%}", f"{f['float32_bytes']:,}"]
        lines.append([*cells, f"{f['packed_bytes']:,}", f"{f['file']:,}"])
    return _markdown(heads, lines, 2)


def _sizes(name: str, s: Mapping[str, int]) -> list[str]:
    """Return the cells of a network's sizes."""
    full = s["float32_bytes"]
    floats = s["binary"] // 8 + 4 * (s["parameters"] - s["binary"])
    cells = [name, f"{s['parameters']:,}", f"{s['binary'] / s['parameters']:.1%}", f"{full:,}"]
    for packed in (floats, s["packed_bytes"]):
        cells += [f"{packed:,}", f"{1 - packed / full:.1%}"]
    return cells


def page(head: Sequence[str], found: Figures, sizes: Mapping[str, dict[str, int]]) -> str:
    """Return the page in Markdown.

    Parameters
    ----------
    head : lines below the title.
    found : figures of the rows by name. Batches and averages use the first set of pictures of a row.
    sizes : sizes of networks of about the paper's size.
    """
    lines = ["# The paper's table", "", *head, "", *_networks(PAPER, found)]
    if any(row.name in found for row in ABLATION):
        lines += ["", "## Ablations", "", *_networks([PAPER[2], *ABLATION], found)]
    several = [f["sets"] for row in (PAPER[2], *AVERAGE) if (f := found.get(row.name))]
    if len(several) > 1:
        for name in several[0]:
            each = ", ".join(f"{sets[name]['bound']:.3f}" for sets in several)
            all_ = average([sets[name]["each"] for sets in several], several[0][name]["dims"])
            lines += ["", f"{name}: {len(several)} networks like the first row have {each}; their average,"]
            lines.append(f"as a distribution over pictures, {all_:.3f}.")
    lines += ["", "## Initial bits", ""]
    batches = [(name, next(iter(f["sets"].values()))) for name, f in found.items()]
    lines += _markdown(
        ["row", "pictures coded without latents", "initial bits of one picture, bits/dim"],
        [[name, f"{s['plain']} of {len(s['each'])}", f"{s['initial']:.2f}"] for name, s in batches],
    )
    lines += ["", "## Sizes", "", "Networks of about the paper's sizes, not trained:", ""]
    heads = ["system", "parameters", "binary", "float32 bytes", "a bit a binary weight, others float32"]
    heads += ["smaller by", "packed", "smaller by"]
    lines += _markdown(heads, [_sizes(name, s) for name, s in sizes.items()])
    lines += ["", "## Training", "", "Validation, bits/dim, by step:", ""]
    curves = []
    for name, f in found.items():
        some = [*f["curve"][: -1 : max(1, len(f["curve"]) // 6)], f["curve"][-1]]
        curve = ", ".join(f"{step}: {bits:.2f}" for _, step, bits in some)
        curves.append([name, str(f["seed"]), f"{f['steps']:,}", f"{f['minutes']:.1f}", curve])
    lines += _markdown(["row", "seed", "steps", "minutes", "curve"], curves)
    return "\n".join(lines)
