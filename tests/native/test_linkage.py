# SPDX-License-Identifier: Apache-2.0
"""Code for one instruction set stays in its files.

Of a function that several object files define weakly, such as an instance of a template of the standard
library, the linker keeps any one. So files that are compiled for AVX2 or AVX-512 must not define weak
functions with vector instructions: a CPU without them might run these.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BUILDS = Path(__file__).resolve().parents[2] / "build"
OBJECTS = sorted(
    path
    for path in BUILDS.glob("cp*/CMakeFiles/bbcodec_core.dir/native/core/**/x86/*.o")
    if path.name not in ("cpu.cpp.o", "sse2.cpp.o")
)
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
VECTOR = re.compile(r"\t(?P<instruction>v[a-z0-9]+) ")

if not OBJECTS:
    pytest.skip("no object files of an x86-64 build below build/", allow_module_level=True)
if shutil.which("nm") is None or shutil.which("objdump") is None:
    pytest.skip("nm and objdump are not installed", allow_module_level=True)


def weak_functions(path: Path) -> set[str]:
    lines = subprocess.run(["nm", str(path)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {words[2] for line in lines if len(words := line.split()) == 3 and words[1] in "WVu"}


def with_vectors(path: Path) -> set[str]:
    """Functions that have an instruction of AVX and later, all of which start with v."""
    text = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found, name = set(), ""
    for line in text.splitlines():
        if start := FUNCTION.match(line):
            name = start["name"]
        elif VECTOR.search(line):
            found.add(name)
    return found


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: "/".join(path.parts[-4:]))
def test_weak_functions_have_no_vector_instructions(path: Path) -> None:
    vectors = with_vectors(path)
    assert vectors, "the file is compiled without its instruction set"
    assert not weak_functions(path) & vectors
