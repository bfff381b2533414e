# SPDX-License-Identifier: Apache-2.0
"""How the commands with `--salvage` say what a damaged file has lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bbcodec.cli.report import Reporter, shown

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Loss

__all__ = ["report_losses"]

_SHOWN = 20
"""Regions of one loss that are put into a message; `--json` has all."""


def report_losses(reporter: Reporter, name: str, lost: Iterable[Loss]) -> list[dict[str, Any]]:
    """Say what was lost of a file, count the file as failed if anything was, and return it for `--json`."""
    records: list[dict[str, Any]] = []
    for loss in lost:
        regions = [f"{x},{y},{w},{h}" for x, y, w, h in loss.regions[:_SHOWN]]
        more = f" and {len(loss.regions) - _SHOWN} more" if len(loss.regions) > _SHOWN else ""
        where = f" at {' '.join(regions)}{more} ({loss.pixels} pixels)" if regions else ""
        how = "doubtful" if loss.doubtful else "lost"
        subject = "damaged" if loss.what == "file" else f"{how}: {loss.what}{where}"
        reporter.error(f"{shown(name)}: {subject}: {shown(loss.reason)}")
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
