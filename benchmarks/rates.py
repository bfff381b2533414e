# SPDX-License-Identifier: Apache-2.0
"""Measure rates of bbcodec, PNG, WebP, JPEG-LS and JPEG XL on photographs, graphics, icons and scans.

    python benchmarks/rates.py --cache rates.json > docs/results/rates.md
    python benchmarks/rates.py --sets kodak --profiles markov --limit 2      a trial

Every byte of every file counts, and every round trip is verified. Small pictures are measured one by one and
together: bbcodec as one batch, the best peers as one mosaic. The peers are slow, WebP most of all; `--cache`
keeps their results, even if a run is stopped. The sets `icons` and `alpha` need icon themes of Debian, see
`rates_icons.py`; `bilevel` takes a few more scans from there, see `rates_scans.py`. The sets `deep` and
`volumes` have a report of their own, see `rates_deep.py`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rates_deep
from rates_peers import PEERS, Cache, Measured, Pixels, is_bilevel, peers
from rates_sets import SETS, ImageSet, mosaic

import bbcodec
from bbcodec import modelfile
from bbcodec.errors import BBCodecError, ModelMissingError, OptionError, UnsupportedImageError
from bbcodec.families import batch

REFERENCE = "JPEG XL e9"
THREADS = 1  # of bbcodec; the peers have one as well
_REFUSALS = (ModelMissingError, OptionError, UnsupportedImageError)


@dataclass
class Row:
    """One codec on one set. `form` is ``alone`` (each picture), ``mosaic`` or ``batch``."""

    codec: str
    form: str
    files: list[Measured] = field(default_factory=list)
    note: str = ""
    error: str = ""

    @property
    def label(self) -> str:
        """Return the name of the codec in tables."""
        return self.codec + {"alone": "", "mosaic": ", one mosaic", "batch": ", one batch"}[self.form]

    @property
    def nbytes(self) -> int:
        """Return the bytes of all files."""
        return sum(file.nbytes for file in self.files)


def measure(encode: Callable[[], bytes], decode: Callable[[bytes], Any], expected: list[Pixels]) -> Measured:
    """Return size and times of one bbcodec file; `decode` returns a picture, or a sequence for a batch.

    Raises
    ------
    BBCodecError
        The decoded pictures differ.
    """
    start = time.perf_counter()
    data = encode()
    middle = time.perf_counter()
    decoded = decode(data)
    end = time.perf_counter()
    pictures = [decoded] if isinstance(decoded, np.ndarray) else list(decoded)
    if len(pictures) != len(expected) or not all(map(np.array_equal, pictures, expected)):
        raise BBCodecError("the decoded pictures differ")
    return Measured(len(data), middle - start, end - middle)


def one_by_one(images: list[Pixels], **choice: Any) -> list[Measured]:
    """Measure pictures coded one by one. `verify` is off, because they are decoded and compared here.

    Bilevel pictures are coded with 8 bits and, except by a given method, with 1 bit. The smaller file counts.
    """

    def measured(image: Pixels) -> Measured:
        return measure(
            lambda: bbcodec.compress(image, threads=THREADS, verify=False, **choice),
            lambda data: bbcodec.decompress(data, threads=THREADS),
            [image],
        )

    def best(image: Pixels) -> Measured:
        one_bit = is_bilevel(image) and "method" not in choice
        return min(map(measured, [image, image > 0] if one_bit else [image]), key=lambda file: file.nbytes)

    return [best(image) for image in images]


def batch_bytes(images: list[Pixels], model: str) -> Row:
    """Return the row of small pictures with a learned profile, as one batch."""
    loaded = modelfile.load_named(model)
    file = measure(lambda: batch.encode(images, loaded), lambda data: batch.decode(data, loaded), images)
    return Row(f"bbcodec {model}", "batch", [file], note=f"{len(images)} pictures, one file")


def our_rows(pictures: ImageSet, profiles: list[str], fit: float | None) -> list[Row]:
    """Return the rows of bbcodec on a set."""

    def alone(name: str, **choice: Any) -> Row:
        return Row(f"bbcodec {name}", "alone", one_by_one(pictures.images, **choice))

    def learned(profile: str) -> Row:
        if pictures.small:
            return batch_bytes(pictures.images, profile)
        return alone(profile, method="learned", model=profile)

    runs: dict[str, Callable[[], Row]] = {p: lambda p=p: learned(p) for p in profiles}
    runs["as shipped"] = lambda: alone("as shipped")
    if fit is not None and not pictures.small:
        runs[f"as shipped, fit {fit:g} s"] = lambda: alone(f"as shipped, fit {fit:g} s", fit=fit)
    rows = []
    for name, run in runs.items():
        try:
            rows.append(run())
        except _REFUSALS as error:
            rows.append(Row(f"bbcodec {name}", "alone", error=" ".join(str(error).split())))
        say(pictures, rows[-1])
    return rows


def peer_rows(pictures: ImageSet, wanted: list[str], cache: Cache) -> list[Row]:
    """Return the rows of the peers on a set."""
    rows = []
    bilevel = all(map(is_bilevel, pictures.images))
    for peer in peers(wanted)[0]:
        if peer.bilevel and not bilevel:
            continue
        forms: list[tuple[str, list[Pixels], str]] = [("alone", pictures.images, "")]
        if pictures.small and peer.tiled:
            canvas, grid = mosaic(pictures.images)
            forms.append(("mosaic", [canvas], grid))
        for form, images, note in forms:
            row = Row(peer.title, form, note=note)
            try:
                row.files = [cache.measure(peer, image) for image in images]
            except Exception as error:  # libraries raise anything for a picture that they do not support
                row.error = " ".join(str(error).split()) or type(error).__name__
            rows.append(row)
            say(pictures, row)
    return rows


def say(pictures: ImageSet, row: Row) -> None:
    """Report progress on stderr."""
    result = row.error or f"{row.nbytes:,} bytes"
    print(f"{pictures.name}: {row.label}: {result}", file=sys.stderr, flush=True)


def record(pictures: ImageSet, row: Row, reference: int | None) -> dict[str, Any]:
    """Return the results of a row for the tables and for JSON; names include units."""
    figures: dict[str, Any] = {"codec": row.label, "note": row.note}
    if row.error:
        return {**figures, "error": row.error}
    rates = [8 * file.nbytes / image.size for file, image in zip(row.files, pictures.images, strict=False)]
    encode, decode = (sum(getattr(f, f"{w}_seconds") for f in row.files) for w in ("encode", "decode"))
    return {
        **figures,
        "files": len(row.files),
        "bytes": row.nbytes,
        "bits_per_dim_of_all_bytes": 8 * row.nbytes / pictures.dims,
        "bits_per_dim_mean_of_images": float(np.mean(rates)) if row.form == "alone" else None,
        "to_reference": row.nbytes / reference - 1 if reference else None,
        "encode_seconds": encode,
        "decode_seconds": decode,
        "encode_mp_per_second": pictures.pixels / 1e6 / encode,
        "decode_mp_per_second": pictures.pixels / 1e6 / decode,
        "times_of_an_earlier_run": sum(file.cached for file in row.files),
        "bytes_of_files": [file.nbytes for file in row.files],
    }


def records(pictures: ImageSet, rows: list[Row]) -> list[dict[str, Any]]:
    """Return the results of a set. The reference is JPEG XL e9, or the smaller of its two rows."""
    sizes = [row.nbytes for row in rows if row.codec == REFERENCE and not row.error]
    return [record(pictures, row, min(sizes, default=None)) for row in rows]


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """Return a table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *lines])


def set_table(figures: list[dict[str, Any]]) -> str:
    """Return the table of one set."""
    heads = ["codec", "files", "bytes", "bits/dim by all bytes", "bits/dim, mean of images"]
    heads += ["to JPEG XL e9", "encode s", "decode s", "encode MP/s", "decode MP/s", ""]
    lines = []
    for r in figures:
        if "error" in r:
            lines.append([r["codec"], *["–"] * (len(heads) - 2), r["error"]])
            continue
        mean, relative = r["bits_per_dim_mean_of_images"], r["to_reference"]
        star = "*" if r["times_of_an_earlier_run"] else ""
        cells = [r["codec"], f"{r['files']}", f"{r['bytes']:,}", f"{r['bits_per_dim_of_all_bytes']:.3f}"]
        cells += ["" if mean is None else f"{mean:.3f}", "" if relative is None else f"{relative:+.1%}"]
        cells += [f"{r[f'{way}_seconds']:.2f}{star}" for way in ("encode", "decode")]
        cells += [f"{r[f'{way}_mp_per_second']:.3g}{star}" for way in ("encode", "decode")]
        lines.append([*cells, r["note"]])
    return markdown(heads, lines)


def overview(sets: dict[str, tuple[ImageSet, list[dict[str, Any]]]]) -> str:
    """Return the overview table: bits per dim of all bytes, codecs by sets."""
    labels = list(dict.fromkeys(r["codec"] for _, figures in sets.values() for r in figures))
    rates = {
        (name, r["codec"]): f"{r['bits_per_dim_of_all_bytes']:.3f}"
        for name, (_, figures) in sets.items()
        for r in figures
        if "error" not in r
    }
    heads = ["bits/dim by all bytes", *(f"{p.title} ({len(p.images)})" for p, _ in sets.values())]
    return markdown(heads, [[label, *(rates.get((name, label), "") for name in sets)] for label in labels])


def conditions(profiles: list[str], wanted: list[str], fit: float | None) -> list[str]:
    """Return the conditions of the run, one line each: versions, settings and model ids."""
    lines = [f"bbcodec {version('bbcodec')}, {THREADS} thread; NumPy {np.__version__}, {machine()}"]
    for profile in profiles:
        model = modelfile.load_named(profile)
        lines.append(f"bbcodec {profile}: method=learned, model {model.id} ({model.nbytes:,} bytes)")
    if profiles:
        lines.append("bbcodec as shipped: all options at their defaults")
    if fit is not None:
        lines.append(f"bbcodec as shipped, fit {fit:g} s: fit={fit:g} (seconds of one core of 2.5 GHz)")
    lines += [f"{peer.title}: {peer.settings}; {peer.library}" for peer in peers(wanted)[0]]
    return lines


def machine() -> str:
    """Return the name of the processor, or of the architecture if the system does not report it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores seen"
    except OSError:
        pass
    return platform.machine()


def available(wanted: str | None) -> tuple[list[str], list[str]]:
    """Return the profiles to measure, and the reasons why others are skipped."""
    if wanted == "none":
        return [], []
    names = list(modelfile.released()) if wanted is None else wanted.split(",")
    good, missing = [], []
    for name in names:
        try:
            modelfile.load_named(name)
            good.append(name)
        except ModelMissingError as error:
            missing.append(f"profile {name}: {error}")
    return good, missing


def warm_up(profiles: list[str]) -> None:
    """Code a small picture once, so that imports and loading of models are not timed."""
    small = np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3)
    for profile in profiles:
        one_by_one([small], method="learned", model=profile)
    one_by_one([small])


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    data = Path(__file__).resolve().parents[2] / "shared/data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the sets [%(default)s]")
    parser.add_argument(
        "--packages", type=Path, help="folder of extracted icon themes, see rates_icons.py [DATA/packages]"
    )
    parser.add_argument("--sets", default=",".join(SETS), help="[%(default)s]")
    parser.add_argument(
        "--profiles", help="released names or .bbm paths; 'none' measures only the peers [all released]"
    )
    parser.add_argument("--fit", type=float, metavar="SECONDS", help="add a row with compress(fit=SECONDS)")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peer-names", default=",".join(PEERS), help="peers to measure [%(default)s]")
    parser.add_argument("--limit", type=int, metavar="N", help="use only the first N pictures: a trial")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results to this JSON file")
    parser.add_argument("--cache", type=Path, metavar="PATH", help="keep results of the peers in this file")
    options = parser.parse_args()
    known_sets = [*SETS, *rates_deep.SETS]
    for what, given, known in (("set", options.sets, known_sets), ("peer", options.peer_names, PEERS)):
        if unknown := [name for name in given.split(",") if name not in known]:
            parser.error(f"unknown {what} {', '.join(unknown)}, expected {', '.join(known)}")
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit must be at least 1 (got {options.limit})")
    return options


def main() -> None:
    """Measure, and print a report in Markdown."""
    options = arguments()
    names = options.sets.split(",")
    if deep := [name for name in names if name in rates_deep.SETS]:
        models = (options.profiles or "standard,quick").split(",")
        print(
            rates_deep.report(
                options.data, deep, models, lambda line: print(line, file=sys.stderr, flush=True)
            )
        )
        if deep == names:
            return
        options.sets = ",".join(name for name in names if name not in deep)
    profiles, skipped = available(options.profiles)
    ours = options.profiles != "none"
    fit = options.fit
    if fit is not None and (not ours or "fit" not in inspect.signature(bbcodec.compress).parameters):
        skipped.append(
            "fit: bbcodec.compress has no option 'fit' in this version" if ours else "fit: no rows of ours"
        )
        fit = None
    wanted = options.peer_names.split(",") if options.peers else []
    skipped += peers(wanted)[1]
    if ours:
        warm_up(profiles)
    cache = Cache(options.cache)
    sets: dict[str, tuple[ImageSet, list[dict[str, Any]]]] = {}
    try:
        for name in options.sets.split(","):
            try:
                pictures = SETS[name](options.data, options.limit, options.packages)
            except FileNotFoundError as error:
                skipped.append(f"set {name}: {error}")
                continue
            rows = our_rows(pictures, profiles, fit) if ours else []
            sets[name] = (pictures, records(pictures, rows + peer_rows(pictures, wanted, cache)))
    finally:
        cache.save()
    lines = conditions(profiles, wanted, fit)
    print(report(sets, lines, skipped, options.limit))
    if options.json is not None:
        content = {
            "conditions": lines,
            "skipped": skipped,
            "sets": {
                name: {"pictures": len(p.images), "pixels": p.pixels, "dims": p.dims, "rows": figures}
                for name, (p, figures) in sets.items()
            },
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def report(
    sets: dict[str, tuple[ImageSet, list[dict[str, Any]]]],
    lines: list[str],
    skipped: list[str],
    limit: int | None,
) -> str:
    """Return the whole report in Markdown."""
    parts = ["# Rates", "", f"`python benchmarks/rates.py {' '.join(sys.argv[1:])}`".replace(" `", "`"), ""]
    if limit is not None:
        parts += [f"**A trial: the first {limit} pictures of each set alone.**", ""]
    parts += [f"- {line}" for line in lines] + [f"- skipped: {reason}" for reason in skipped]
    parts += [
        "",
        "Every byte of every file counts; every round trip was verified while measuring. Pictures have no",
        "metadata. Times are wall times of one run, each a single figure; the machine may have been busy.",
        "Those with * were, at least in part, measured by an earlier run, with the size. `to JPEG XL e9`",
        "compares all bytes; in the sets of small pictures with the smaller of its two rows.",
        "",
        overview(sets),
    ]
    for pictures, figures in sets.values():
        size = f"{len(pictures.images)} pictures, {pictures.pixels / 1e6:.2f} MP, {pictures.dims:,} samples"
        parts += ["", f"## {pictures.title}", "", f"{size}; {pictures.note}.", "", set_table(figures)]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
