# SPDX-License-Identifier: Apache-2.0
"""What a program sets for itself changes no byte: contexts of `decimal`, hashes, locales, stacks of threads.

The modes of floats, errors of NumPy and warnings are in ``test_float_mode.py``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HELPERS = Path(__file__).resolve().parents[1] / "helpers"

# Tables and files are made by a fresh process, because each process keeps its tables.
_PROGRAM = r"""
import hashlib, sys
exec(sys.argv[1])
import numpy as np
import bbcodec
from bbcodec.coding import logistic_tables
from bbcodec.coding.distributions import cut_mixture
from bbcodec.families.local import tables
from small_pictures import pictures

made = [logistic_tables.sigmoid_table(), logistic_tables.inverse_scale_table(), logistic_tables.guess_table()]
made += [cut_mixture.weight_table(), cut_mixture.inverse_scale_table()]
made += [tables.r1_table(), tables.r2_table(), tables.sigma_table(), tables.log_table(), tables.exp_table()]
for table in made:
    print(hashlib.sha256(table.tobytes()).hexdigest())
picture, graphic = pictures(1, 24, 31, seed=4)[0], np.arange(40 * 60).reshape(40, 60) // 9 % 5
palette = (graphic * 50).astype(np.uint8)
for method, model, image in (
    ("learned", "fast", picture),
    ("learned", "rvae", picture),
    ("learned", "markov", picture),
    ("classic", "photo", picture),
    ("auto", "photo", palette),
):
    metadata = {"dpi": (72.5, 96.25), "text": {"b": "\u0131", "a": "2"}}
    data = bbcodec.compress(image, method=method, model=model, metadata=metadata, threads=2)
    assert np.array_equal(bbcodec.decompress(data, threads=2), image)
    print(hashlib.sha256(data).hexdigest())
"""

_DECIMAL = """
import decimal
for context in (decimal.DefaultContext, decimal.getcontext()):
    context.prec, context.rounding, context.Emin, context.Emax = 2, decimal.ROUND_UP, -3, 3
    context.traps = dict.fromkeys(context.traps, True)
"""

_LOCALE = """
import locale
for name in ("tr_TR.UTF-8", "de_DE.UTF-8", "C"):
    try:
        locale.setlocale(locale.LC_ALL, name)
        break
    except locale.Error:
        pass
"""


def made(setting: str = "", **variables: str) -> list[str]:
    """Return checksums of the tables and of some files of a fresh process."""
    paths = os.pathsep.join([str(HELPERS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, setting],
        env=os.environ | {"PYTHONPATH": paths} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@cache
def normal() -> list[str]:
    return made()


@pytest.mark.parametrize(
    ("setting", "variables"),
    [
        (_DECIMAL, {}),
        (_LOCALE, {}),
        ("import threading; threading.stack_size(256 << 10)", {}),  # glibc's is 8 MiB, musl's 128 KiB
        ("", {"PYTHONHASHSEED": "1"}),
        ("", {"PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2"}),
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
    ids=["decimal", "locale", "stack", "hashes", "optimized", "ascii"],
)
def test_surroundings_change_nothing(setting: str, variables: dict[str, str]) -> None:
    assert made(setting, **variables) == normal()


def test_the_tables_are_those_of_this_process() -> None:
    from bbcodec.coding import logistic_tables

    assert normal()[0] == hashlib.sha256(logistic_tables.sigmoid_table().tobytes()).hexdigest()
