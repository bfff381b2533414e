# SPDX-License-Identifier: Apache-2.0
"""The exact integer engine: graphs of 1-bit and integer convolutions with equal results on every machine.

`graph` holds the operations as data. `bounds` proves that nothing overflows. `reference` defines the results
in NumPy; `jit` and `native` compute the same results faster. `program` executes graphs on the backend that
`bbcodec.backends` chooses. The engine must not know about images, coding or files.
"""

from bbcodec.engine.bounds import Analysis, Value, check_graph
from bbcodec.engine.graph import (
    Add,
    Bconv,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Mul,
    Op,
    Qconv,
    Requantise,
    Sign,
    SpaceToDepth,
    Table,
    Wconv,
)
from bbcodec.engine.program import Program

__all__ = [
    "Add",
    "Analysis",
    "Bconv",
    "DepthToSpace",
    "Function",
    "Graph",
    "Input",
    "Mul",
    "Op",
    "Program",
    "Qconv",
    "Requantise",
    "Sign",
    "SpaceToDepth",
    "Table",
    "Value",
    "Wconv",
    "check_graph",
]
