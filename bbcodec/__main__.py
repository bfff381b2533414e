# SPDX-License-Identifier: Apache-2.0
"""`python -m bbcodec` and the `bbcodec` script: prepare signals and streams, then run the command.

Nothing slow is imported before the signals have their handlers.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from types import FrameType
from typing import Final

__all__ = ["main"]


class _Stopped(SystemExit):
    """A signal asked the program to end."""


REPEAT_IGNORED_SECONDS: Final = 1.0  # a signal so soon after another one does not interrupt the clean-up

_asked = -math.inf  # time of the last signal


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise an exception, so that temporary files are removed on the way out.

    Signals that follow at once (an impatient user, several threads) must not interrupt that.
    """
    global _asked
    before, _asked = _asked, time.monotonic()
    if _asked - before > REPEAT_IGNORED_SECONDS:
        raise _Stopped(128 + number)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What the caller ignores stays ignored: SIGHUP under nohup, SIGINT of a shell's background jobs.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)
    # A file name may hold bytes that are no text. They are printed escaped.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from bbcodec.cli import app

        app(prog_name="bbcodec")
    except _Stopped as stopped:
        # Temporary files are removed by now. Python would wait for threads, which may be in native code for
        # seconds.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(int(str(stopped)))


if __name__ == "__main__":
    main()
