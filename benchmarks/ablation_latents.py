# SPDX-License-Identifier: Apache-2.0
"""Rows of `ablation.py` for small pictures: gain and cost of the latents of the profile `thumb`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rates_sets import SETS

from bbcodec import modelfile
from bbcodec.coding.distributions.logistic import bits
from bbcodec.engine.graph import Graph
from bbcodec.errors import BBCodecError
from bbcodec.families import batch
from bbcodec.families.latent.pixels import LATENT_CENTRE, LATENT_SYMBOLS, prior_parameters
from bbcodec.families.local import groups, latents
from bbcodec.families.local.codec import Pixels, implementation
from bbcodec.families.local.model import LocalModel
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

CONTROL = Path(__file__).resolve().parents[1] / "models/candidates/thumb_control.pt"
LATENT_PREFIXES = ("statistics_", "encoder_", "posterior_", "latent_", "side_")  # names of their tensors


def sets(data: Path, limit: int | None) -> Iterator[tuple[str, list[Pixels]]]:
    """Yield title and pictures of each set of small pictures."""
    for name in ("cifar", "thumbs"):
        found = SETS[name](data, limit)
        yield found.title, found.images


def rows(images: Sequence[Pixels], threads: int) -> Iterator[tuple[str, float, str]]:
    """Yield title, bits/dim and note: `thumb` with and without its latents, and a model trained without."""
    model = modelfile.load_named("thumb")
    note = f"of this the latents' KL {kl(images, model, threads):.4f} bits/dim"
    yield "`thumb`, one batch", rate(images, model, threads), note
    bare = without_latents(model)
    yield "no latents, the same head", rate(images, bare, threads), "map of positions kept"
    placeless = without_latents(model, "positions")
    yield "no latents, no map of positions", rate(images, placeless, threads), "the same head"
    if CONTROL.is_file():
        try:
            trained = control()
        except ImportError:
            return
        yield "trained alike without latents", rate(images, trained, threads), "with a map of positions"


def rate(images: Sequence[Pixels], model: Model, threads: int) -> float:
    """Return the bits/dim of one batch, every byte counted, after a verified round trip."""
    data = batch.encode(images, model, execution=Execution(threads=threads))
    decoded = batch.decode(data, model, execution=Execution(threads=threads))
    if not all(np.array_equal(a, b) for a, b in zip(decoded, images, strict=True)):
        raise BBCodecError("batch: the decoded pictures differ")
    return 8 * len(data) / sum(image.size for image in images)


def without_latents(model: Model, *more: str) -> Model:
    """Return a model without its latents, and without the tensors named in `more`."""
    kept = (name for name in model.tensors if not name.startswith(LATENT_PREFIXES) and name not in more)
    tensors = {name: model.tensors[name] for name in kept}
    config: dict[str, Any] = {**model.config, "latents": 0, "encoder": 0}
    return modelfile.load(modelfile.dump(model.family, config, Graph({}, {}), tensors))


def control() -> Model:
    """Return the candidate trained like `thumb`, but with z = 0.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    """
    from bbcodec.models.local.export import export, load_checkpoint
    from bbcodec.models.local.latents import load

    head, state = load_checkpoint(CONTROL)
    released = modelfile.load_named("thumb").config["rate_q"] / 2**20
    return modelfile.load(export(head, {}, released, state["prior"].numpy(), load(state)))


def kl(images: Sequence[Pixels], model: Model, threads: int) -> float:
    """Return the KL divergence of posteriors from priors in bits/dim, exact for the coder's frequencies."""
    local = LocalModel.from_model(model)
    assert local.latents is not None
    mean, log2 = np.split(local.latents.prior, 2)
    p_mean, p_e = prior_parameters(mean, log2)
    centre, symbols = 64 * LATENT_CENTRE, np.arange(LATENT_SYMBOLS)[:, None]
    shape = (LATENT_SYMBOLS, len(mean))
    symbols = np.broadcast_to(symbols, shape)
    of_prior = bits(
        symbols, np.broadcast_to(p_mean + centre, shape), np.broadcast_to(p_e, shape), LATENT_SYMBOLS
    )
    total = 0.0
    for part in groups.groups([image.shape[:2] for image in images]):
        blocks = [np.ascontiguousarray(image) for image in images[part]]
        statistics = implementation().survey(blocks, local, threads)
        means, scales = latents.encode(local.latents, statistics, [b.shape[:2] for b in blocks])
        for m, e in zip(means, scales, strict=True):
            of_posterior = bits(
                symbols, np.broadcast_to(m + centre, shape), np.broadcast_to(e, shape), LATENT_SYMBOLS
            )
            total += float((2.0**-of_posterior * (of_prior - of_posterior)).sum())
    return total / sum(image.size for image in images)
