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

    The first call after an interrupt prints the message: the handler itself may have come into the middle of
    another line. From the second interrupt on, the handler from before acts again.
    """
    asked = told = False
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    def stopped() -> bool:
        nonlocal told
        if asked and not told:
            told = True
            reporter.note(message)
        return asked

    if before != signal.SIG_IGN:  # under nohup and in background jobs it stays ignored
        signal.signal(signal.SIGINT, ask)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
