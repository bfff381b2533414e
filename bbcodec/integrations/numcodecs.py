# SPDX-License-Identifier: Apache-2.0
"""The numcodecs codec ``bbcodec``: stacks of pictures as bytes, losslessly.

numcodecs finds it by the entry point, without any import: ``numcodecs.get_codec({"id": "bbcodec"})``. Buffers
become arrays here; the bytes are made by `bbcodec.arrays.chunks`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy
from numpy.typing import NDArray

from bbcodec.api import Method
from bbcodec.arrays import chunks
from bbcodec.arrays.chunks import Layout
from bbcodec.errors import UnsupportedImageError
from bbcodec.modelfile.registry import DEFAULT_MODEL

__all__ = ["BBCodec"]


class BBCodec(Codec):
    """Lossless codec for uint8 and uint16 arrays of pictures.

    An array is a picture ``[H, W]`` or ``[H, W, C]``, C = 1..4, or a stack of such, with any number of
    leading axes. All pictures of an array are coded together.

    Parameters
    ----------
    model : str or path
        Released name, id, or path of a ``.bbm`` file; ``thumb`` is made for pictures of 32 x 32 and the like.
    method : {"auto", "learned", "classic"}
        As for `bbcodec.compress`.
    layout : {"auto", "hw", "hwc", "chw"}
        Which axes, the last ones, are a picture's. ``auto``: ``hwc`` if there are three or more and the last
        has a length of 1 to 4, else ``hw``.
    shape : sequence of int, optional
        Shape of one picture, for flat buffers: as many pictures as the buffer has.
    dtype : str, optional
        Of the samples of a flat buffer of bytes, such as ``"<u2"``; ``uint8`` if not given.
    verify : bool
        Decode what was coded and compare every sample.
    threads : int
        Within one array; 0 for all cores. Dask and Zarr code several chunks at a time already.

    Raises
    ------
    OptionError
        An option that does not exist or makes no sense.

    Examples
    --------
    >>> codec = BBCodec(model="thumb")
    >>> stack = np.zeros((2, 8, 8, 3), np.uint8)
    >>> np.array_equal(codec.decode(codec.encode(stack)), stack)
    True
    """

    codec_id: ClassVar[str] = "bbcodec"

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        method: Method = "auto",
        layout: Layout = "auto",
        shape: Sequence[int] | None = None,
        dtype: str | None = None,
        verify: bool = True,
        threads: int = 1,
    ) -> None:
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.method, self.layout = method, layout
        self.shape = None if shape is None else [int(length) for length in shape]
        self.dtype = None if dtype is None else np.dtype(dtype).str
        self.verify, self.threads = verify, threads
        self._options()
        if self.shape is not None:
            chunks.check(tuple(self.shape), np.dtype(self.dtype or "uint8"), layout)

    def _options(self) -> chunks.Options:
        return chunks.Options(self.model, self.method, self.layout, self.verify)

    def encode(self, buf: Any) -> bytes:
        """Return an array as bytes.

        Raises
        ------
        UnsupportedImageError
            Not uint8 or uint16, or a flat buffer that is no whole number of pictures.
        """
        return chunks.encode(self._array(ensure_ndarray(buf)), self._options(), threads=self.threads)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the array that was encoded, of the same shape, type and memory layout; or fill `out`.

        Raises
        ------
        FormatError
            The bytes are damaged.
        ModelMissingError
            The model is not installed, and not the one of this codec.
        """
        # The result says its size itself, so there is no limit other than that of `out`.
        array = chunks.decode(ensure_bytes(buf), model=self.model, threads=self.threads)
        return array if out is None else ndarray_copy(array, out)

    def _array(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim != 1:
            return array
        if self.shape is None:
            raise UnsupportedImageError(
                "a flat buffer does not say how large its pictures are: give an array, or the option shape "
                "(and dtype, if it is not uint8)"
            )
        wanted = np.dtype(self.dtype or "uint8") if array.dtype.itemsize == 1 else array.dtype
        if array.nbytes % (math.prod(self.shape) * wanted.itemsize):
            raise UnsupportedImageError(
                f"a flat buffer of {array.nbytes} bytes is no whole number of pictures of shape {self.shape} "
                f"and type {wanted}"
            )
        return np.ascontiguousarray(array).view(wanted).reshape(-1, *self.shape)
