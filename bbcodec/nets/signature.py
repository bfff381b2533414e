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
RANGES = {"x": (-2048, 2032), "z": (-8192, 8160), "h": (-STREAM, STREAM)}
MAX_SCALES = 6
MAX_LAYERS = 64
MAX_LATENTS = 256
# The released models take some 10^5 multiply-accumulates a pixel; a hundred times that is still bounded time.
MAX_MACS = 1 << 24


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
    """ModelError where a pixel takes too much work."""
    macs = sum(analysis.macs for analysis in program.analysis.values())
    if macs > MAX_MACS:
        raise ModelError(f"model: {macs} multiply-accumulates a position, expected at most {MAX_MACS}")
