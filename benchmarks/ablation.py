# SPDX-License-Identifier: Apache-2.0
"""Measure the gain of each part of the family `local`: change one part of the profile `photo` at a time.

    python benchmarks/ablation.py --small --minutes 30 --cache heads > docs/results/ablation.md
    python benchmarks/ablation.py --count 2 --size 64           a trial: the released model alone
    python benchmarks/ablation.py --steps 50 --limit 3 --count 1 --size 64        a trial of the training too

Rows come in groups, and each group is compared with its own first row:

- released models: whole files of `--count` crops;
- small pictures in batches (`--small`): the gain of the latents of `thumb`;
- heads trained equally that differ in one thing (`--minutes` or `--steps`): bits/dim on random pixels of
  unseen pictures, without learning while coding;
- those heads that have an integer form: whole files.

`--cache` keeps samples and trained heads, even if a run is stopped.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rates import machine, markdown
from rates_peers import Pixels

import bbcodec
from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import BBCodecError
from bbcodec.families.local.model import MAX_RIDGE, LocalModel
from bbcodec.modelfile import Model

if TYPE_CHECKING:
    from ablation_heads import Course, Trained

THREADS = 1
PREDICTOR_KEYS = ("own", "earlier", "along", "down")  # configuration values of the two predictors


@dataclass
class Row:
    """One row: `rate` in bits/dim, or None if nothing was measured; `facts` are further values for JSON."""

    title: str
    rate: float | None
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Table:
    """Rows that are compared with the first of them."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Append a row, and report it on stderr."""
        self.rows.append(row)
        rate = "nothing measured" if row.rate is None else f"{row.rate:.4f} bits/dim"
        print(f"{self.title}: {row.title}: {rate}", file=sys.stderr, flush=True)

    def difference(self, row: Row) -> float | None:
        """Return the rate of a row divided by that of the first row, minus 1."""
        first = self.rows[0].rate
        return None if row.rate is None or first is None or row is self.rows[0] else row.rate / first - 1


# ------------------------------------------------------------------------------------------------- pictures


def chosen(folder: Path, count: int, size: int, seed: int) -> dict[str, Pixels]:
    """Return central crops of `count` pictures of a folder, at most `size` x `size` pixels, by file name."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".png", ".webp", ".jpg", ".ppm"))
    if not paths:
        raise SystemExit(f"{folder}: no pictures (.png, .webp, .jpg or .ppm) in this folder")
    picks = np.random.default_rng(seed).permutation(len(paths))[:count]
    crops = {}
    for path in (paths[i] for i in sorted(picks)):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        top, left = (max(0, n - size) // 2 for n in pixels.shape[:2])
        crops[path.name] = np.ascontiguousarray(pixels[top : top + size, left : left + size])
    return crops


def coded(
    title: str, images: Sequence[Pixels], model: Model, note: str = "", verify: bool = False, **choice: Any
) -> Row:
    """Return the row of whole files with a model, every byte counted; `verify` also checks the round trip."""
    sizes, tiles, first = [], 0, 0
    for image in images:
        data = bbcodec.compress(image, method="learned", model=model, threads=THREADS, verify=False, **choice)
        if verify and not np.array_equal(bbcodec.decompress(data, model=model, threads=THREADS), image):
            raise BBCodecError(f"{title}: the decoded picture differs")
        sizes.append(len(data))
        learned = bbcodec.info(data).learned or {}
        tiles, first = tiles + learned.get("tiles", 0), first + learned.get("causal_tiles", 0)
    if tiles:
        note += f"; {first} of {tiles} tiles are coded without latents, to pay for the first"
    rate = 8 * sum(sizes) / sum(image.size for image in images)
    return Row(title, rate, note, {"bytes_of_files": sizes, "model": model.id})


# --------------------------------------------------------------------------------------------- changed models


def changed(model: Model, tensors: dict[str, Any] | None = None, **config: Any) -> Model:
    """Return a model with some tensors and some values of its configuration replaced."""
    content = modelfile.dump(
        model.family, {**model.config, **config}, Graph({}, {}), {**model.tensors, **(tensors or {})}
    )
    return modelfile.load(content)


def one_predictor(model: Model, q: int) -> Model:
    """Return a model with predictor q in both places, so that the two predictions are always equal."""
    tensors = {}
    if "prior" in model.tensors:
        priors = LocalModel.from_model(model).priors
        tensors["prior"] = np.concatenate([row[q] for row in priors for _ in row])
    return changed(model, tensors, **{key: [model.config[key][q]] * 2 for key in PREDICTOR_KEYS})


def named(model: str) -> str:
    """Return a released name unchanged, and only the file name of a path."""
    return Path(model).name


def predictor(model: Model, q: int) -> str:
    """Return a description of a predictor."""
    own, earlier = model.config["own"][q], model.config["earlier"][q]
    return f"{own} own positions and {earlier} of each earlier channel, for both"


def coded_rows(images: Sequence[Pixels], name: str, fit: float | None) -> Iterator[Row]:
    """Yield the rows of the released models, and of the local one without one of its parts."""
    model = modelfile.load_named(name)
    yield coded(f"`{named(name)}`", images, model, "round trip verified", verify=True)
    yield coded(
        "no adaptation", images, changed(model, rate_q=0), "the last layer does not learn while coding"
    )
    yield coded("first predictor alone", images, one_predictor(model, 0), predictor(model, 0))
    yield coded("second predictor alone", images, one_predictor(model, 1), predictor(model, 1))
    yield coded(
        "no least squares",
        images,
        changed(model, ridge=MAX_RIDGE),
        "prediction (W + N) / 2; the head was not trained for it",
    )
    yield coded(
        "no autoregression: `rvae`", images, modelfile.load_named("rvae"), "another network, latents alone"
    )
    yield Row("no latents", None, f"`{named(name)}` has none: see the small pictures for those of `thumb`")
    if fit is not None:
        yield fitted(images, model, fit)


def latent_tables(options: argparse.Namespace) -> Iterator[Table]:
    """Yield a table for each set of small pictures in one batch, with latents and without."""
    import ablation_latents

    for title, images in ablation_latents.sets(options.data, options.limit):
        table = Table(f"{title}, {len(images)} pictures in one batch")
        for row in ablation_latents.rows(images, THREADS):
            table.add(Row(*row))
        yield table


def fitted(images: Sequence[Pixels], model: Model, seconds: float) -> Row:
    """Return the row with the model fitted to each picture. The first row of the table has no fit."""
    title = f"fitted to each picture, {seconds:g} s"
    if "fit" not in inspect.signature(bbcodec.compress).parameters:
        return Row(title, None, "this version has no `compress(fit=...)`")
    return coded(title, images, model, "the first row has no fit", fit=seconds)


# --------------------------------------------------------------------------------------------------- training


def trained_row(trained: Trained) -> Row:
    """Return the row of a trained head, without learning while coding."""
    note = f"{trained.parameters:,} parameters, {trained.hidden_bytes:,} bytes of hidden weights"
    facts = {
        "parameters": trained.parameters,
        "hidden_bytes": trained.hidden_bytes,
        "steps": trained.steps,
        "minutes": round(trained.seconds / 60, 2),
    }
    return Row(trained.variant.title, trained.rate, note, facts)


def trained_tables(course: Course, images: Sequence[Pixels], options: argparse.Namespace) -> list[Table]:
    """Return the tables of the heads trained equally: on random pixels, and coding the crops if they can."""
    from ablation_heads import train_all, variants
    from bbcodec.models.local.export import export

    static = Table("Heads trained alike, not learning, on random pixels of other pictures")
    coding = Table("The same heads where they have an integer form, learning while they code")
    for trained in train_all(variants(), course, options.cache, options.threads):
        static.add(trained_row(trained))
        if images and trained.variant.exported:
            model = modelfile.load(export(trained.head, {}))
            coding.add(coded(trained.variant.title, images, model, f"{model.nbytes:,} bytes of model"))
    return [static, coding] if coding.rows else [static]


# ----------------------------------------------------------------------------------------------------- report


def one_table(tables: Sequence[Table]) -> str:
    """Return all groups as one Markdown table."""
    lines = []
    for table in tables:
        lines.append([f"**{table.title}**", "", "", ""])
        for row in table.rows:
            difference = table.difference(row)
            rate = "–" if row.rate is None else f"{row.rate:.4f}"
            lines.append([row.title, rate, "" if difference is None else f"{difference:+.2%}", row.note])
    return markdown(["row", "bits/dim", "to the first of the group", "note"], lines)


def conditions(options: argparse.Namespace, crops: dict[str, Pixels], course: Course | None) -> list[str]:
    """Return the conditions of the run, one line each."""
    model = modelfile.load_named(options.model)
    lines = [f"bbcodec {version('bbcodec')}, NumPy {np.__version__}, {machine()}"]
    lines.append(f"`{named(options.model)}`: model {model.id} ({model.nbytes:,} bytes)")
    if crops:
        samples = sum(image.size for image in crops.values())
        lines.append(
            f"coded: {len(crops)} pictures of `{options.pictures}` (seed {options.seed}), their middle "
            f"{options.size} × {options.size} at most, {samples:,} samples: {', '.join(crops)}"
        )
    if course is not None:
        import torch
        from ablation_heads import VALID_PIXELS

        limit = "" if course.limit is None else f", the first {course.limit} pictures of each alone"
        budget = f"{course.steps:,} steps" if course.steps is not None else f"{course.minutes:g} minutes"
        lines.append(
            f"trained with PyTorch {torch.__version__} and {options.threads} thread(s): {budget} (the "
            f"others take the steps of the first) of {course.batch:,} pixels of three samples, learning rate "
            f"{course.lr:g} on a cosine, seed {course.seed}"
        )
        lines.append(
            f"samples: {course.pixels:,} pixels of each picture of {quoted(course.train)}; measured on "
            f"{VALID_PIXELS:,} pixels of each of {quoted(course.valid)}{limit}"
        )
    return lines


def quoted(sources: Sequence[str]) -> str:
    """Return the quoted sources as text."""
    return ", ".join(f"`{source}`" for source in sources)


def report(options: argparse.Namespace, lines: list[str], tables: Sequence[Table]) -> str:
    """Return the whole report in Markdown."""
    parts = ["# What each part pays", "", f"`{command(options)}`", ""]
    parts += [f"- {line}" for line in lines]
    rows = [row for table in tables for row in table.rows if "steps" in row.facts]
    steps = [f"{row.facts['steps']:,} ({row.facts['minutes']:g} min)" for row in rows]
    if steps:
        parts.append(f"- steps of the heads, in the order of their rows: {', '.join(steps)}")
    parts += [
        "",
        "Each group is compared with its own first row; more bits are worse. Files count whole. The groups",
        "do not compare with each other: a released model was trained longer than the heads here, and random",
        "pixels are not whole files.",
        "",
        one_table(tables),
    ]
    return "\n".join(parts)


def command(options: argparse.Namespace) -> str:
    """Return the command, with those options that affect the results and are not at their defaults."""
    default, words = vars(parser().parse_args([])), ["python benchmarks/ablation.py"]
    for name, value in vars(options).items():
        if value != default[name] and name not in ("data", "cache", "json", "threads"):
            value = named(value) if name == "model" else value
            value = value if isinstance(value, list) else [] if value is True else [value]
            words += [f"--{name}", *map(str, value)]
    return " ".join(words)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    data = Path(__file__).resolve().parents[2] / "shared/data"
    p.add_argument("--data", type=Path, default=data, help="folder with the pictures [%(default)s]")
    p.add_argument("--pictures", default="photos/valid", help="folder of pictures to code [%(default)s]")
    p.add_argument("--count", type=int, default=12, help="number of pictures; 0 codes none [%(default)s]")
    p.add_argument("--size", type=int, default=384, help="largest side of a crop, pixels [%(default)s]")
    p.add_argument("--model", default="photo", help="released name or .bbm path [%(default)s]")
    p.add_argument("--small", action="store_true", help="measure the latents of `thumb` on small pictures")
    p.add_argument("--fit", type=float, metavar="SECONDS", help="add a row with compress(fit=SECONDS)")
    budget = p.add_mutually_exclusive_group()
    budget.add_argument(
        "--minutes", type=float, help="training time of the first head; the others take as many steps"
    )
    budget.add_argument("--steps", type=int, help="training steps of every head")
    p.add_argument(
        "--train",
        nargs="+",
        default=["photos/train"],
        help="training pictures, as in models/local/train.py [%(default)s]",
    )
    p.add_argument("--valid", nargs="+", default=["photos/valid"], help="validation pictures [%(default)s]")
    p.add_argument("--limit", type=int, metavar="N", help="use only the first N pictures of each: a trial")
    p.add_argument("--pixels", type=int, default=4096, help="pixels of each training picture [%(default)s]")
    p.add_argument("--batch", type=int, default=1536, help="pixels per step [%(default)s]")
    p.add_argument("--lr", type=float, default=3e-3, help="largest learning rate [%(default)s]")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1, help="threads of the training [%(default)s]")
    p.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep samples and trained heads in this folder"
    )
    p.add_argument("--json", type=Path, metavar="PATH", help="also write the results to this JSON file")
    return p


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line, and exit with an error if an option is not valid."""
    p = parser()
    options = p.parse_args(argv)
    for name in ("size", "limit", "pixels", "batch", "threads", "steps", "minutes", "fit"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            p.error(f"--{name} must be greater than 0 (got {value})")
    if options.count < 0 or (
        options.count == 0 and not options.small and options.minutes is options.steps is None
    ):
        p.error("nothing to measure: give --count, --small, --minutes or --steps")
    return options


def main(argv: list[str] | None = None) -> None:
    """Measure, and print a report in Markdown."""
    options = arguments(argv)
    crops, course, tables = {}, None, []
    if options.count:
        crops = chosen(options.data / options.pictures, options.count, options.size, options.seed)
    images = list(crops.values())
    if images:
        tables.append(Table("Whole files of released models"))
        for row in coded_rows(images, options.model, options.fit):
            tables[0].add(row)
    if options.small:
        tables += latent_tables(options)
    if options.minutes is not None or options.steps is not None:
        from ablation_heads import Course

        keys = ("minutes", "steps", "limit", "pixels", "batch", "lr", "seed")
        course = Course(
            root=options.data.resolve(),
            train=tuple(options.train),
            valid=tuple(options.valid),
            **{key: getattr(options, key) for key in keys},
        )
        tables += trained_tables(course, images, options)
    lines = conditions(options, crops, course)
    print(report(options, lines, tables))
    if options.json is not None:
        content = {
            "command": command(options),
            "conditions": lines,
            "groups": [
                {
                    "title": table.title,
                    "rows": [asdict(row) | {"difference": table.difference(row)} for row in table.rows],
                }
                for table in tables
            ],
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
