# SPDX-License-Identifier: Apache-2.0
"""A checked model of the family. A model is untrusted input; `DeepModel.from_model` checks it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from bbcodec.errors import ModelError
from bbcodec.families.local.model import FAMILY as LOCAL
from bbcodec.families.local.model import PREDICTORS, LocalModel
from bbcodec.modelfile import Model

FAMILY: Final = "deep"
MAX_PHASED: Final = 10
_PHASED: Final = "phased"
_NOT_DEEP: Final = {"latents", "encoder"}
_TENSORS: Final = frozenset(
    {"first_w", "first_m", "first_b", "hidden_w", "hidden_m", "hidden_b", "out_w", "out_b"}
)


@dataclass(frozen=True, eq=False, slots=True)
class DeepModel:
    """A model of the family.

    Attributes
    ----------
    base : the network and the predictors, as in a model of the family ``local``. Its three channels are
        planes with no, one and two reference planes.
    phased : for each predictor, the number of positions S where phases are told apart.
    """

    base: LocalModel
    phased: tuple[int, int]

    @classmethod
    def from_model(cls, model: Model) -> DeepModel:
        """Check a model file, and return it as a model of the family.

        Raises
        ------
        ModelError
            The model has another family, or a value or tensor is missing or out of range.
        """
        if model.family != FAMILY:
            raise ModelError(f"model: the family is {model.family!r:.60}, expected {FAMILY!r}")
        phased = model.config.get(_PHASED)
        if (
            not isinstance(phased, list)
            or len(phased) != PREDICTORS
            or not all(type(n) is int and 2 <= n <= MAX_PHASED for n in phased)
        ):
            raise ModelError(f"model: phased is {phased!r:.60}, expected two numbers in 2..{MAX_PHASED}")
        if unknown := {*model.tensors} - _TENSORS | _NOT_DEEP & {*model.config}:
            raise ModelError(f"model: a model of this family has no {sorted(unknown)!r:.100}")
        config = {key: value for key, value in model.config.items() if key != _PHASED}
        base = LocalModel.from_model(
            replace(model, family=LOCAL, config=config | {"latents": 0, "encoder": 0})
        )
        first, second = phased
        return cls(base, (first, second))


@lru_cache(maxsize=8)
def deep_model(model: Model) -> DeepModel:
    """Return `DeepModel.from_model` of a model file, with the same errors; the last eight are cached."""
    return DeepModel.from_model(model)
