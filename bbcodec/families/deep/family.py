# SPDX-License-Identifier: Apache-2.0
"""The family ``deep`` behind the protocol `bbcodec.families.family.Family`, and its coding of arrays.

Its models code samples of up to 16 bits as arrays (`encode_array`). Other families code pictures of 8 bits:
the methods of the protocol that would do so raise `ModelError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer
from bbcodec.errors import FormatError, ModelError
from bbcodec.families.deep import chains as deep_chains
from bbcodec.families.deep import choices
from bbcodec.families.deep.head import Head
from bbcodec.families.deep.model import DeepModel, deep_model
from bbcodec.families.family import Family
from bbcodec.families.stats import EncodedPixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Place

__all__ = ["FAMILY", "cost_of_array", "decode_array", "encode_array"]

Array = NDArray[Any]

_BYTES_PER_SAMPLE: Final = 40  # memory for a chain while it is decoded
_BLOCK_PIXELS: Final = 1 << 20


def encode_array(
    array: Array, model: Model, execution: Execution, *, colours: int, group: int = 1
) -> tuple[Head, EncodedPixels]:
    """Encode an array of integers ``[T, C, H, W]`` that have at most 65,536 values in each channel.

    Parameters
    ----------
    array : samples; int64 holds them all.
    model : a model of this family.
    execution : threads and backend; the bytes do not depend on it.
    colours : the first channels, which are coded together; 3 are R, G, B.
    group : frames of a group.
    """
    checked = deep_model(model)
    head = choices.head_for(array, checked, colours=colours, group=group)
    return head, deep_chains.encode(array, head, checked, execution)


def decode_array(
    chains: Sequence[Buffer],
    head: Head,
    shape: tuple[int, int, int, int],
    dtype: Any,
    model: Model,
    execution: Execution,
    *,
    wanted: Sequence[int] | None = None,
    lost: Lost | None = None,
) -> Array:
    """Decode an array; see `bbcodec.families.deep.chains.decode`.

    Raises
    ------
    FormatError
        The chains do not fit the head and the shape, or are damaged, or the model is of another family.
    """
    return deep_chains.decode(
        chains, head, shape, dtype, _model_of(model), execution, wanted=wanted, lost=lost
    )


def cost_of_array(array: Array, head: Head, model: Model, execution: Execution) -> NDArray[np.float32]:
    """Return the cost of every pixel, all frames and channels together, in bits: float32 [H, W]."""
    return deep_chains.cost(array, head, _model_of(model), execution)


def _model_of(model: Model) -> DeepModel:
    if model.family != "deep":
        raise FormatError(
            f"the samples need a model of the family 'deep', the file names one of {model.family!r}"
        )
    return deep_model(model)


class _Deep:
    max_side = 1024
    cost_unit = "pixel"
    fitter: str | None = None
    universal = False
    deep = True

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ModelError("models of the family 'deep' code samples of 16 bits; for 8 bits take another model")

    encode = decode = payloads = cost_map = estimate_bits = encode_batch = decode_batch = _refuse

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]:
        """Raise ModelError: only the head of an array says what its chains code."""
        self._refuse()

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        """Return facts that need no decoding: the number of chains."""
        return {"chains": len(chains)}

    def prepare(self, model: Model, execution: Execution) -> None:
        """Code one pixel, which builds the tables and layers of the model."""
        encode_array(np.arange(2).reshape(1, 1, 1, 2), model, execution, colours=1)

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights, and the number of all other integers."""
        hidden = model.tensors.get("hidden_w")
        others = sum(tensor.size for tensor in model.tensors.values() if tensor.dtype != np.uint64)
        return (0 if hidden is None else 64 * hidden.size), others

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model."""
        return min(pixels, threads * _BLOCK_PIXELS) * _BYTES_PER_SAMPLE

    def read_fit(self, payload: Buffer, offset: int = 0) -> NoReturn:
        """Raise FormatError: the family has no fits."""
        raise FormatError("section FITT: models of the family 'deep' have no fits")


FAMILY: Final[Family] = _Deep()
