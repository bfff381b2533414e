# SPDX-License-Identifier: Apache-2.0
"""Budget of a fit in nominal seconds, which depend on the work done and not on the machine.

The same options therefore give the same bytes on slow and fast machines.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bbcodec.jobs import Progress

# Nominal speeds of one core of 2.5 GHz with AVX-512, in pixels of three channels per second.
CODED_PER_SECOND = 450_000.0
LEARNED_PER_SECOND = 33_000.0

Stop = Callable[[], bool]


class Budget:
    """Nominal seconds of a fit; reports progress and asks the caller whether to stop.

    Parameters
    ----------
    seconds : nominal seconds in all.
    progress : called with (work done, work in all), or None.
    stop : asked whether to stop each time that work was counted, or None.

    Attributes
    ----------
    total, spent : nominal seconds in all and so far.
    stopped : whether the caller wants to stop.
    """

    def __init__(self, seconds: float, progress: Progress | None, stop: Stop | None):
        self.total, self.spent, self.stopped = seconds, 0.0, False
        self._progress, self._stop = progress, stop

    def spend(self, seconds: float) -> None:
        """Count work that was done."""
        self.spent += seconds
        if self._progress is not None:
            total = math.ceil(10 * self.total)
            self._progress(min(round(10 * self.spent), total), total)
        self.stopped = self.stopped or (self._stop is not None and self._stop())

    @property
    def left(self) -> float:
        """Return the nominal seconds that are left."""
        return self.total - self.spent


def coding_seconds(pixels: int, channels: int) -> float:
    """Return the nominal time for coding pixels once."""
    return pixels * channels / 3 / CODED_PER_SECOND
