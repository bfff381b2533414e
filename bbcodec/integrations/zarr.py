# SPDX-License-Identifier: Apache-2.0
"""The codec ``bbcodec`` for Zarr v3: lossless coding of chunks of pictures.

Zarr finds it by its entry point, without an import: ``serializer={"name": "bbcodec", "configuration": {}}``.
`bbcodec.arrays.chunks` codes the chunks.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration

from bbcodec.arrays import chunks
from bbcodec.arrays.chunks import Options
from bbcodec.errors import FormatError, OptionError

__all__ = ["BBCodec"]

_FIELDS = ("model", "method", "layout", "verify")


@dataclass(frozen=True)
class BBCodec(ArrayBytesCodec):
    """Array-to-bytes codec for chunks of numbers: give it as ``serializer``, not as a compressor.

    A chunk is a picture ``[H, W]`` or ``[H, W, C]``, or a stack of pictures with any number of leading axes.
    All pictures of a chunk are coded together in one thread: Zarr codes several chunks at a time.
    docs/zarr-codec specifies the codec.

    Parameters
    ----------
    model, method, layout, verify : as for `bbcodec.arrays.chunks.Options`; the model by name or path.

    Raises
    ------
    OptionError
        An option does not exist, or its value is not valid.
    """

    is_fixed_size = False

    options: Options

    def __init__(self, **options: Any) -> None:
        if unknown := options.keys() - set(_FIELDS):
            raise OptionError(f"codec bbcodec: unknown options {sorted(unknown)}, expected {list(_FIELDS)}")
        if isinstance(options.get("model"), os.PathLike):
            options["model"] = os.fspath(options["model"])
        object.__setattr__(self, "options", Options(**options))

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """Return the codec that array metadata describe."""
        _, configuration = parse_named_configuration(data, "bbcodec", require_configuration=False)
        return cls(**(configuration or {}))

    def to_dict(self) -> dict[str, JSON]:
        """Return the codec's entry in array metadata."""
        configuration = {name: getattr(self.options, name) for name in _FIELDS}
        return {"name": "bbcodec", "configuration": configuration}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise `UnsupportedImageError` if chunks of such an array cannot be coded.

        Lengths of axes are checked when a chunk is coded: they need not be those of the array.
        """
        chunks.check_kind(len(shape), dtype.to_native_dtype(), self.options.layout)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Raise `NotImplementedError`: the size depends on the pictures."""
        raise NotImplementedError

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        data = chunks.encode(np.asarray(chunk_data.as_ndarray_like()), self.options)
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        array = chunks.decode(chunk_data.to_bytes(), model=self.options.model)
        wanted = chunk_spec.dtype.to_native_dtype()
        if array.shape != chunk_spec.shape or array.dtype.newbyteorder("=") != wanted.newbyteorder("="):
            raise FormatError(
                f"the chunk holds {array.dtype} {list(array.shape)}, the array expects {wanted} "
                f"{list(chunk_spec.shape)}"
            )
        stored = array.astype(wanted, order=cast("Any", chunk_spec.order), copy=False)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(cast("Any", stored))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)
