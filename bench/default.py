"""What `neuralcodec.encode(model)` and nothing else does to the benchmark's networks: `python bench/default.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import page
from bench.network import Network, networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table


def row(network: Network) -> list[str]:
    """A network's cells."""
    state = network.load()
    cm = neuralcodec.encode(dict(state))
    weights = sum(tensor.numel() for tensor in state.values())
    original = sum(tensor.nbytes for tensor in state.values())
    sizes = (f"{8 * cm.nbytes / weights:.2f}", f"{original / cm.nbytes:.2f}×", f"{cm.report().snr_db:.1f}")
    if network.evaluate is None:
        return [network.title, *sizes, "", "", ""]
    before, after = network.evaluate(state), network.evaluate(cm.state_dict())
    scores = (f"{before.value:.2f} ± {before.stderr:.2f}", f"{after.value:.2f}")
    return [network.title, *sizes, f"{network.metric}, {network.unit}".removesuffix(", "), *scores]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help="names (default: all that are here)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    options = parser.parse_args()
    console = Console(width=150)
    rows = []
    for name, network in track(networks().items(), console=Console(stderr=True)):
        if options.networks and name not in options.networks:
            continue
        reason = network.missing()
        if reason is not None:
            console.print(f"{name} is left out: {reason}")
            continue
        rows.append(row(network))
    headings = ("network", "bits/weight", "ratio", "SNR dB", "metric", "original", "encoded")
    table = Table("The default", headings, rows, "Whole files, biases and norms exact. ±: standard error.")
    show(table, console)
    if options.page:
        page.put("trellis.md", "default", markdown(table, heading=""))


if __name__ == "__main__":
    main()
