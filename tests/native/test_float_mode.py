# SPDX-License-Identifier: Apache-2.0
"""Every call of the native module computes with floats as the format asks for, whatever is set outside."""

from __future__ import annotations

import numpy as np
import pytest
from float_modes import MODES, float_modes

from bbcodec import _native
from bbcodec.families.local import native
from bbcodec.families.local.model import LocalModel
from bbcodec.modelfile.registry import find


def functions() -> set[str]:
    """Names of all that the module has to call."""
    found = set()
    for name, value in vars(_native).items():
        if isinstance(value, type):
            found |= {
                f"{name}.{key}" for key, member in vars(value).items() if hasattr(member, "__nb_signature__")
            }
        elif callable(value) and not name.startswith("__"):
            found.add(name)
    return found


def test_every_function_is_guarded() -> None:
    names = _native.__normal_floats__
    assert set(names) == functions()
    assert len(names) == len(set(names)) > 30


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", _native.targets())
def test_the_threads_of_a_crew_are_guarded(mode: str, target: str) -> None:
    """Threads inherit the mode of the thread that starts them."""
    model = LocalModel.from_model(find("photo"))
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    before = _native.target()
    _native.set_target(target)
    try:
        expected = native.plan([picture], model)
        native.native_model.cache_clear()
        with float_modes().within(mode):
            found = native.plan([picture], model, threads=3)
    finally:
        _native.set_target(before)
    assert np.array_equal(found, expected)
