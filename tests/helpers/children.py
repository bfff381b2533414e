# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests that start processes."""

from __future__ import annotations

import signal

__all__ = ["default_signals"]


def default_signals() -> None:
    """Restore default signal handlers in a child process.

    The process that started the tests may ignore signals, as a shell does for background jobs.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
