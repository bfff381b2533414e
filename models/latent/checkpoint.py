# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of latent-variable networks: build a network, load and save its state.

A checkpoint is a dictionary with the keys ``config``, ``model``, ``optimizer``, ``seconds``, ``steps``,
``curve``, ``arguments`` and, where weights are averaged, ``average``. `pack_checkpoint` makes smaller ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bbcodec.storage.atomic import atomic_write

from ..config import Config, FlowConfig, Recipe, config_from_dict
from .flowpp import FlowPP
from .markov import Markov
from .network import Network
from .rvae import RVAE


def build(config: Recipe) -> Network:
    """Return a network with random weights.

    Raises
    ------
    ValueError
        No network has such a configuration.
    """
    if isinstance(config, FlowConfig):
        return FlowPP(config)
    if isinstance(config, Config):
        return RVAE(config) if config.family == "rvae" else Markov(config)
    raise ValueError(f"configuration must be Config or FlowConfig (got {type(config).__name__})")


def load_checkpoint(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """Return the network in evaluation mode and the checkpoint's dictionary.

    The network has the averaged weights if the checkpoint holds any (``average``), else the raw ones
    (``model``). The file is read with ``weights_only``, so that it cannot run code.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    model = build(config_from_dict(state["config"]))
    model.load_state_dict(state.get("average", state["model"]))
    return model.eval(), state


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint completely or not at all, even if the machine stops during the writing."""
    with atomic_write(path, overwrite=True) as file:
        torch.save(payload, file)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state; a first moment that `pack_checkpoint` left out starts at zero."""
    for moments in state["state"].values():
        moments.setdefault("exp_avg", torch.zeros_like(moments["exp_avg_sq"]))
    optimizer.load_state_dict(state)
