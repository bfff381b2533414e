# SPDX-License-Identifier: Apache-2.0
"""`python -m bbcodec` and the `bbcodec` script: signals and streams are made ready, then the commands run.

Nothing else lives here, and nothing slow is imported before the signals have their handlers.
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
    """A signal asks us to leave."""


_GRACE: Final = 1.0  # seconds

_asked = -math.inf  # when we were asked to leave


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that temporary files are removed on the way out.

    The signals that come in the next moment (an impatient user, several threads) must not interrupt that.
    """
    global _asked
    before, _asked = _asked, time.monotonic()
    if _asked - before > _GRACE:
        raise _Stopped(128 + number)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What the caller ignores stays ignored: SIGHUP under nohup, SIGINT of a shell's background jobs.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)
    # A file name need not be text; what cannot be printed is shown escaped.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from bbcodec.cli import app

        app(prog_name="bbcodec")
    except _Stopped as stopped:
        # All files are gone that had to go. Python would now wait for threads that may be in native code for
        # seconds.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(int(str(stopped)))


if __name__ == "__main__":
    main()
