"""Codec autoencoder beside NNCodec and ideal static entropy: `python -m bench.autoencoder_rates [--page]`.

At several rates, on networks that training has not seen: bytes of whole files over those of NNCodec's best settings at
equal SNR, without and with fine-tuning; and bytes of the coded tensors over the entropy of rounded levels, one ideal
table a tensor that takes no bytes itself, one step for all, at equal SNR. NNCodec's figures are those of the benchmark:
`python -m bench run --method nncodec` measures what is missing. With --page the table of docs/models.md is written.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import neuralcodec
from bench import fidelity, page, run
from bench.curves import Point, hull, rate_ratios
from bench.method import methods
from bench.network import Network, State, networks
from neuralcodec import PlanError, Target
from neuralcodec.models.corpus import TEST_NETWORKS

RATES = (2.0, 3.0, 4.0, 5.0)
ROUNDS = 3
"""Of fine-tuning."""

LARGE = ("minilm", "crepe-full", "rapidocr")
"""Networks that are left out for the time they take."""


@dataclass(frozen=True)
class Line:
    """Of a network: at each rate what takes how much of what others take; NaN where there is nothing to compare with.

    Attributes:
        title: of the network.
        nncodec: whole files over NNCodec's.
        tuned: the same with fine-tuning.
        entropy: coded tensors over ideal static entropy.
    """

    title: str
    nncodec: Sequence[float]
    tuned: Sequence[float]
    entropy: Sequence[float]


def static_bits(state: State, snr: float) -> float:
    """Bits of the tensors that count for the SNR, rounded to multiples of the step at which they have it."""
    found = [t.double().numpy().reshape(-1) for t in state.values() if fidelity.counts(t)]
    power = sum(float(np.square(w).sum()) for w in found)
    low, high = 1e-7, max(float(np.abs(w).max()) for w in found)
    for _ in range(30):
        step = math.sqrt(low * high)
        error = sum(float(np.square(w - np.rint(w / step) * step).sum()) for w in found)
        if error == 0 or 10 * math.log10(power / error) > snr:
            low = step
        else:
            high = step
    bits = 0.0
    for w in found:
        _, times = np.unique(np.rint(w / low), return_counts=True)
        bits -= float((times * np.log2(times / w.size)).sum())
    return bits


def theirs(loaded: run.Loaded) -> list[Point]:
    """NNCodec's hull, as far as the benchmark has measured it."""
    method = methods()["nncodec"]
    records = [run.kept(loaded, method, setting) for setting in method.full]
    return hull(
        [
            Point(r.values["bits_per_weight"], r.values["snr_db"])
            for r in records
            if r is not None and not r.error and r.values["snr_db"] is not None
        ]
    )


def line(network: Network) -> Line:
    """All rates of a network."""
    loaded = run.load(network)
    anchor, weights = theirs(loaded), fidelity.weights(loaded.state)
    found: dict[int, list[float]] = {0: [], ROUNDS: []}
    entropy = []
    for rate in RATES:
        for rounds, ratios in found.items():
            try:
                cm = neuralcodec.encode(
                    dict(loaded.state),
                    "autoencoder",
                    target=Target(bits_per_weight=rate, allocation="error"),
                    tune=rounds,
                    reconstruction="error",
                )
            except PlanError:  # what cannot be coded takes more
                ratios.append(math.nan)
                if not rounds:
                    entropy.append(math.nan)
                continue
            snr = fidelity.compare(loaded.state, {n: cm.decode(n) for n in loaded.state}).snr_db
            over = rate_ratios(anchor, [Point(8 * cm.nbytes / weights, snr)], 0, math.inf)
            ratios.append(over[0] if over else math.nan)
            if not rounds:
                rows = [row for row in cm.report().rows if row.codec == "autoencoder"]
                entropy.append(8 * sum(row.encoded_bytes for row in rows) / static_bits(loaded.state, snr))
    return Line(network.title, found[0], found[ROUNDS], entropy)


def compared() -> Iterator[Network]:
    """Networks that are here, that training has not seen, and that are not too large."""
    known = networks()
    for name in TEST_NETWORKS:
        if name not in LARGE and name in known and known[name].missing() is None:
            yield known[name]


def cells(values: Sequence[float]) -> str:
    """Ratios with three digits."""
    return " ".join("–" if math.isnan(v) else f"{v:.3f}" for v in values)


def summary(of: Sequence[Line]) -> list[str]:
    """Means over networks, and where static entropy takes more in the mean."""
    means = [[float(np.nanmean(values)) for values in (e.nncodec, e.tuned, e.entropy)] for e in of]
    three = [f"**{float(np.mean(column)):.3f}**" for column in zip(*means, strict=True)]
    below = sum(mean[2] < 1 for mean in means)
    return ["mean", three[0], three[1], f"{three[2]}; below 1 on {below} of {len(of)}"]


def main() -> None:
    """Prints the table, and writes the page."""
    parser = argparse.ArgumentParser(description="Codec autoencoder beside NNCodec and ideal static entropy.")
    parser.add_argument("--page", action="store_true", help="write the table of docs/models.md")
    write = parser.parse_args().page
    found = []
    for network in compared():
        each = line(network)
        found.append(each)
        print(" | ".join((each.title, *map(cells, (each.nncodec, each.tuned, each.entropy)))), flush=True)
    print(" | ".join(summary(found)))
    if write:
        rows = [[e.title, *map(cells, (e.nncodec, e.tuned, e.entropy))] for e in found]
        headings = ("network", "over NNCodec", f"the same, `tune={ROUNDS}`", "over ideal static entropy")
        page.put("models.md", "rates", page.table(headings, [*rows, summary(found)]))


if __name__ == "__main__":
    main()
