# SPDX-License-Identifier: Apache-2.0
"""`bbcodec models`: list, describe and verify models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bbcodec.cli import options
from bbcodec.cli.examples import epilog
from bbcodec.cli.hints import CommandGroup
from bbcodec.cli.model_choice import complete_model
from bbcodec.cli.report import Reporter, shown, write_json, write_text

__all__ = ["app"]

app = typer.Typer(
    name="models",
    cls=CommandGroup,
    epilog=epilog("models"),
    rich_markup_mode=None,
    help="List models, describe one, verify one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List the installed models. `info` describes one, `verify` checks it."""
    if context.invoked_subcommand is None:
        _list(as_json)


@app.command("list", short_help="List the installed models.", epilog=epilog("models list"))
def _list(as_json: options.AsJson = False) -> None:
    """List the installed models: name, family, bytes, id and purpose."""
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


Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME|ID|PATH", autocompletion=complete_model, help="Released models or .bbm files."
    ),
]


@app.command("info", short_help="Describe models.", epilog=epilog("models info"))
def _info(
    names: Names,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Describe models: configuration, parameters, share of 1-bit weights, and notes of their training."""
    reporter = Reporter(quiet, verbose, as_json)

    def one(name: str) -> dict[str, Any]:
        from bbcodec.families import card

        found = card.describe(name)
        if not as_json:
            write_text("\n".join([shown(name), *_lines(found)]))
        return {"input": name, **found}

    reporter.finish(reporter.each(names, str, one))


@app.command("verify", short_help="Check models with every backend.", epilog=epilog("models verify"))
def _verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|ID|PATH",
            autocompletion=complete_model,
            help="Released models or .bbm files. [default: all released ones]",
        ),
    ] = None,
    backend: options.Backend = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Check models: id, bounds of every sum, and a small picture encoded and decoded by every backend.

    Without --backend all installed ones are tried. numba compiles for half a minute at its first use.
    """
    reporter = Reporter(quiet, verbose, as_json)

    def one(name: str) -> dict[str, Any]:
        from bbcodec.families import card

        found = card.verify(name, [backend] if backend else [])
        reporter.note(f"ok, id {found['id'][:16]}, {', '.join(found['backends'])}", shown(name))
        return {"input": name, "ok": True, **found}

    if not names:
        from bbcodec import modelfile

        names = list(modelfile.released())
    reporter.finish(reporter.each(names, str, one))


def _lines(found: dict[str, Any]) -> list[str]:
    """Return the description, a line for each thing. Control characters of a hostile file are escaped."""
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
