# SPDX-License-Identifier: Apache-2.0
"""Does a model file offer what its family needs? Models are untrusted input: all of it is checked before it
runs.

The graph as such has been proven sound when it was loaded; here its functions must have the inputs, outputs,
resolutions and ranges that the family's code relies on, and no more work per pixel than a decoder should
accept.
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
# What all functions together may take per position of their inputs: multiply-accumulates, elements written.
# The released models take 1.1 million and 12 thousand; one of the paper's size some 40 million and 10^5.
MAX_MACS = 1 << 27
MAX_ELEMENTS = 1 << 20
# What a function may keep per pixel of the tile: elements of its largest value, and bytes of all values that
# live at the same time. The released models take 64 and 512, one of the paper's size 256 and 2048. A tile
# has 64 x 64 pixels: 64 MiB of values, and some 24 bytes an element of temporaries in the NumPy backend.
MAX_LARGEST = 1 << 11
MAX_LIVE = 1 << 14


def layers_and_latents(config: Mapping[str, Any]) -> tuple[list[int], int]:
    """Configuration values ``layers`` and ``latents``; ModelError unless both are sane."""
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
    """ModelError unless a function has these inputs and outputs.

    Parameters
    ----------
    program : of the model's graph.
    name : of the function.
    inputs : channels of each; their declared range must hold all that may come (`RANGES`, by name).
    outputs : channels of each, and log2 of its resolution relative to the inputs. An output that feeds
        another function (``next``) must stay within the range of streams.
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
                f"model: function {name!r}: input {key!r} does not take {channels} channels of {lo}..{hi}"
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
    """ModelError where a tile takes too much work or memory; `check_function` has seen all functions."""
    for name, analysis in program.analysis.items():
        # A position of x is one pixel, and one of a stream or latent at least 2 x 2 of them.
        reads_pixels = any(port.name == "x" for port in program.graph.functions[name].inputs)
        pixels = 1 if reads_pixels else 4
        for what, found, limit in (
            ("elements of its largest value", analysis.largest, MAX_LARGEST),
            ("bytes of values at the same time", analysis.live, MAX_LIVE),
        ):
            if found > limit * pixels:
                raise ModelError(
                    f"model: function {name!r}: {found / pixels:.0f} {what} a pixel, expected at most {limit}"
                )
    for what, total, limit in (
        ("multiply-accumulates", sum(a.macs for a in program.analysis.values()), MAX_MACS),
        ("elements", sum(a.elements for a in program.analysis.values()), MAX_ELEMENTS),
    ):
        if total > limit:
            raise ModelError(f"model: {total} {what} a position, expected at most {limit}")
