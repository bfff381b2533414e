# SPDX-License-Identifier: Apache-2.0
"""The command line: `compress`, `decompress`, `compare`, `info`, `test`; archives; models.

Here the commands are put together; `bbcodec.__main__` starts them. Nothing in this package knows the format
or the models: it names files, calls the API and reports. It imports NumPy, Pillow and the rest inside the
commands only, so that `--help` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bbcodec.cli import compare, compress, decompress, info, models, pack, test, train, unpack
from bbcodec.cli.report import write_text

__all__ = ["app"]

app = typer.Typer(
    name="bbcodec",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _summary in (
    ("compress", compress.compress, "Compress images: photo.png becomes photo.bb."),
    ("decompress", decompress.decompress, "Decompress files: photo.bb becomes photo.png."),
    ("compare", compare.compare, "Measure sizes and times beside PNG, WebP, JPEG XL."),
    ("info", info.info, "Show what is in files."),
    ("test", test.verify, "Verify files and archives whole."),
    ("pack", pack.pack, "Pack images into one archive."),
    ("append", pack.append, "Append images to an archive."),
    ("unpack", unpack.unpack, "Write the images of an archive."),
    ("list", unpack.list_names, "List the pictures of an archive."),
    ("get", unpack.get, "Write one image of an archive."),
    ("train", train.train, "Make a model of your own for your pictures."),
):
    app.command(_name, short_help=_summary)(_command)
app.add_typer(models.app, name="models", short_help="List, describe and verify models.")


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        write_text(f"bbcodec {importlib.metadata.version('bbcodec')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Lossless image compression with binary latent-variable models and bits-back coding.

    \b
    bbcodec compress photo.png      writes photo.bb
    bbcodec decompress photo.bb     writes photo.png, the same pixels

    Exit codes: 0 all went well; 1 a file could not be read, decoded or written; 2 the command line is wrong.
    With several files the others go on after one fails.
    """
