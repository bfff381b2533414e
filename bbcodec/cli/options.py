# SPDX-License-Identifier: Apache-2.0
"""The parameters of commands, each described once. `settings` groups their values."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bbcodec.cli.model_choice import complete_level, complete_model

# --- inputs -----------------------------------------------------------------------------------------------

Images = Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images; '-' is standard input.")]
Files = Annotated[list[str], typer.Argument(metavar="FILE.bb", help="Files; '-' is standard input.")]
Archive = Annotated[str, typer.Argument(metavar="FILE.bb", help="The archive; '-' is standard input.")]
ArchiveNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Names, or patterns such as 'cats/*'. [default: all]"),
]
Sources = Annotated[
    list[str],
    typer.Argument(metavar="DIR|IMAGE", help="Images, or folders with images in them and below."),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Search folders and those below; --output-dir gets the same folders."
    ),
]

# --- outputs ----------------------------------------------------------------------------------------------

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to FILE ('-' for stdout); one input only."),
]
OutputDir = Annotated[
    str | None,
    typer.Option("--output-dir", metavar="DIR", help="Write into DIR, which is made if it does not exist."),
]
Stdout = Annotated[bool, typer.Option("--stdout", "-c", help="Write to stdout; one input only.")]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite existing files; write binary data to a terminal.")
]
Remove = Annotated[
    bool,
    typer.Option(
        "--rm/--keep",
        " /-k",
        help="Delete each input after its output was read back and checked, or keep it.",
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave outputs that exist and are whole as they are.")
]
ImageFormat = Annotated[
    Literal["png", "webp", "tif", "bmp", "ppm", "npy"] | None,
    typer.Option(
        "--format",
        help="Format to write; npy is for arrays. [default: by the suffix of the output, else png]",
    ),
]

# --- encoding ---------------------------------------------------------------------------------------------

Axes = Annotated[
    str | None,
    typer.Option("--axes", metavar="LETTERS", help="Axes of a .npy file, such as zyx (docs/arrays.md)."),
]
Group = Annotated[
    int | None,
    typer.Option(
        "--group", metavar="N", min=1, help="Planes of an array that are coded together. [default: 16]"
    ),
]
Recovery = Annotated[
    float | None,
    typer.Option(
        "--recovery",
        metavar="PERCENT",
        help="Add data that repair lost 512-byte sectors, up to this share of the file (0.01 to 50). "
        "--salvage uses them.",
    ),
]
Method = Annotated[
    Literal["auto", "learned", "classic"],
    typer.Option(
        "--method", help="learned: the model; classic: no model; auto: the better one for each image."
    ),
]
Level = Annotated[
    int | None,
    typer.Option(
        "--level",
        min=1,
        max=9,
        metavar="1..9",
        autocompletion=complete_level,
        help="From fastest (1) to smallest (9); -1 to -9 for short. 1 to 3: model quick; 4 to 7: the default "
        "model; 8 and 9: model best. [default: 6]",
    ),
]
Fast = Annotated[
    bool, typer.Option("--fast", help="The same as -1: four times as fast, files 3 to 8 % larger.")
]
EmbedModel = Annotated[
    bool, typer.Option("--embed-model", help="Put the model into the file, which then decodes anywhere.")
]
EmbedInArchive = Annotated[
    bool | None,
    typer.Option(
        "--embed-model/--no-embed-model",
        help="Put the model into the archive. [default: only if it is not a released one]",
    ),
]
Fit = Annotated[
    float | None,
    typer.Option(
        "--fit",
        metavar="SECONDS",
        help="Fit the model to each image for this time (of one core of 2.5 GHz), and store the changes "
        "where that makes the file smaller. Ctrl-C ends the fit, not the program. Needs PyTorch.",
    ),
]
FitSeed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the fit.")]
Verify = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Decode again and compare every pixel before a file appears."),
]
VerifyImage = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Read each image back and compare it before it appears."),
]
Metadata = Annotated[
    Literal["all", "none"],
    typer.Option("--metadata", help="Keep ICC, EXIF, XMP, resolution and text, or drop them."),
]
Strip = Annotated[
    bool, typer.Option("--strip", help="Drop ICC, EXIF, XMP, resolution and text (--metadata none).")
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=0,
        metavar="N",
        help="Small pictures that share one message. More make the archive smaller, and one picture slower "
        "to read; 0: all. [default: as many as have 16,384 pixels together]",
    ),
]
SkipPacked = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out images whose names are in the archive already.")
]

# --- decoding ---------------------------------------------------------------------------------------------

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|ID|PATH",
        autocompletion=complete_model,
        help="Model of the learned method: a released one or a .bbm file.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|ID|PATH",
        autocompletion=complete_model,
        help="Model to measure; may be repeated. [default: those of the levels]",
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="INDEX",
        help="Part of an array, like 7 or 0:10,:,::2; only the planes that it needs are decoded. It becomes "
        "a .npy file.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="X,Y,W,H", help="Decode this part of the picture only, in pixels."),
]
Salvage = Annotated[
    bool,
    typer.Option(
        "--salvage",
        help="Decode what is intact in a damaged file. Lost pixels are gray, every loss is reported, and the "
        "exit code is 1.",
    ),
]
MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", min=1, metavar="N", help="Refuse images of more than N pixels.")
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Refuse files that need more memory to decode than SIZE, such as 500M or 2G (an estimate).",
    ),
]

# --- where and how ----------------------------------------------------------------------------------------

Threads = Annotated[
    int, typer.Option("--threads", "-T", min=0, metavar="N", help="Threads; 0 means all cores.")
]
Backend = Annotated[
    Literal["numpy", "numba", "native"] | None,
    typer.Option(
        "--backend",
        help="Implementation to use; the bytes are the same. [default: the fastest installed one]",
    ),
]
StorageOptions = Annotated[
    str | None,
    typer.Option(
        "--storage-options",
        metavar="JSON",
        help="Options of fsspec for URLs (s3://, memory:// ...), as a JSON object.",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Work on a Dask cluster: tcp://host:port of its scheduler, or 'local' for one on this machine. "
        "Each file is a task of -T threads (default 1). Implies --skip-existing unless -f is given.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write a JSON document to stdout.")]
Quiet = Annotated[
    int,
    typer.Option(
        "--quiet", "-q", count=True, show_default=False, help="Print errors only; twice: not even those."
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Print more; twice: tracebacks of errors."
    ),
]
