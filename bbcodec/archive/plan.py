# SPDX-License-Identifier: Apache-2.0
"""Decide which pictures of an archive are coded together, and code them.

A model codes small 8-bit gray and RGB pictures in batches. All others become ``.bb`` files of their own, and
so do pictures that the classic method codes in fewer bytes. The decisions depend only on the pictures and the
options. `bbcodec.archive.writer` stores the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import api, classic, container
from bbcodec.api import Method
from bbcodec.archive.reader import batch_digest
from bbcodec.archive.tables import Batch, Entry, blob
from bbcodec.bbfile import choose, metadata_sections
from bbcodec.errors import BBCodecError, OptionError
from bbcodec.families import batch, learned
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, model_bytes
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture.picture import MODES, Picture, PictureLike, digest

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["BATCH_PIXELS", "Coder", "Groups", "Item"]

BATCH_PIXELS: Final = 1 << 14
"""Default size of a batch: 16 pictures of 32 x 32, which take a thirtieth of a second to decode."""

_MAX_SHARED_PIXELS: Final = 1 << 16  # pixels; a larger picture gains too little from sharing a message


@dataclass(frozen=True, slots=True)
class Item:
    """A picture to be stored, with its name and digest."""

    name: str
    picture: Picture
    digest: bytes

    @classmethod
    def of(cls, name: str, image: PictureLike, keep_metadata: bool) -> Item:
        """Return the item of a name and a picture. Raise the errors of `bbcodec.compress`."""
        picture = Picture.of(image)
        if not keep_metadata:
            picture = replace(picture, metadata=picture.metadata.essential())
        if wrong := picture.metadata.problem(picture.mode):
            raise OptionError(f"metadata: {wrong}")
        metadata_sections.check_size(picture.metadata)
        return cls(name, picture, digest(picture))

    @property
    def entry(self) -> Entry:
        """Name, mode and size, as tables store them."""
        p = self.picture
        return Entry(self.name, p.mode, p.axis, p.height, p.width)

    @property
    def samples(self) -> NDArray[np.uint8]:
        """The pixels, ``[H, W, C]``."""
        pixels = np.ascontiguousarray(self.picture.pixels)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]


@dataclass(frozen=True, slots=True)
class Coded:
    """A coded group: pictures in one message, or one picture as a file. `learned`: a model coded them."""

    items: tuple[Item, ...]
    content: Batch | bytes
    learned: bool


class Groups:
    """Sort pictures into groups that are coded together.

    Parameters
    ----------
    batch : pictures of a group; 0 puts all in one group, None as many as have `BATCH_PIXELS` together.
    side : longest side of a picture in a group, pixels; 0 if groups are not allowed.
    """

    def __init__(self, batch: int | None, side: int) -> None:
        self._batch, self._side = batch, side
        self._open: dict[str, list[Item]] = {}

    def add(self, item: Item) -> list[list[Item]]:
        """Add a picture; return the groups that are complete now."""
        if not can_share(item, self._side):
            return [[item]]
        mode = item.picture.mode
        full = []
        group = self._open.setdefault(mode, [])
        if group and self._batch is None and _pixels([*group, item]) > BATCH_PIXELS:
            full.append(group)
            group = self._open[mode] = []
        group.append(item)
        most = batch.MAX_PICTURES if not self._batch else self._batch
        if len(group) >= most or (self._batch is None and _pixels(group) >= BATCH_PIXELS):
            full.append(self._open.pop(mode))
        return full

    def rest(self) -> list[list[Item]]:
        """Return and forget the incomplete groups."""
        groups = [group for _, group in sorted(self._open.items())]
        self._open.clear()
        return groups


def can_share(item: Item, side: int) -> bool:
    """Return whether a picture can share a message with others, if sides may have `side` pixels."""
    p = item.picture
    return p.mode in ("L", "RGB") and p.height * p.width <= _MAX_SHARED_PIXELS and max(p.size) <= side


def _pixels(group: list[Item]) -> int:
    return sum(item.picture.height * item.picture.width for item in group)


class Coder:
    """Code groups of pictures.

    Parameters
    ----------
    method, model, backend, verify : as for `bbcodec.compress`.

    Raises
    ------
    OptionError
        The method does not exist.
    ModelMissingError, ModelError
        The model is missing or damaged.
    """

    def __init__(
        self,
        method: Method = "auto",
        model: ModelLike = DEFAULT_MODEL,
        backend: str | None = None,
        verify: bool = True,
    ) -> None:
        if method not in ("auto", "learned", "classic"):
            raise OptionError(f"method is {method!r}, expected 'auto', 'learned' or 'classic'")
        self.method, self.backend, self.verify = method, backend, verify
        self.source = model
        self.model: Model | None = None if method == "classic" else find_model(model)

    @property
    def side(self) -> int:
        """Longest side of a picture in a batch, pixels; 0 without a model."""
        return family_of(self.model).max_side if self.model is not None else 0

    def embedded(self) -> bytes:
        """Return the bytes of the model file."""
        assert self.model is not None
        return model_bytes(self.source, self.model)

    def code(self, group: Sequence[Item], number: int, threads: int) -> list[Coded]:
        """Code a group as a batch, and as files those pictures that the classic method codes in fewer bytes.

        Parameters
        ----------
        group : a group of `Groups`.
        number : number of the model in the archive.
        threads : number of threads; the bytes do not depend on it.

        Raises
        ------
        BBCodecError
            The result does not decode to its pictures.
        """
        if not can_share(group[0], self.side):
            return [self._file(group[0], self.method, threads)]
        chosen, coded = list(group), self._batch(group, number, threads)
        if self.method == "auto":
            better = self._classic_is_better(chosen, coded, threads)
            if better:
                chosen = [item for item in group if item not in better]
                files = [self._file(item, "classic", threads) for item in better]
                return [*([self._batch(chosen, number, threads)] if chosen else []), *files]
        return [coded]

    def _classic_is_better(self, group: list[Item], coded: Coded, threads: int) -> list[Item]:
        """Return the pictures of a group that should be files of their own."""
        assert isinstance(coded.content, Batch)
        assert self.model is not None
        taken = len(coded.content.message)
        doubtful = [item for item in group if choose.flat_share(item.samples) > choose.DOUBTFUL_FLAT_SHARE]
        if not choose.batch_is_good(taken, lambda quick: self._classic_size(group, threads, quick)):
            doubtful = list(group)
        out = []
        for item in doubtful:
            bits = learned.estimate_bits(item.samples, self.model, Execution(1, self.backend))
            if 8 * self._classic_size([item], threads) < bits:
                out.append(item)
        return out

    def _classic_size(self, group: Sequence[Item], threads: int, quick: bool = False) -> int:
        """Estimate the bytes that pictures take as files of their own."""
        return sum(
            classic.webp_size(i.samples, quick=quick, threads=threads) + choose.ALONE_OVERHEAD_BYTES
            for i in group
        )

    def _batch(self, group: Sequence[Item], number: int, threads: int) -> Coded:
        """Code pictures in one message."""
        assert self.model is not None
        images = [item.samples for item in group]
        plain, words = batch.encode_message(images, self.model, Execution(threads, self.backend))
        message = words.astype("<u4").tobytes()
        if self.verify:
            shapes = [image.shape[:2] for image in images]
            back = batch.decode_message(
                plain, message, shapes, images[0].shape[2], self.model, Execution(threads, self.backend)
            )
            if not all(np.array_equal(a, b) for a, b in zip(images, back, strict=True)):
                raise BBCodecError("a batch does not decode to its pictures; please report it")
        content = Batch(
            number,
            batch_digest([item.digest for item in group]),
            tuple(item.entry for item in group),
            tuple(blob(metadata_sections.pack(item.picture.metadata)) for item in group),
            plain,
            message,
        )
        return Coded(tuple(group), content, True)

    def _file(self, item: Item, method: Method, threads: int) -> Coded:
        """Code a picture as a file."""
        if method == "learned" and item.picture.mode in ("1", "P"):
            method = "auto"
        data = api.compress(
            item.picture,
            method=method,
            model=self.source if self.model is None else self.model,
            threads=threads,
            backend=self.backend,
            verify=self.verify,
        )
        return Coded((item,), data, container.read(data).one(container.MODEL) is not None)


def channels(content: Batch) -> int:
    """Return the number of channels of the pictures of a batch."""
    return MODES[content.entries[0].mode].channels
