"""How fast codec generative encodes and decodes on the host: `python bench/generative_speed.py [--page]`.

One thread, trained networks: the whole encoder, without a target and with one; the coding of levels alone; and the C
decoder, to levels and to weights. Seconds are those of the processor, as what else runs should not count. Medians of
some rounds, and in brackets the slowest and the fastest. Besides, in turns with the encoder: how much faster it is than
with the tables that codec trellis trains and with decoding what was coded, and how many bytes it takes more at equal
SNR. With --page the table of docs/generative.md is written.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

import neuralcodec
from bench import page, run
from bench.network import networks
from neuralcodec import Target, _native
from neuralcodec.codecs.generative import Generative
from neuralcodec.codecs.generative.codec import kernel_of
from neuralcodec.codecs.generative.coding import Choice, Matrix, Rates, read_head
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NAME
from neuralcodec.tensor import Tensor, TensorSpec, from_float32

NETWORKS = ("silero-vad", "crepe-tiny", "g2p-en")
BITS = (2.0, 4.0)
TILES = (65_535, 2048, 512)


def speed(weights: int, rounds: int, work: Callable[[], object]) -> str:
    """Million weights a second: median, slowest and fastest."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(weights / (time.process_time() - start) / 1e6)
    return f"{statistics.median(found):.2f} ({min(found):.2f} – {max(found):.2f})"


def matrices(cm: neuralcodec.CompressedModel) -> list[Matrix]:
    """Levels of a model as they are coded."""
    found = []
    for entry in cm.entries:
        if entry.codec == "generative" and entry.tied_to is None:
            name = entry.spec.name
            levels = cm.levels(name)[0].numpy().reshape(entry.spec.rows, entry.spec.cols).astype("int16")
            head, down = read_head(cm.payload(name)), cm.is_down_columns(name)
            matrix = (levels.T if down else levels).copy()
            kernel = 1 if down else kernel_of(entry.spec)
            found.append(Matrix(matrix, head.tile, head.states.bit_length() - 1, kernel))
    return found


def by_trained_tables(tensor: Tensor, codec: Generative) -> tuple[bytes, Tensor]:
    """A payload of levels by the tables that codec trellis trains, and what the C decoder makes of it."""
    trellis = Trellis(states=codec.states, step=codec.step, room=None, tile=codec.tile, reconstruction="error")
    found = trellis.quantize(tensor)
    kernel = 1 if found.columns else kernel_of(tensor.spec)
    matrix = Matrix(found.levels, found.tile, codec.states.bit_length() - 1, kernel)
    payload = Choice(matrix, Rates(), found.step, found.columns).payload()
    return payload, codec.decode(payload, tensor.spec, ())


def by_codec(tensor: Tensor, codec: Generative) -> tuple[bytes, Tensor]:
    """The same as the codec does it."""
    payload = codec.encode(tensor)
    return payload, codec.decode(payload, tensor.spec, ())


def beside_trained_tables(tensors: list[Tensor], codec: Generative, rounds: int) -> tuple[str, str]:
    """Times the speed, and percent of bytes more, at equal SNR: a bit a weight is worth 6.02 dB."""
    ways = (by_trained_tables, by_codec)
    took: list[list[float]] = [[], []]
    bits, squared = [0, 0], [0.0, 0.0]
    for _ in range(rounds):
        for k, way in enumerate(ways):
            start = time.process_time()
            for each in tensors:
                way(each, codec)
            took[k].append(time.process_time() - start)
    for k, way in enumerate(ways):
        for each in tensors:
            payload, decoded = way(each, codec)
            bits[k] += 8 * len(payload)
            squared[k] += float(np.square(each.float32() - decoded.float32()).sum(dtype=np.float64))
    worth = sum(each.spec.size for each in tensors) * 10 * math.log10(squared[0] / squared[1]) / 6.02
    faster = statistics.median(took[0]) / statistics.median(took[1])
    return f"{faster:.2f}×", f"{100 * ((bits[1] - worth) / bits[0] - 1):+.2f} %"


def row(state: dict[str, torch.Tensor], bits: float, tile: int, rounds: int) -> list[str]:
    """Cells of the table: encode with a target, with a step, the same beside trained tables, pack, levels, weights."""
    target = Target(bits_per_weight=bits, allocation="error")  # so that all tensors have one step
    cm = neuralcodec.encode(state, "generative", target=target, tile=tile)
    coded = matrices(cm)
    count, all_of_them = sum(each.levels.size for each in coded), sum(t.numel() for t in state.values())
    names = [e.spec.name for e in cm.entries if e.codec == "generative" and e.tied_to is None]
    step = read_head(cm.payload(names[0])).step

    tensors = [
        from_float32(TensorSpec(name, BY_NAME["f32"], tuple(state[name].shape)), state[name].numpy()) for name in names
    ]
    codec = Generative(step=step, tile=tile, reconstruction="error")

    def pack() -> None:
        for each in coded:
            _native.generative_pack(each.levels, each.tile, each.states_log2, each.kernel, Rates().byte, each.start)

    return [
        speed(all_of_them, 1, lambda: neuralcodec.encode(state, "generative", target=target, tile=tile)).split(" ")[0],
        speed(all_of_them, rounds, lambda: neuralcodec.encode(state, "generative", step=step, tile=tile)),
        *beside_trained_tables(tensors, codec, rounds),
        speed(count, rounds, pack),
        speed(count, rounds, lambda: [cm.levels(name) for name in names]),
        speed(count, rounds, lambda: [cm.decode(name) for name in names]),
    ]


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="write the table of docs/generative.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    heads = (
        *("network, bits, tile", "encode to a target", "encode", "beside trained tables", "bytes", "code levels"),
        *("decode levels", "decode weights"),
    )
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " --: |" * (len(heads) - 1)]
    cases = [(name, bits, TILES[0]) for name in NETWORKS for bits in BITS] + [
        (NETWORKS[0], BITS[1], t) for t in TILES[1:]
    ]
    for name, bits, tile in cases:
        cells = row(dict(run.load(networks()[name]).state), bits, tile, arguments.rounds)
        lines.append(f"| {name}, {bits:g}, {tile:,} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if arguments.page:
        page.put("generative.md", "speed", text)


if __name__ == "__main__":
    main()
