# SPDX-License-Identifier: Apache-2.0
"""What a user probably meant: near names, and the command for a file that stands in a command's place."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperGroup

from bbcodec.cli.names import IMAGE_SUFFIXES, SUFFIX, command
from bbcodec.cli.report import refuse
from bbcodec.storage import is_url, local_path

__all__ = ["CommandGroup", "did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names what is near a word, or an empty text.

    >>> did_you_mean("phto", ["fast", "photo"])
    'did you mean photo?'
    """
    found = difflib.get_close_matches(word, list(known), n=3)
    *first, last = found or [""]
    return f"did you mean {' or '.join(filter(None, [', '.join(first), last]))}?" if found else ""


class CommandGroup(TyperGroup):
    """A group of commands that answers an unknown one with the command that was probably meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command; an unknown one ends the program with exit code 2."""
        name = args[0]
        unknown = self.get_command(ctx, name) is None and not name.startswith("-")
        if unknown and not ctx.resilient_parsing:  # completion asks for unfinished words too
            advice = _command_for(args) or did_you_mean(name, self.list_commands(ctx))
            refuse(f"no command {name!r}; {advice or f'see {ctx.command_path} --help'}")
        return super().resolve_command(ctx, args)


def _command_for(words: Sequence[str]) -> str:
    """Return the command for a file in the place of a command (`bbcodec IN OUT`), or an empty text."""
    name, others = words[0], [word for word in words[1:] if not word.startswith("-")]
    suffix = os.path.splitext(name)[1].lower()
    path = local_path(name)
    exists = path is not None and os.path.exists(path)
    if path is not None and os.path.isdir(path):
        archive = others[0] if others else name.rstrip("/") + SUFFIX
        return f"to pack its images: {command('pack', name, '-o', archive)}"
    if not (exists or is_url(name) or suffix == SUFFIX or suffix in IMAGE_SUFFIXES):
        return ""
    if suffix != SUFFIX:
        inputs = [name, *others] if all(map(_is_image, others)) else [name]
        output = ["-o", others[0]] if others and len(inputs) == 1 else []
        return f"to compress it: {command('compress', *inputs, *output)}"
    output = ["-o", others[0]] if others else []
    if path is not None and os.path.isfile(path) and _is_archive(path):
        return f"to unpack it: {command('unpack', name, *output)}"
    return f"to decompress it: {command('decompress', name, *output)}"


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_archive(path: str) -> bool:
    from bbcodec.cli.filetype import ARCHIVE, HEAD_BYTES, file_type

    try:
        with open(path, "rb") as file:
            return file_type(file.read(HEAD_BYTES)) == ARCHIVE
    except OSError:
        return False
