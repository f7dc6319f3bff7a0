"""What fine-tuning codec generative to a model buys: `python bench/generative_tuning.py [--page]`.

Whole files of networks of the benchmark at 3 bits a weight, with tiles as long as can be and with tiles of 2,048 as
microcontrollers want them: as they are, with the best rates at which the model adapts for each tensor, and with a tuned
prior besides, if that pays. With --page the table of docs/generative.md is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import neuralcodec
from bench import page, run
from bench.generative_ablation import NETWORKS
from bench.network import networks
from neuralcodec import Target
from neuralcodec.codecs.generative import Generative
from neuralcodec.codecs.generative.coding import read_head
from neuralcodec.dtypes import BY_NAME
from neuralcodec.tensor import Tensor, TensorSpec

TILES = (65_535, 2048)
BITS = 3.0


def rows() -> Iterator[str]:
    """Lines of the table."""
    for name in NETWORKS:
        state = dict(run.load(networks()[name]).state)
        cells = []
        for tile in TILES:
            plain = neuralcodec.encode(
                state, "generative", target=Target(bits_per_weight=BITS, allocation="error"), tile=tile
            )
            mine = [e.spec for e in plain.entries if e.codec == "generative" and e.tied_to is None]
            step = read_head(plain.payload(mine[0].name)).step
            tuned = neuralcodec.encode(state, "generative", step=step, tile=tile, tune=True)
            with_rates = plain.nbytes
            codec = Generative(step=step, tile=tile, tune=True)
            for spec in mine:
                with_rates += len(codec.encode(_tensor(spec, state[spec.name]))) - len(plain.payload(spec.name))
            cells += [f"{100 * (size / plain.nbytes - 1):+.2f}" for size in (with_rates, tuned.nbytes)]
            own = tuned.shared_bytes - plain.shared_bytes  # others are those of tensors that are too small
            cells.append(f"{own:,}" if own else "–")
        yield f"| {name} | " + " | ".join(cells) + " |"


def _tensor(spec: TensorSpec, weights: object) -> Tensor:
    assert spec.dtype == BY_NAME["f32"]
    data = weights.detach().contiguous().numpy().reshape(-1).view("uint8")  # type: ignore[attr-defined]
    return Tensor(spec, data)


def table() -> str:
    """As Markdown."""
    heads = [f"{what}, tiles of {tile:,}" for tile in TILES for what in ("rates", "and prior", "its bytes")]
    return "\n".join(["| network | " + " | ".join(heads) + " |", "| --- |" + " --: |" * len(heads), *rows()]) + "\n"


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write the table of docs/generative.md")
    write = parser.parse_args().page
    text = table()
    print(text)
    if write:
        page.put("generative.md", "tuning", text)


if __name__ == "__main__":
    main()
