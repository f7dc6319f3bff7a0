"""What each part of codec autoencoder buys and costs: `python -m bench.autoencoder_ablation [--page]`.

The networks of bench/autoencoder_rates.py are encoded with the codec as it is and with a part of it left out. Files are
compared at equal SNR: what a variant takes over what the whole codec takes at the variant's SNR, by lines between
points of its curve. One class instead of six is a model that is trained on the same corpus (`python -m bench.corpus`).
The same files of one rate are decoded on an emulated Cortex-M4, where instructions are counted. With --page the table
of docs/models.md is written. Needs the extra `learned`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neuralcodec
from bench import corpus, fidelity, firmware, page, run
from bench.autoencoder_rates import compared
from bench.folders import ROOT
from bench.instructions import measure
from bench.network import Network, State
from bench.transforms import Point, bits_at
from neuralcodec import PlanError, Target, reference
from neuralcodec.cli.training import train_codec
from neuralcodec.reference.autoencoder import AutoencoderLevels

sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator

RATES = (2.0, 3.0, 4.5)
CURVE = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5)
"""Bits a weight of the whole codec's points."""

COUNTED = 3.0
"""Bits a weight of what is decoded on the emulated core."""

BOARD = "m4"
UNIVERSAL = ROOT / "models" / "autoencoder_1.bin"

Coded = Sequence[neuralcodec.CompressedModel | None]
"""At each rate; None where it cannot be."""


@dataclass(frozen=True)
class Variant:
    """The codec with a part left out.

    Attributes:
        title: what is left out.
        options: of the codec.
        own: bytes of the model that then travels in the file.
    """

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    own: int = 0


WHOLE = Variant("nothing")


@dataclass(frozen=True)
class Line:
    """What leaving out a part comes to on a network.

    Attributes:
        growth: of files at each rate, as a share; NaN where there is nothing to compare with.
        in_file: the same with the model's bytes counted, if it travels in the file.
        instructions: a weight, on the emulated core.
        taps: that a weight is predicted from, in the mean.
    """

    growth: Sequence[float]
    in_file: Sequence[float]
    instructions: float
    taps: float


def encoded(state: State, rates: Sequence[float], variant: Variant) -> Coded:
    """At each rate, without what the model in the file takes."""
    found: list[neuralcodec.CompressedModel | None] = []
    for rate in rates:
        own = 8 * variant.own / fidelity.weights(state)
        target = Target(bits_per_weight=rate + own, allocation="error")
        try:
            found.append(
                neuralcodec.encode(dict(state), "autoencoder", target=target, reconstruction="error", **variant.options)
            )
        except PlanError:  # small networks have no room for so few bits
            found.append(None)
    return found


def point(state: State, cm: neuralcodec.CompressedModel, left_out: int = 0) -> Point:
    """Of a file, or of what it would be without some bytes."""
    snr = fidelity.compare(state, {name: cm.decode(name) for name in state}).snr_db
    return Point(8 * (cm.nbytes - left_out) / fidelity.weights(state), snr)


def growth(state: State, whole: Sequence[Point], coded: Coded, left_out: int) -> list[float]:
    """What files take more than the whole codec's at equal SNR."""
    points = [None if cm is None else point(state, cm, left_out) for cm in coded]
    return [math.nan if each is None else each.bits / bits_at(list(whole), each.snr) - 1 for each in points]


def taps(cm: neuralcodec.CompressedModel) -> float:
    """Of the codec's tensors, each counting by its weights."""
    opened = [(each, reference.open_tensor(each)) for each in reference.read_stream(cm.to_bytes()).tensors]
    mine = [(tensor.elements, of.taps or ()) for tensor, of in opened if isinstance(of, AutoencoderLevels)]
    return sum(size * len(each) for size, each in mine) / sum(size for size, _ in mine)


def lines(network: Network, variants: Sequence[Variant]) -> list[Line]:
    """Of all variants on a network, the whole codec being the first."""
    state, found = run.load(network).state, []
    whole = [point(state, cm) for cm in encoded(state, CURVE, WHOLE) if cm is not None]
    for variant in (WHOLE, *variants):
        coded = encoded(state, RATES, variant)
        counted = coded[RATES.index(COUNTED)]
        if counted is None:
            raise SystemExit(f"{network.name}: {variant.title}: there is no file of {COUNTED:g} bits a weight")
        cost = measure(counted, BOARD, "-O2").weight
        both = [growth(state, whole, coded, left_out) for left_out in (variant.own, 0)]
        found.append(Line(both[0], both[1], cost, taps(counted)))
    return found


def percents(title: str, growths: Sequence[Sequence[float]], cost: str) -> list[str]:
    """A line of the table: means over networks at each rate, of all, and the least and the most of a network."""
    means = [mean(each) for each in growths]
    cells = [*map(mean, zip(*growths, strict=True)), mean(means)]
    between = f"{100 * min(means):+.1f} to {100 * max(means):+.1f} %"
    return [title, *("–" if math.isnan(cell) else f"{100 * cell:+.1f} %" for cell in cells), between, cost]


def mean(values: Sequence[float]) -> float:
    """Of what is not NaN; NaN of nothing."""
    known = [each for each in values if not math.isnan(each)]
    return sum(known) / len(known) if known else math.nan


def table(variants: Sequence[Variant], found: Sequence[Sequence[Line]]) -> str:
    """In Markdown; ``found``: by network, the lines of the whole codec and of all variants."""
    columns = list(zip(*found, strict=True))
    costs = [mean([line.instructions for line in column]) for column in columns]
    rows = [[WHOLE.title, *["–"] * (len(RATES) + 2), f"{costs[0]:.0f}"]]
    for variant, column, cost in zip(variants, columns[1:], costs[1:], strict=True):
        rows.append(percents(variant.title, [line.growth for line in column], f"{cost:.0f}"))
        if variant.own:
            title = f"the same, its {variant.own:,} bytes in every file"
            rows.append(percents(title, [line.in_file for line in column], f"{cost:.0f}"))
    core = emulator.BOARDS[BOARD].core
    heads = (
        "left out",
        *(f"{rate:g} bits" for rate in RATES),
        "mean",
        "of a network",
        f"{core}, instructions a weight",
    )
    each = [line.instructions for line in columns[0]]
    used = mean([line.taps for line in columns[0]])
    tap = (costs[0] - costs[1]) / used  # the first variant has none
    note = (
        f"Instructions: mean of the networks' at {COUNTED:g} bits a weight ({firmware.version()}); of the whole codec "
        f"{min(each):.0f} to {max(each):.0f} on one,\nwith {used:.1f} taps in the mean of weights, each {tap:.0f}. "
        f"Flash beside code: the universal model, {UNIVERSAL.stat().st_size:,} bytes."
    )
    return f"{page.table(heads, rows)}\n{note}\n"


def variants_with(prior: Path) -> list[Variant]:
    """All of them; ``prior``: file of the model of one class."""
    own = prior.stat().st_size
    return [
        Variant("the transform (`taps=0`)", {"taps": 0}),
        Variant('levels between steps (`levels="int8"`, for int8 kernels)', {"levels": "int8"}),
        Variant(f"five of six classes: a universal model of {own:,} bytes", {"prior": str(prior)}, own),
    ]


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description="What each part of codec autoencoder buys and costs.")
    parser.add_argument("--page", action="store_true", help="write the table of docs/models.md")
    write = parser.parse_args().page
    if (reason := emulator.available(BOARD)) is not None:
        sys.exit(f"this needs the emulator: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        prior = Path(folder) / "one.bin"
        train_codec([corpus.folder()], prior, classes=1)
        variants, found = variants_with(prior), []
        for network in compared():
            found.append(lines(network, variants))
            for variant, line in zip((WHOLE, *variants), found[-1], strict=True):
                cells = " ".join(
                    f"{100 * share:+.2f} ({100 * more:+.2f})"
                    for share, more in zip(line.growth, line.in_file, strict=True)
                )
                print(f"{network.name} | {variant.title} | {cells} | {line.instructions:.1f}", flush=True)
    text = table(variants, found)
    print(text)
    if write:
        page.put("models.md", "parts", text)


if __name__ == "__main__":
    main()
