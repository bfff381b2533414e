# SPDX-License-Identifier: Apache-2.0
"""Execute functions of a graph on a backend.

This module validates inputs, frees values after their last use, and splits a batch over threads. The
arithmetic belongs to the backends; `bbcodec.backends` alone chooses among them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.backends import backend_name
from bbcodec.engine import bits
from bbcodec.engine.bounds import Analysis, Value, check_graph
from bbcodec.engine.graph import Function, Graph, Input, Op, Tensors, reads
from bbcodec.errors import ModelError
from bbcodec.jobs import parallel

Array: TypeAlias = NDArray[Any]
Kernel: TypeAlias = Callable[..., Array]


# A map of this size, the next map and some weights fit the second level cache of most machines.
_CACHE_BYTES = 1 << 19


class Step(NamedTuple):
    """One step of a program: ``values[out] = run(*(values[name] for name in reads))``."""

    reads: tuple[str, ...]
    out: str
    run: Kernel


class Backend(Protocol):
    """Interface of a backend module."""

    name: str

    def steps(self, function: Function, tensors: Tensors, values: Mapping[str, Value]) -> list[Step]:
        """Bind a checked function to its tensors. A backend may merge operations into one step."""
        ...


def plain_steps(
    prepare: Callable[[Op, Tensors, int], Kernel],
    function: Function,
    tensors: Tensors,
    values: Mapping[str, Value],
) -> list[Step]:
    """Return one step per operation, for backends that merge nothing. Equal operations share one kernel."""
    kernels: dict[tuple[Any, ...], Kernel] = {}
    steps: list[Step] = []
    for op in function.ops:
        channels = values[op.x].channels
        options = (getattr(op, item.name) for item in fields(op) if item.name not in (*op.reads, "out"))
        key = (op.tag, channels, *options)
        if key not in kernels:
            kernels[key] = prepare(op, tensors, channels)
        steps.append(Step(reads(op), op.out, kernels[key]))
    return steps


_MODULES: Final = {
    "native": "bbcodec.engine.native",
    "numba": "bbcodec.engine.jit",
    "numpy": "bbcodec.engine.reference",
}


def engine_backend(name: str | None = None) -> Backend:
    """Return the module of a backend; None chooses the default (`bbcodec.backends.backend_name`).

    Raises
    ------
    OptionError
        The backend is unknown or not available.
    """
    return cast(Backend, importlib.import_module(_MODULES[backend_name(name)]))


class Program:
    """A graph that is checked and bound to a backend.

    Parameters
    ----------
    graph : Graph
    backend : name of a backend, or None for the best one (`bbcodec.backends`)
    threads : int
        Number of threads of a call; the images of a batch are split over them. The result never depends on
        it.

    Raises
    ------
    ModelError
        The graph fails the static check.
    OptionError
        The backend is unknown or not available.
    """

    def __init__(self, graph: Graph, backend: str | None = None, threads: int = 1) -> None:
        self.graph = graph
        self.threads = max(1, threads)
        self.analysis: dict[str, Analysis] = check_graph(graph)
        self._backend = engine_backend(backend)
        self._plans: dict[str, _Plan] = {}

    @property
    def backend(self) -> str:
        """Return the name of the backend that runs this program."""
        return self._backend.name

    def __call__(self, function: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a function.

        Parameters
        ----------
        function : name of the function
        inputs : one array per declared input; int16 [N, H, W, C] or uint64 [N, H, W, ceil(C / 64)]

        Returns
        -------
        dict of the declared outputs. Never change them in place: they may be inputs.

        Raises
        ------
        KeyError
            The graph has no such function.
        ValueError
            Inputs are missing, unknown, of the wrong shape or dtype, or outside their declared range.
        ModelError
            The sizes of the maps do not fit the graph (for example, an odd side before `SpaceToDepth`).
        """
        plan = self._plan(function)
        arrays = plan.validated(inputs)
        batch = next(iter(arrays.values())).shape[0]
        parts = min(batch, max(self.threads, -(-batch // plan.images_at_once(arrays))))
        if parts == 1:
            return plan.run(arrays)
        edges = [batch * i // parts for i in range(parts + 1)]
        slices = [slice(lo, hi) for lo, hi in pairwise(edges)]

        def run(part: slice) -> dict[str, Array]:
            return plan.run({name: array[part] for name, array in arrays.items()})

        if self.threads == 1:
            done = [run(part) for part in slices]
        else:
            done = parallel(run, slices, self.threads)
        return {name: np.concatenate([result[name] for result in done]) for name in done[0]}

    def _plan(self, function: str) -> _Plan:
        # Two threads may build the same plan at once. Both plans are equal, so either may be kept.
        if function not in self._plans:
            analysis = self.analysis[function]
            body = self.graph.functions[function]
            steps = self._backend.steps(body, self.graph.tensors, analysis.values)
            self._plans[function] = _Plan(function, body, analysis, steps)
        return self._plans[function]


class _Plan:
    """Steps of one function, each with the values that no later step reads."""

    def __init__(self, name: str, function: Function, analysis: Analysis, steps: list[Step]) -> None:
        self.name = name
        self.function = function
        self.analysis = analysis
        seen = set(function.outputs)
        plan: list[tuple[Step, list[str]]] = []
        for step in reversed(steps):
            dead = [value for value in {*step.reads, step.out} if value not in seen]
            seen.update(dead)
            plan.append((step, dead))
        self.steps = plan[::-1]
        values = analysis.values.values()
        self.bytes_per_pixel = max(2 * value.channels * 4.0**value.up for value in values)

    def images_at_once(self, arrays: Mapping[str, Array]) -> int:
        """Return how many images fit the cache with their largest map, so that steps do not go to memory."""
        pixels = max(array.shape[1] * array.shape[2] for array in arrays.values())
        return max(1, int(_CACHE_BYTES / (self.bytes_per_pixel * pixels)))

    def validated(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the inputs as contiguous arrays; raise `ValueError` if they do not fit the declaration."""
        declared = {port.name: port for port in self.function.inputs}
        if set(inputs) != set(declared):
            raise ValueError(f"{self.name}: inputs {sorted(inputs)}, expected {sorted(declared)}")
        arrays = {name: self._input(declared[name], array) for name, array in inputs.items()}
        batches = {array.shape[0] for array in arrays.values()}
        if len(batches) != 1:
            raise ValueError(f"{self.name}: inputs of different batch sizes {sorted(batches)}")
        return arrays

    def _input(self, port: Input, array: Array) -> Array:
        where = f"{self.name}: input {port.name!r}"
        is_stream = port.kind == "stream"
        dtype = np.dtype(np.int16 if is_stream else np.uint64)
        depth = port.channels if is_stream else bits.words(port.channels)
        if array.dtype != dtype or array.ndim != 4 or array.shape[3] != depth or array.size == 0:
            raise ValueError(
                f"{where} is {array.dtype} {list(array.shape)}, expected {dtype} [N, H, W, {depth}]"
            )
        if is_stream:
            lo, hi = int(array.min()), int(array.max())
            if lo < port.lo or hi > port.hi:
                raise ValueError(f"{where} has values in [{lo}, {hi}], expected [{port.lo}, {port.hi}]")
        elif np.any(array[..., -1] & np.uint64(bits.spare_mask(port.channels))):
            raise ValueError(f"{where}: spare bits are not 0")
        return np.ascontiguousarray(array)

    def run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Run all steps on validated arrays, and return the outputs."""
        live = dict(arrays)
        for step, dead in self.steps:
            args = [live[name] for name in step.reads]
            self._check_sizes(step, args)
            live[step.out] = step.run(*args)
            for name in dead:
                del live[name]
        return {name: live[name] for name in self.function.outputs}

    def _check_sizes(self, step: Step, args: list[Array]) -> None:
        """Raise `ModelError` if the sides of the maps do not fit, which the static check cannot know."""
        shape = args[0].shape[:3]
        if any(arg.shape[:3] != shape for arg in args):
            shapes = ", ".join(
                f"{name} {list(arg.shape)}" for name, arg in zip(step.reads, args, strict=True)
            )
            raise ModelError(f"{self.name}: {step.out!r} reads maps of different sizes: {shapes}")
        ups = [self.analysis.values[name].up for name in (step.reads[0], step.out)]
        if ups[1] < ups[0] and (shape[1] % 2 or shape[2] % 2):
            raise ModelError(f"{self.name}: {step.out!r} halves a map with odd sides {shape[1]} x {shape[2]}")
