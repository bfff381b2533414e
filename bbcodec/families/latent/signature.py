# SPDX-License-Identifier: Apache-2.0
"""Checks that a model has the functions that its family needs, before any of them runs.

Models are untrusted input. Loading has already proven that the graph is valid. The checks here cover inputs,
outputs, resolutions and ranges, which the code of the family relies on, and the work and memory per pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bbcodec.engine import Program
from bbcodec.errors import ModelError

STREAM = 31 * 256  # streams between functions stay within +-31 in steps of 1/256
RANGES = {"x": (-2048, 2032), "y": (-2048, 2047), "z": (-8192, 8160), "h": (-STREAM, STREAM)}
MAX_SCALES = 6
MAX_LAYERS = 64
MAX_LATENTS = 256
# Limits of all functions together, per position of their inputs: multiply-accumulates, elements written. The
# released models need 1.1 million and 12 thousand; a model of the paper's size some 40 million and 10^5.
MAX_MACS = 1 << 27
MAX_ELEMENTS = 1 << 20
# Limits of one function, per pixel of the tile: elements of its largest value, and bytes of all values alive
# at once. The released models need 64 and 512, a model of the paper's size 256 and 2048. A tile has 64 x 64
# pixels: 64 MiB of values, and some 24 bytes an element of temporaries in the NumPy backend.
MAX_VALUE_ELEMENTS = 1 << 11
MAX_LIVE_BYTES = 1 << 14


def layers_and_latents(config: Mapping[str, Any]) -> tuple[list[int], int]:
    """Return the configuration values ``layers`` and ``latents``.

    Raises
    ------
    ModelError
        One of them is missing, has another type, or is out of range.
    """
    layers, latents = config.get("layers"), config.get("latents")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_SCALES:
        raise ModelError(f"model: layers is {layers!r:.60}, expected a list of 1 to {MAX_SCALES} numbers")
    if not all(type(n) is int and n >= 1 for n in layers) or sum(layers) > MAX_LAYERS:
        raise ModelError(f"model: layers is {layers!r:.60}, expected at most {MAX_LAYERS} in all")
    if type(latents) is not int or not 1 <= latents <= MAX_LATENTS:
        raise ModelError(f"model: latents is {latents!r:.60}, expected 1 to {MAX_LATENTS}")
    return layers, latents


def check_function(
    program: Program, name: str, inputs: Mapping[str, int], outputs: Mapping[str, tuple[int, int]]
) -> None:
    """Check that a function has these inputs and outputs.

    Parameters
    ----------
    program : program of the model's graph.
    name : name of the function.
    inputs : channels of each input. Its declared range must include the range in `RANGES` for its name.
    outputs : channels of each output, and log2 of its resolution relative to the inputs. An output ``next``
        feeds another function, so it must stay within the range of streams.

    Raises
    ------
    ModelError
        The function is missing, or an input or output differs.
    """
    if name not in program.analysis:
        raise ModelError(f"model: function {name!r} is missing")
    function, analysis = program.graph.functions[name], program.analysis[name]
    ports = {port.name: port for port in function.inputs}
    if set(ports) != set(inputs) or set(function.outputs) != set(outputs):
        found = f"{sorted(ports)} -> {sorted(function.outputs)}"
        raise ModelError(
            f"model: function {name!r} is {found}, expected {sorted(inputs)} -> {sorted(outputs)}"
        )
    for key, channels in inputs.items():
        port, (lo, hi) = ports[key], RANGES[key]
        if port.kind != "stream" or port.channels != channels or port.lo > lo or port.hi < hi:
            raise ModelError(
                f"model: function {name!r}: input {key!r} does not accept {channels} channels of {lo}..{hi}"
            )
    for key, (channels, up) in outputs.items():
        value = analysis.values[key]
        if value.kind != "stream" or value.channels != channels or value.up != up:
            raise ModelError(
                f"model: function {name!r}: output {key!r} is not a stream of {channels} channels"
            )
        if key == "next" and (int(value.lo.min()) < -STREAM or int(value.hi.max()) > STREAM):
            raise ModelError(f"model: function {name!r}: output {key!r} may leave ±{STREAM}")


def check_work(program: Program) -> None:
    """Check the work and memory that a tile needs; call it after `check_function` for all functions.

    Raises
    ------
    ModelError
        A limit is exceeded.
    """
    for name, analysis in program.analysis.items():
        # A position of x is one pixel. A position of a stream or latent is at least 2 x 2 pixels.
        reads_pixels = any(port.name == "x" for port in program.graph.functions[name].inputs)
        pixels = 1 if reads_pixels else 4
        for what, found, limit in (
            ("elements of its largest value", analysis.largest, MAX_VALUE_ELEMENTS),
            ("bytes of values at the same time", analysis.live, MAX_LIVE_BYTES),
        ):
            if found > limit * pixels:
                raise ModelError(
                    f"model: function {name!r}: {found / pixels:.0f} {what} per pixel, "
                    f"expected at most {limit}"
                )
    for what, total, limit in (
        ("multiply-accumulates", sum(a.macs for a in program.analysis.values()), MAX_MACS),
        ("elements", sum(a.elements for a in program.analysis.values()), MAX_ELEMENTS),
    ):
        if total > limit:
            raise ModelError(f"model: {total} {what} per position, expected at most {limit}")
