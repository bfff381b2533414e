# SPDX-License-Identifier: Apache-2.0
"""Compare the coded size of each image with the ELBO of its model, and measure the initial bits.

    python benchmarks/elbo.py ../shared/data/kodak/*.png > docs/results/elbo.md

The ELBO is computed without the coder: latents are sampled from float64 logistics, and every term is a
difference of float64 logistic CDFs with the parameters of the network. Coding is exact, with integer tables
and whole words, and its round trip is verified. Columns, in bits per sub-pixel unless stated otherwise:

- ELBO: negative ELBO of the whole picture, every tile with latents;
- plan: expected size of the file: log-likelihood of the causal tiles plus ELBO of the other tiles;
- coded: the chains in the file; excess: coded over plan, in per cent;
- causal tiles: tiles coded without latents, which pay for the first latents;
- lost: initial bits that are not recovered;
- initial: bits that the first tile with latents pops before it pushes any, by scheme.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from bbcodec import modelfile
from bbcodec.coding import ans
from bbcodec.coding.bits_back import initial_bits
from bbcodec.families import latent as nets
from bbcodec.families.latent import Markov, causal, tiles
from bbcodec.jobs import Execution


class FloatLogistic:
    """Replacement of the rANS kernels that samples, and sums float64 log probabilities without coding."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.bits = 0.0

    def _cost(self, symbols: Any, mu: Any, e: Any, nsym: int) -> float:
        k, mean, scale = symbols.astype(float), mu / 64, 2.0 ** (np.clip(e, 0, 79) / 8 - 3)
        low = np.where(k == 0, -np.inf, (k - 0.5 - mean) / scale)
        high = np.where(k == nsym - 1, np.inf, (k + 0.5 - mean) / scale)
        upper = low + high > 0  # use the tail where the sigmoid is small, to keep precision
        mass = np.where(upper, expit(-low) - expit(-high), expit(high) - expit(low))
        return float(-np.log2(np.maximum(mass, 1e-300)).sum())

    def push_logistic(
        self, head: Any, symbols: Any, mu: Any, e: Any, nsym: int, floor: int
    ) -> tuple[Any, Any]:
        self.bits += self._cost(symbols, mu, e, nsym)
        return head, np.empty(0, np.uint32)

    def pop_logistic(
        self, head: Any, mu: Any, e: Any, nsym: int, floor: int, words: Any
    ) -> tuple[Any, Any, int]:
        u = self.rng.uniform(1e-12, 1 - 1e-12, len(mu))
        value = mu / 64 + 2.0 ** (np.clip(e, 0, 79) / 8 - 3) * np.log(u / (1 - u))
        symbols = np.clip(np.rint(value), 0, nsym - 1).astype(np.int32)
        self.bits -= self._cost(symbols, mu, e, nsym)
        return head, symbols, 0

    def push_freqs(self, *_: Any) -> tuple[Any, Any]:
        raise AssertionError("tile codecs use only logistics")


def float_bits(codec_for: Any, tile: NDArray[np.uint8], kernels: FloatLogistic) -> float:
    """Return the bits of one tile in float arithmetic."""
    kernels.bits = 0.0
    codec_for(kernels).push(ans.base_message(1), tile)
    return kernels.bits


def measure(path: Path, model: modelfile.Model, seed: int) -> dict[str, Any]:
    """Return all columns for one picture."""
    image = np.asarray(Image.open(path).convert("RGB"))
    height, width, _ = image.shape
    coded = tiles.encode(image, model, Execution())
    if not np.array_equal(tiles.decode(coded.chains, height, width, 3, model, Execution()), image):
        raise AssertionError(f"{path}: the decoded picture differs")
    net, kernels = nets.load(model), FloatLogistic(seed)
    exact_backend = net.backend

    def latent(stand_in: FloatLogistic, tile: Any) -> Any:
        net.backend = stand_in  # type: ignore[attr-defined]
        return net.tile_codec(tile.height, tile.width, 3)

    elbo = plan = 0.0
    first_tiles = []
    grid = tiles.TileGrid(height, width)
    for number, chain in enumerate(coded.chains):
        parts = grid.chain(number)
        causal_tiles = int.from_bytes(chain[:2], "little")
        first_tiles.append(parts[min(causal_tiles, len(parts) - 1)])
        for i, tile in enumerate(parts):
            pixels = np.ascontiguousarray(tile.of(image))
            with_latents = float_bits(lambda k, t=tile: latent(k, t), pixels, kernels)
            elbo += with_latents
            plan += with_latents if i >= causal_tiles else float_bits(
                lambda k, t=tile: causal.tile_codec(t.height, t.width, 3, model.tensors["causal_e"], k),
                pixels, kernels
            )  # fmt: skip
    net.backend = exact_backend  # type: ignore[attr-defined]
    size = 8 * sum(map(len, coded.chains))
    tile = first_tiles[0]
    pixels = np.ascontiguousarray(tile.of(image))
    row = {
        "image": path.stem, "elbo": elbo / image.size, "plan": plan / image.size, "coded": size / image.size,
        "excess": 100 * (size / plan - 1), "tiles": coded.stats.tiles, "causal": coded.stats.causal_tiles,
        "lost": coded.stats.lost_bits,
        "initial": initial_bits(net.tile_codec(tile.height, tile.width, 3), pixels),
        "subpixels": image.size, "bytes": size // 8,
    }  # fmt: skip
    if isinstance(net, Markov):
        row["initial_bb_ans"] = initial_bits(
            net.tile_codec(tile.height, tile.width, 3, interleave=False), pixels
        )
    return row


def table(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table of one model."""
    chain = "initial_bb_ans" in rows[0]
    heads = ["image", "ELBO", "plan", "coded", "excess %", "causal tiles", "lost bits"]
    heads += ["initial bits (Bit-Swap)", "initial bits (BB-ANS)"] if chain else ["initial bits (BB-ANS)"]
    lines = [f"### {name}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]

    def line(label: str, r: dict[str, Any]) -> str:
        cells = [label, f"{r['elbo']:.3f}", f"{r['plan']:.3f}", f"{r['coded']:.3f}", f"{r['excess']:+.2f}"]
        cells += [f"{r['causal']:.3g} of {r['tiles']:.3g}", f"{r['lost']:.0f}", f"{r['initial']:,.0f}"]
        return "| " + " | ".join(cells + ([f"{r['initial_bb_ans']:,.0f}"] if chain else [])) + " |"

    mean = {k: float(np.mean([r[k] for r in rows])) for k in rows[0] if k != "image"}
    return "\n".join(lines + [line(r["image"], r) for r in rows] + [line("**mean**", mean), ""])


def main() -> None:
    """Measure, and print one table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--models", default="rvae,markov", help="released names or .bbm paths")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.models.split(","):
        model = modelfile.load_named(name)
        rows = []
        for path in args.images:
            rows.append(measure(path, model, args.seed))
            print(f"{name} {path.name}: {rows[-1]['coded']:.3f}", file=sys.stderr)
        print(table(f"{Path(name).stem} ({model.id[:16]}, {model.nbytes:,} bytes)", rows))


if __name__ == "__main__":
    main()
