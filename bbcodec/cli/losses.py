# SPDX-License-Identifier: Apache-2.0
"""How commands with `--salvage` report what a damaged file has lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from bbcodec.cli.report import Reporter, shown

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Loss

__all__ = ["report_losses"]

MAX_REGIONS: Final = 20
"""Regions of one loss that a message lists. `--json` has all of them."""


def report_losses(reporter: Reporter, name: str, lost: Iterable[Loss]) -> list[dict[str, Any]]:
    """Print what a file has lost, count it as failed if that is anything, and return its losses for JSON."""
    records: list[dict[str, Any]] = []
    for loss in lost:
        regions = [f"{x},{y},{w},{h}" for x, y, w, h in loss.regions[:MAX_REGIONS]]
        more = f" and {len(loss.regions) - MAX_REGIONS} more" if len(loss.regions) > MAX_REGIONS else ""
        where = f" at {' '.join(regions)}{more} ({loss.pixels} pixels)" if regions else ""
        how = "doubtful" if loss.doubtful else "lost"
        subject = "damaged" if loss.what == "file" else f"{how}: {loss.what}{where}"
        reporter.error(f"{subject}: {shown(loss.reason)}", shown(name))
        records.append(
            {
                "what": loss.what,
                "reason": loss.reason,
                "regions": [list(region) for region in loss.regions],
                "doubtful": loss.doubtful,
            }
        )
    reporter.failures += bool(records)
    return records
