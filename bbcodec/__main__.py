# SPDX-License-Identifier: Apache-2.0
"""`python -m bbcodec` and the `bbcodec` script: prepare signals and streams, then run the command.

Nothing slow is imported before the signals have their handlers.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, Final, NoReturn

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


class _Closed(io.RawIOBase):
    """A standard stream that the caller has closed. Whoever reads or writes it is told so."""

    def __init__(self, why: str) -> None:
        self._why = why

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> NoReturn:
        raise OSError(errno.EBADF, self._why)

    def write(self, data: Any) -> NoReturn:
        raise OSError(errno.EBADF, self._why)


class _Messages(io.FileIO):
    """Standard error. Messages that it does not take are lost, and the exit code tells what happened."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)


class _Redacting(io.TextIOWrapper):
    """A text stream that shows no password or signature of a URL, whoever writes it."""

    def write(self, text: str) -> int:
        if "://" in text:
            from bbcodec.storage.display import redacted

            text = redacted(text)
        return super().write(text)


def _prepare_streams() -> None:
    """Give closed descriptors 0 to 2 and all standard streams a sound state.

    A file that is opened later must not get one of these descriptors: what libraries print would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed; the lowest free number is this one
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Closed("it is closed")))
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed("standard output is closed")))
    # A file name may hold bytes that are no text. They are printed escaped.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _Redacting(
        io.BufferedWriter(_Messages(2, "w", closefd=False)),
        encoding=getattr(sys.stderr, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )


def _run() -> int:
    """Run the command line and return its exit code."""
    try:
        from bbcodec.cli import app

        app(prog_name="bbcodec")
    except _Stopped:
        raise
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BrokenPipeError:
        return 1
    except OSError as error:  # the work on files catches its own: this is standard output
        _complain(error)
        return 1
    return 0


def _complain(error: OSError) -> None:
    """Print why standard output could not be written."""
    about, text = error.filename or "standard output", error.strerror or str(error)
    print(f"bbcodec: {text}" if text.startswith(about) else f"bbcodec: {about}: {text}", file=sys.stderr)


def _flush_output(code: int) -> int:
    """Write what is left of standard output, and return the exit code.

    What cannot be written is dropped. Python would try again at its end, and print a traceback.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if code == 0 and isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            _complain(error)
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
        sys.stdout = io.TextIOWrapper(io.BytesIO())
        return code or 1
    return code


def main() -> None:
    """Run the command line and leave with its exit code."""
    _prepare_streams()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What the caller ignores stays ignored: SIGHUP under nohup, SIGINT of a shell's background jobs.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)
    try:
        code = _flush_output(_run())
    except _Stopped as stopped:
        # Temporary files are removed by now. Python would wait for threads, which may be in native code for
        # seconds.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(int(str(stopped)))
    sys.exit(code)


if __name__ == "__main__":
    main()
