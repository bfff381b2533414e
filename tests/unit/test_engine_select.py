# SPDX-License-Identifier: Apache-2.0
"""The choice of a backend and of a target."""

from __future__ import annotations

import pytest

from bbcodec import backends
from bbcodec.engine.program import engine_backend
from bbcodec.errors import OptionError


def test_backend_is_chosen_by_name_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BBCODEC_BACKEND", raising=False)
    monkeypatch.delenv("BBCODEC_TARGET", raising=False)
    assert backends.backend_name() == backends.available()[0]
    assert backends.backend_name("numpy") == "numpy"
    assert engine_backend("numpy").name == "numpy"
    monkeypatch.setenv("BBCODEC_BACKEND", "numpy")
    assert backends.backend_name() == "numpy"
    monkeypatch.setenv("BBCODEC_BACKEND", "abacus")
    with pytest.raises(OptionError, match="abacus"):
        backends.backend_name()
    with pytest.raises(OptionError, match="torch"):
        backends.backend_name("torch")


@pytest.mark.skipif("native" not in backends.available(), reason="no native backend")
def test_targets_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from bbcodec import _native

    offered = _native.targets()
    best = max(offered, key=backends.TARGETS.index)
    try:
        for target in (*offered, offered[0], "", offered[0], None):
            if target is None:
                monkeypatch.delenv("BBCODEC_TARGET")
            else:
                monkeypatch.setenv("BBCODEC_TARGET", target)
            assert backends.backend_name("native") == "native"
            assert backends.native_target() == (target or best)
    finally:
        monkeypatch.undo()
        backends.backend_name("native")


def test_unknown_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BBCODEC_TARGET", "sse9")
    with pytest.raises(OptionError, match="sse9"):
        backends.backend_name("native")
