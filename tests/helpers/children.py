# SPDX-License-Identifier: Apache-2.0
"""For tests that start processes."""

from __future__ import annotations

import signal

__all__ = ["default_signals"]


def default_signals() -> None:
    """For a child: whoever started the tests may ignore signals, as a shell does for its background jobs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
