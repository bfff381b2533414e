# SPDX-License-Identifier: Apache-2.0
"""Stopping a training by a signal, so that it still writes its last checkpoint."""

from __future__ import annotations

import signal


class Stop:
    """Catch SIGINT and SIGTERM from now on, so that the training loop can end by itself.

    Attributes
    ----------
    signal_number : number of the signal that arrived, 0 before.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        for caught in (signal.SIGINT, signal.SIGTERM):
            signal.signal(caught, self._remember)

    @property
    def is_requested(self) -> bool:
        """Return whether a signal arrived."""
        return bool(self.signal_number)

    def _remember(self, number: int, _: object) -> None:
        self.signal_number = number
