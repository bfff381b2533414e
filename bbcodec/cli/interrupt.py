# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C that ends a search early and keeps its result, instead of ending the program."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from bbcodec.cli.report import Reporter

__all__ = ["stop_on_interrupt"]


@contextlib.contextmanager
def stop_on_interrupt(reporter: Reporter, message: str) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the user has interrupted.

    The first interrupt prints the message. From the second one on, the handler from before acts again.
    """
    asked = False
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        reporter.note(message)

    if before != signal.SIG_IGN:  # under nohup and in background jobs it stays ignored
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
