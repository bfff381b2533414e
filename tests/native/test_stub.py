# SPDX-License-Identifier: Apache-2.0
"""The stub of the native module names what the module has: the same functions, methods and parameters."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import bbcodec
from bbcodec import _native

STUB = Path(bbcodec.__file__).with_name("_native.pyi")
# Types of dicts, which exist for type checkers.
TYPES_ALONE = {"DeepModelFields", "LocalModelFields", "LogLinearLayerFields"}

Signatures = dict[str, list[str]]


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def of_stub() -> Signatures:
    found: Signatures = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = parameters(node)
        elif isinstance(node, ast.ClassDef) and node.name not in TYPES_ALONE:
            for member in node.body:
                assert isinstance(member, ast.FunctionDef)
                found[f"{node.name}.{member.name}"] = parameters(member)
    return found


def signature(function: Any) -> list[str]:
    """Parameter names as nanobind tells them: types have brackets, and numbers stand for defaults."""
    (text, *_), *others = function.__nb_signature__
    assert not others, "overloads are not expected"
    text = re.sub(r"\\\d+", "0", text)
    while "[" in text:
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    (node,) = ast.parse(f"{text}: ...").body
    assert isinstance(node, ast.FunctionDef)
    return parameters(node)


def of_module() -> Signatures:
    found: Signatures = {}
    for name, value in vars(_native).items():
        if name.startswith("__"):
            continue
        if isinstance(value, type):
            for key, member in vars(value).items():
                if hasattr(member, "__nb_signature__"):
                    found[f"{name}.{key}"] = signature(member)
        else:
            found[name] = signature(value)
    return found


def test_the_stub_and_the_module_have_the_same_names() -> None:
    assert of_stub() == of_module()
