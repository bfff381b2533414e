# SPDX-License-Identifier: Apache-2.0
"""`bbcodec models`: which models there are, what is in one, and whether it is sound."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bbcodec.cli import options
from bbcodec.cli.report import Reporter, shown, write_json, write_text

__all__ = ["app"]

app = typer.Typer(
    name="models",
    rich_markup_mode=None,
    help="List models, describe one, verify one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List the models that are installed; `info` describes one, `verify` checks it."""
    if context.invoked_subcommand is None:
        _list(as_json)


@app.command("list", short_help="Name, family, bytes, id, purpose.")
def _list(as_json: options.AsJson = False) -> None:
    """List the models that are installed."""
    from bbcodec.families import card

    found = card.listing()
    if as_json:
        write_json(found)
        return
    rows = [["name", "family", "bytes", "id", "purpose"]]
    rows += [[m["name"], m["family"], f"{m['bytes']:,}", m["id"][:16], m["purpose"]] for m in found]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [
            f"{cell:>{w}}" if i == 2 else f"{cell:<{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        write_text("  ".join([*cells, row[4]]).rstrip())


Names = Annotated[list[str], typer.Argument(metavar="NAME|ID|PATH", help="Released models or .bbm files.")]


@app.command("info", short_help="Configuration, parameters, 1-bit weights, notes.")
def _info(
    names: Names,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Describe models: configuration, parameters, share of 1-bit weights, and notes of their making."""
    reporter = Reporter(quiet, verbose)

    def one(name: str) -> dict[str, Any]:
        from bbcodec.families import card

        found = card.describe(name)
        if not as_json:
            write_text("\n".join([shown(name), *_lines(found)]))
        return {"input": name, **found}

    reporter.finish(reporter.each(names, str, one), as_json)


@app.command("verify", short_help="Check id and bounds, and code a picture with every backend.")
def _verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|ID|PATH", help="Released models or .bbm files; all released by default."
        ),
    ] = None,
    backend: options.Backend = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Check models: id, bounds of every sum, and a small picture coded and decoded by every backend.

    Without --backend all that are installed are tried; numba compiles for half a minute at its first use.
    """
    reporter = Reporter(quiet, verbose)

    def one(name: str) -> dict[str, Any]:
        from bbcodec.families import card

        found = card.verify(name, [backend] if backend else [])
        reporter.note(f"{shown(name)}: ok, id {found['id'][:16]}, {', '.join(found['backends'])}")
        return {"input": name, "ok": True, **found}

    if not names:
        from bbcodec import modelfile

        names = list(modelfile.released())
    reporter.finish(reporter.each(names, str, one), as_json)


def _lines(found: dict[str, Any]) -> list[str]:
    """The description, a line for each thing; a hostile file's control characters escaped."""
    parent = f", as changes of {found['parent']}" if found["parent"] else ""
    rows = [
        ("name", found["name"] or "not a released model"),
        ("family", found["family"]),
        ("purpose", found["purpose"]),
        ("id", found["id"]),
        ("file", f"{found['bytes']:,} bytes; embedded {found['embedded_bytes']:,}{parent}"),
        ("parameters", f"{found['parameters']:,}"),
        ("1-bit weights", f"{found['binary']:,} ({100 * found['binary_share']:.1f} %)"),
    ]
    rows += [(f"config {key}", value) for key, value in sorted(found["config"].items())]
    rows += [(f"note {key}", value) for key, value in sorted(found["notes"].items())]
    return [f"  {shown(key):<20}  {shown(f'{value}')[:400]}" for key, value in rows if value != ""]
