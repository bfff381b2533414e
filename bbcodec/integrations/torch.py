# SPDX-License-Identifier: Apache-2.0
"""A PyTorch dataset over an archive. `bbcodec.archive` reads the pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from bbcodec.archive import Archive

__all__ = ["ArchiveDataset"]


class ArchiveDataset(Dataset[tuple[Any, str]]):
    """The pictures of an archive as tensors, each with its name.

    Every worker process of a ``DataLoader`` opens the archive itself, however it was started.

    Parameters
    ----------
    archive : path, `bbcodec.Archive`, or Mapping of names to arrays
        An `Archive` must be open for reading by its path; it is opened once more.
    transform : callable, optional
        Applied to each tensor.
    names : iterable of str, optional
        Pictures to use, in this order. Default: all, in the order of the archive.

    Raises
    ------
    FormatError
        The file is not an archive, or a damaged one.
    KeyError
        A name is not in the archive.
    TypeError
        The `Archive` cannot be opened again.

    Examples
    --------
    >>> data = ArchiveDataset({"a": np.zeros((4, 6, 3), np.uint8)})
    >>> tensor, name = data[0]
    >>> len(data), name, tuple(tensor.shape), tensor.dtype
    (1, 'a', (3, 4, 6), torch.uint8)
    """

    def __init__(
        self,
        archive: str | os.PathLike[str] | Mapping[str, NDArray[Any]],
        transform: Callable[[torch.Tensor], Any] | None = None,
        *,
        names: Iterable[str] | None = None,
    ) -> None:
        self.transform = transform
        self._pictures: Mapping[str, NDArray[Any]] | None = None
        self._open: Callable[[], Archive] | None = None
        if isinstance(archive, str | os.PathLike):
            self._open = partial(Archive, archive, threads=1)
        elif isinstance(archive, Archive):
            make, given = archive.__reduce__()
            self._open = partial(make, *given)
        else:
            self._pictures = archive
        self._process = os.getpid()
        pictures = self._archive()
        self.names = list(pictures if names is None else names)
        if missing := [name for name in self.names if name not in pictures]:
            raise KeyError(missing[0])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Any, str]:
        """Return the tensor of a picture and its name.

        Before `transform`, the tensor is ``[C, H, W]``, uint8 or, for 16-bit pictures, uint16. Gray and
        bilevel pictures have one channel; bilevel samples are 0 and 255. Palettes become RGB or RGBA.

        Raises
        ------
        FormatError, ModelMissingError
            The picture is damaged, or its model is missing.
        """
        name = self.names[index]
        tensor = torch.from_numpy(_planes(self._archive(), name))
        return (tensor if self.transform is None else self.transform(tensor)), name

    def close(self) -> None:
        """Close the archive if it was opened here. The next item opens it again."""
        if getattr(self, "_open", None) is not None and isinstance(self._pictures, Archive):
            self._pictures.close()
            self._pictures = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pictures": None if self._open is not None else self._pictures}

    def _archive(self) -> Mapping[str, NDArray[Any]]:
        """Return the archive of this process: an open file must not be shared with a parent process."""
        if self._open is not None and self._process != os.getpid():
            self.close()
            self._process = os.getpid()
        if self._pictures is None:
            assert self._open is not None
            self._pictures = self._open()
        return self._pictures


def _planes(archive: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Return the samples of a picture, ``[C, H, W]``, contiguous and writable."""
    picture = archive.picture(name) if hasattr(archive, "picture") else None
    if picture is not None and picture.mode == "P":
        seen = picture.to_pil()
        samples = np.asarray(seen.convert("RGBA" if "transparency" in seen.info else "RGB"))
    else:
        samples = archive[name] if picture is None else picture.array
    if samples.dtype == np.bool_:
        samples = samples.astype(np.uint8) * np.uint8(255)
    planes = samples[None] if samples.ndim == 2 else np.moveaxis(samples, -1, 0)
    return np.array(planes, order="C")
