# SPDX-License-Identifier: Apache-2.0
"""All implementations that this machine supports: backends, and targets of the native one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bbcodec import backends

Choice = tuple[str, str | None]


def choices() -> list[Choice]:
    """Return all available backends; the native one once for each target of this CPU."""
    found: list[Choice] = [(name, None) for name in ("numpy", "numba")]
    if "native" in backends.available():
        from bbcodec import _native

        found += [("native", target) for target in _native.targets()]
    return [choice for choice in found if choice[0] in backends.available()]


def label(choice: Choice) -> str:
    """Return the name of a choice for test ids."""
    return choice[1] or choice[0]


@contextmanager
def chosen(choice: Choice) -> Iterator[str]:
    """Yield the name of the backend, and select its target while the block runs."""
    name, target = choice
    if target is None:
        yield name
        return
    from bbcodec import _native

    before = _native.target()
    _native.set_target(target)
    try:
        yield name
    finally:
        _native.set_target(before)
