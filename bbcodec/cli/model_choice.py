# SPDX-License-Identifier: Apache-2.0
"""Which model a command line means: levels -1 to -9, names, and their completion in a shell.

Nothing here loads a model. Shells ask for completions at every Tab, so NumPy is not imported for them.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final, cast

from typer.core import TyperCommand

from bbcodec.cli.hints import did_you_mean
from bbcodec.cli.report import refuse, shown

__all__ = ["LevelCommand", "check_model", "choose_model", "complete_level", "complete_model"]

LEVELS: Final = range(1, 10)
MODELS: Final = {3: "quick", 7: "standard", 9: "best"}
"""Released models by the last level that means them."""

_MODEL_SUFFIX: Final = ".bbm"
_ID: Final = re.compile("[0-9a-f]{8,64}")


class LevelCommand(TyperCommand):
    """A command whose parameter `level` is also set by `-1` to `-9`."""

    def make_parser(self, ctx: Any) -> Any:
        """Return the parser of the command, with an option for each level."""
        parser = super().make_parser(ctx)
        for parameter in self.params:
            if parameter.name == "level":
                for level in LEVELS:
                    cast("Any", parser).add_option(
                        parameter, [f"-{level}"], "level", action="store_const", const=str(level)
                    )
        return parser


def choose_model(method: str, model: str | None, level: int | None, *, fast: bool) -> str | None:
    """Return the model of `--model`, `--level` or `--fast`; None is the default one.

    Options that contradict each other, and unknown names, are usage errors.
    """
    if fast and model is not None:
        refuse("--fast and --model exclude each other")
    if level is not None and model is not None:
        refuse("--level and --model exclude each other: a level chooses the model")
    if fast and level is not None and level != 1:
        refuse(f"--fast and --level {level} exclude each other: --fast is level 1")
    if method == "classic" and (fast or level is not None or model is not None):
        refuse("--method classic uses no model; leave out --model, --level and --fast")
    if fast or level is not None:
        return _model_of_level(level or 1)
    return check_model(model)


def check_model(name: str | None) -> str | None:
    """Return a name of a model. One that is no released name, id or path is a usage error."""
    if name is None or name in _released_names() or _ID.fullmatch(name):
        return name
    is_path = name.endswith(_MODEL_SUFFIX) or os.path.basename(name) != name or os.path.exists(name)
    if not is_path:
        advice = did_you_mean(name, _released_names())
        refuse(f"no model {shown(name)!r}; {advice or 'bbcodec models lists them; a path ends in .bbm'}")
    return name  # whoever opens the file says what is wrong with it


def complete_model(incomplete: str) -> list[str]:
    """Return the released models and the `.bbm` files whose names begin so."""
    import glob

    paths = [f"{path}/" if os.path.isdir(path) else path for path in glob.glob(f"{glob.escape(incomplete)}*")]
    files = sorted(path for path in paths if path.endswith(("/", _MODEL_SUFFIX)))
    return [name for name in _released_names() if name.startswith(incomplete)] + files


def complete_level(incomplete: str) -> list[tuple[str, str]]:
    """Return the levels that begin so, each with the model that it means."""
    return [(str(level), _model_of_level(level)) for level in LEVELS if str(level).startswith(incomplete)]


def _model_of_level(level: int) -> str:
    return next(name for last, name in MODELS.items() if level <= last)


def _released_names() -> list[str]:
    """Return the names of the models that come with the package."""
    from importlib import resources

    try:
        folder = resources.files("bbcodec.models.released")
    except ModuleNotFoundError:
        return []
    names = (item.name for item in folder.iterdir())
    return sorted(name.removesuffix(_MODEL_SUFFIX) for name in names if name.endswith(_MODEL_SUFFIX))
