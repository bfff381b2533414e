# SPDX-License-Identifier: Apache-2.0
"""The codec ``bbcodec`` for numcodecs: lossless coding of stacks of pictures.

numcodecs finds it by its entry point, without an import: ``numcodecs.get_codec({"id": "bbcodec"})``. Buffers
become arrays here; `bbcodec.arrays.chunks` codes them.
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

    An array is a picture ``[H, W]`` or ``[H, W, C]``, C = 1..4, or a stack of pictures with any number of
    leading axes. All pictures of an array are coded together.

    Parameters
    ----------
    model : str or path
        Name of a released model, id, or path of a ``.bbm`` file. ``thumb`` is made for pictures of about
        32 x 32.
    method : {"auto", "learned", "classic"}
        As for `bbcodec.compress`.
    layout : {"auto", "hw", "hwc", "chw"}
        Axes of a picture, the last ones of the array. ``auto``: ``hwc`` if there are three or more axes and
        the last one has a length of 1 to 4, else ``hw``.
    shape : sequence of int, optional
        Shape of one picture, needed for flat buffers. A buffer may hold several pictures.
    dtype : str, optional
        Type of the samples of a flat buffer of bytes, such as ``"<u2"``. Default: ``uint8``.
    verify : bool
        Decode the result and compare every sample.
    threads : int
        Number of threads for one array; 0 is one for each core. Dask and Zarr already code several chunks at
        a time.

    Raises
    ------
    OptionError
        The model, method or layout is not valid.
    UnsupportedImageError
        Arrays of this shape and type cannot be coded.

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
        """Return the bytes of an array.

        Raises
        ------
        UnsupportedImageError
            The samples are not uint8 or uint16, or a flat buffer does not hold a whole number of pictures.
        ModelMissingError, ModelError
            The model is missing or damaged.
        """
        return chunks.encode(self._array(ensure_ndarray(buf)), self._options(), threads=self.threads)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the encoded array with its shape, type and memory layout, or fill `out`.

        Raises
        ------
        FormatError
            The bytes are damaged.
        ModelMissingError
            The needed model is neither installed nor the one of this codec.
        """
        # The bytes declare their size; the default limits and that of `out` apply.
        array = chunks.decode(ensure_bytes(buf), model=self.model, threads=self.threads)
        return array if out is None else ndarray_copy(array, out)

    def _array(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array as it is, and a flat buffer as a stack of pictures."""
        if array.ndim != 1:
            return array
        if self.shape is None:
            raise UnsupportedImageError(
                "a flat buffer has no picture shape: give an array, or the option shape (and dtype, if it is "
                "not uint8)"
            )
        wanted = np.dtype(self.dtype or "uint8") if array.dtype.itemsize == 1 else array.dtype
        if array.nbytes % (math.prod(self.shape) * wanted.itemsize):
            raise UnsupportedImageError(
                f"a flat buffer of {array.nbytes} bytes is not a whole number of pictures of shape "
                f"{self.shape} and type {wanted}"
            )
        return np.ascontiguousarray(array).view(wanted).reshape(-1, *self.shape)
