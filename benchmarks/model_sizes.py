# SPDX-License-Identifier: Apache-2.0
"""Compare the sizes of model files with 1-bit weights and of the same networks in float32.

    python benchmarks/model_sizes.py

Needs the extra `train`. The released networks of the paper's families are rebuilt from the configurations in
their model files. The others have the width, the depth and about the number of parameters of the paper's
networks; their weights are untrained, because only their number matters. The paper (Bird, Kingma and Barber
2021, table 1) has: ResNet VAE: 56 M, 97.1 % binary, 255 MB against 13 MB, 94.9 % smaller; Flow++: 34 M,
90.1 %, 129 MB against 14 MB, 89.1 %.
"""

from __future__ import annotations

import torch
from bbcodec.models.config import FAMILIES, Recipe, config_from_dict
from bbcodec.models.latent.checkpoint import build
from bbcodec.models.latent.export import export, residual_sizes
from paper_rows import SIZES

from bbcodec import modelfile


def row(name: str, config: Recipe, file_bytes: int | None) -> str:
    """Return one line of the table; with `file_bytes` None the untrained network is exported."""
    torch.manual_seed(0)
    model = build(config)
    sizes = residual_sizes(model)
    packed = len(export(model)) if file_bytes is None else file_bytes
    kernels = sizes["binary"] // 8
    share, saved = sizes["binary"] / sizes["parameters"], 1 - packed / sizes["float32_bytes"]
    cells = [name, f"{sizes['parameters']:,}", f"{100 * share:.1f} %", f"{sizes['float32_bytes']:,}"]
    return "| " + " | ".join([*cells, f"{kernels:,}", f"{packed:,}", f"{100 * saved:.1f} %"]) + " |"


def main() -> None:
    """Print the table."""
    heads = [
        "model",
        "parameters",
        "binary",
        "float32 bytes",
        "residual kernels, packed",
        ".bbm bytes",
        "smaller by",
    ]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for name, path in modelfile.released().items():
        model = modelfile.load_named(name)
        if model.family in FAMILIES:
            print(row(name, config_from_dict(dict(model.config)), path.stat().st_size))
    for name, config in SIZES.items():
        print(row(f"{name} at the paper's size", config, None))


if __name__ == "__main__":
    main()
