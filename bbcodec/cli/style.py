# SPDX-License-Identifier: Apache-2.0
"""Colours of messages on a terminal. Data on stdout, JSON and redirected streams stay plain.

Plain escape sequences are used, because importing `rich` takes longer than many commands.
"""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["bold", "red", "yellow"]

_BOLD, _RED, _YELLOW, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def bold(text: str, stream: TextIO | None) -> str:
    """Return a text in bold if the stream shows colours."""
    return _styled(text, _BOLD, stream)


def red(text: str, stream: TextIO | None) -> str:
    """Return a text in red if the stream shows colours."""
    return _styled(text, _RED, stream)


def yellow(text: str, stream: TextIO | None) -> str:
    """Return a text in yellow if the stream shows colours."""
    return _styled(text, _YELLOW, stream)


def _styled(text: str, code: str, stream: TextIO | None) -> str:
    return f"{code}{text}{_RESET}" if text and _shows_colours(stream) else text


def _shows_colours(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal with colours that the user wants (https://no-color.org)."""
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
