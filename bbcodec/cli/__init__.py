# SPDX-License-Identifier: Apache-2.0
"""The command line: commands for pictures, archives and models, put together.

`bbcodec.__main__` starts it. Nothing in this package knows the format or the models: it names files, calls
the API and prints. NumPy, Pillow and the like are imported inside the commands only, so that `--help` is
quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bbcodec.cli import compare, compress, decompress, info, listing, models, pack, test, train, unpack
from bbcodec.cli.examples import epilog
from bbcodec.cli.hints import CommandGroup
from bbcodec.cli.model_choice import LevelCommand
from bbcodec.cli.report import write_text

__all__ = ["app"]

app = typer.Typer(
    name="bbcodec",
    cls=CommandGroup,
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
    ("test", test.verify, "Verify files and archives."),
    ("pack", pack.pack, "Pack images into one archive."),
    ("append", pack.append, "Append images to an archive."),
    ("unpack", unpack.unpack, "Write the images of an archive."),
    ("list", listing.list_names, "List the pictures of an archive."),
    ("get", unpack.get, "Write one image of an archive."),
    ("train", train.train, "Train a model for your own pictures."),
):
    app.command(_name, cls=LevelCommand, short_help=_summary, epilog=epilog(_name))(_command)
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
    """Lossless image compression with small neural models, for photographs and everything else.

    \b
    bbcodec compress photo.png      writes photo.bb
    bbcodec decompress photo.bb     writes photo.png, the same pixels

    \b
    Exit codes:
      0  All went well.
      1  A file could not be read, decoded or written. The other files were done.
      2  The command line is wrong. Nothing was done.
    """
