# SPDX-License-Identifier: Apache-2.0
"""Which pictures of an archive are coded together, and how each is coded.

Small gray and RGB pictures of 8 bits are coded in batches by a model; all others, and those that the classic
method codes in fewer bytes, are ``.bb`` files of their own. All of it depends on the pictures and the options
alone. Where the results are put is `bbcodec.archive.writer`'s business.
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
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Picture, PictureLike, digest

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["BATCH_PIXELS", "Coder", "Groups", "Item"]

BATCH_PIXELS: Final = 1 << 14
"""Pixels of a batch unless told otherwise: 16 pictures of 32 x 32, a thirtieth of a second to decode."""

_SMALL: Final = 1 << 16  # pixels of a picture that is worth sharing a message


@dataclass(frozen=True, slots=True)
class Item:
    """A picture to be stored under a name, with its digest."""

    name: str
    picture: Picture
    digest: bytes

    @classmethod
    def of(cls, name: str, image: PictureLike, keep_metadata: bool) -> Item:
        """Return the item of a name and a picture; errors as of `bbcodec.compress`."""
        picture = Picture.of(image)
        if not keep_metadata:
            picture = replace(picture, metadata=Metadata())
        if wrong := picture.metadata.problem(picture.mode):
            raise OptionError(f"metadata: {wrong}")
        metadata_sections.check_size(picture.metadata)
        return cls(name, picture, digest(picture))

    @property
    def entry(self) -> Entry:
        """What tables say of the picture."""
        p = self.picture
        return Entry(self.name, p.mode, p.axis, p.height, p.width)

    @property
    def samples(self) -> NDArray[np.uint8]:
        """The pixels, [H, W, C]."""
        pixels = np.ascontiguousarray(self.picture.pixels)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]


@dataclass(frozen=True, slots=True)
class Coded:
    """Pictures in one message, or one picture as a file."""

    items: tuple[Item, ...]
    content: Batch | bytes
    learned: bool


class Groups:
    """Sorts pictures into groups that are coded together.

    Parameters
    ----------
    batch : pictures of a group; 0 for all in one, None for as many as have `BATCH_PIXELS` together.
    side : pixels that a picture's side may have in a group; 0 if none may be in one.
    """

    def __init__(self, batch: int | None, side: int) -> None:
        self._batch, self._side = batch, side
        self._open: dict[str, list[Item]] = {}

    def add(self, item: Item) -> list[list[Item]]:
        """Take a picture; return the groups that are full now."""
        if not shares(item, self._side):
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
        """Return the groups that are not full, and forget them."""
        groups = [group for _, group in sorted(self._open.items())]
        self._open.clear()
        return groups


def shares(item: Item, side: int) -> bool:
    """Whether a picture can share a message with others, where sides may have so many pixels."""
    p = item.picture
    return p.mode in ("L", "RGB") and p.height * p.width <= _SMALL and max(p.size) <= side


def _pixels(group: list[Item]) -> int:
    return sum(item.picture.height * item.picture.width for item in group)


class Coder:
    """Codes groups.

    Parameters
    ----------
    method, model, backend, verify : as for `bbcodec.compress`.
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
        """Pixels that a picture's side may have in a batch."""
        return family_of(self.model).max_side if self.model is not None else 0

    def embedded(self) -> bytes:
        """Return the file of the model."""
        assert self.model is not None
        return model_bytes(self.source, self.model)

    def code(self, group: Sequence[Item], number: int, threads: int) -> list[Coded]:
        """Code a group: a batch of most of its pictures, and files of the rest.

        Parameters
        ----------
        group : of `Groups`.
        number : of the model in the archive.
        threads : that share the work; the bytes do not depend on it.
        """
        if not shares(group[0], self.side):
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
        """The pictures of a group that are to be files of their own."""
        assert isinstance(coded.content, Batch)
        assert self.model is not None
        taken = len(coded.content.message)
        doubtful = [item for item in group if choose.flat_share(item.samples) > choose.MAX_FLAT_SHARE]
        if not choose.batch_is_good(taken, lambda quick: self._classic_size(group, threads, quick)):
            doubtful = list(group)
        out = []
        for item in doubtful:
            bits = learned.estimate_bits(item.samples, self.model, Execution(1, self.backend))
            if 8 * self._classic_size([item], threads) < bits:
                out.append(item)
        return out

    def _classic_size(self, group: Sequence[Item], threads: int, quick: bool = False) -> int:
        """About the bytes that pictures take as files of their own."""
        return sum(
            classic.webp_size(i.samples, quick=quick, threads=threads) + choose.ALONE_OVERHEAD_BYTES
            for i in group
        )

    def _batch(self, group: Sequence[Item], number: int, threads: int) -> Coded:
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
    """Channels of the pictures of a batch."""
    return MODES[content.entries[0].mode].channels
