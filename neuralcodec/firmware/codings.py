"""Chooses how each layer's weights are coded: for least error of the outputs within so much flash and so much work.

Each tensor alone is coded in all ways, and the network run on it. Errors of outputs about add up where they are small,
so that of all combinations within the limits a good one is found by Lagrangian relaxation (Everett 1963; Shoham and
Gersho 1988), one multiplier for bytes and one for instructions, and made better as long as changing one tensor helps.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from neuralcodec.codec import Codec
from neuralcodec.codecs.raw import Raw
from neuralcodec.errors import PlanError
from neuralcodec.firmware.costs import COSTS, Core, decode_cost
from neuralcodec.plan.rules import Assignment, assign
from neuralcodec.plan.run import encode_tensor
from neuralcodec.registry import make_codec
from neuralcodec.source import Source, open_source
from neuralcodec.tensor import Tensor

Options = Mapping[str, object]

STEPS = (0.15, 0.2, 0.26, 0.34, 0.45, 0.6, 0.8, 1.0)
"""Of codec huffman, over the root mean square of the weights."""

RELATIVE_STEPS = (0.1, 0.15, 0.22, 0.33, 0.5)
"""Of codec trellis."""

CODECS = ("huffman", "kmeans", "trellis")

COMMON = ("tile", "pairs", "centroids")
"""Options that all tensors have alike, and tables do without."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TensorCoding:
    """The coding of a tensor.

    Attributes:
        name: the tensor.
        weights: how many it has.
        options: the codec, as "codec", and its options.
        nbytes: of its payload.
        instructions: about what decoding it takes.
        snr_db: of the network's outputs where only this tensor is coded.
    """

    name: str
    weights: int
    options: Options
    nbytes: int
    instructions: int
    snr_db: float


@dataclass(frozen=True, slots=True)
class Codings:
    """What was chosen.

    Attributes:
        tensors: in the order of the module.
        others: instructions for weights that are too few to be coded.
        core: whose instructions were counted.
        snr_db: of the network's outputs where all tensors are coded, with float activations.
    """

    tensors: tuple[TensorCoding, ...]
    others: int
    core: Core
    snr_db: float

    @property
    def overrides(self) -> dict[str, Options]:
        """For ``neuralcodec.encode(model, "huffman", overrides=...)``."""
        return {each.name: each.options for each in self.tensors}

    @property
    def nbytes(self) -> int:
        """Of the payloads of these tensors."""
        return sum(each.nbytes for each in self.tensors)

    @property
    def instructions(self) -> int:
        """About what decoding takes in an inference."""
        return sum(each.instructions for each in self.tensors) + self.others

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table("tensor", header_style="bold")
        for title in ("weights", "bytes", "bits/weight", "instructions", "SNR dB, alone"):
            table.add_column(title, justify="right")
        table.add_column("coding")
        for each in self.tensors:
            bits = f"{8 * each.nbytes / each.weights:.2f}"
            figures = f"{each.weights:,}", f"{each.nbytes:,}", bits, f"{each.instructions:,}", f"{each.snr_db:.1f}"
            coding = ", ".join(_shown(key, value) for key, value in each.options.items() if key not in COMMON)
            table.add_row(Text(each.name), *figures, Text(coding))
        yield table
        yield Text(
            f"{self.nbytes:,} bytes, about {self.instructions:,} instructions to decode them ({self.core}); outputs "
            f"{self.snr_db:.1f} dB"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """A tensor in all ways: options, and arrays of bytes, instructions, and error over energy of the outputs."""

    name: str
    weights: int
    options: tuple[Options, ...]
    nbytes: Floats
    instructions: Floats
    error: Floats


def choose_codings(
    model: torch.nn.Module,
    inputs: torch.Tensor,
    *,
    weight_bytes: int | None = None,
    decode_instructions: int | None = None,
    codecs: Sequence[str] = ("huffman", "kmeans"),
    core: Core = "m4",
    tile: int = 1024,
) -> Codings:
    """Chooses a coding for each weight tensor, so that outputs change least within limits of flash and of instructions.

    >>> codings = neuralcodec.choose_codings(net, calibration, weight_bytes=26_000, decode_instructions=500_000)
    >>> cm = neuralcodec.encode(net, "huffman", overrides=codings.overrides)
    >>> neuralcodec.export_firmware(cm, net, calibration[:1], calibration)

    It needs no labels, and nothing is trained. A layer decodes a weight once, however often it uses it: what an
    inference takes beyond that with plain weights is by and large what decoding takes.

    Args:
        model: a module, in any mode, with its batch norms; it gives one tensor. A copy is run in evaluation mode.
        inputs: a batch like what the firmware will see, such as the calibration data: some hundreds.
        weight_bytes: most bytes of all payloads, but of tensors of less than 256 weights; None for no limit. With plain
            weights there is one for each weight.
        decode_instructions: most instructions that decoding may take in an inference; None for no limit. A tenth of
            what an export with ``weights="plain"`` takes, for 1.10 times its instructions.
        codecs: what to choose from: "huffman", "kmeans" (fixed width, and with prefix codes) and "trellis". Each takes
            some KB of code.
        core: whose instructions count: "m4", which stands for the M7 and the M33, too, or "m55" with MVE.
        tile: most weights in a tile. Larger ones take fewer instructions, and RAM.

    Raises:
        PlanError: an argument is wrong, nothing in the module can be coded, or no choice meets the limits.
        SourceError: a tensor cannot be encoded; the message names it.
    """
    unknown = [name for name in codecs if name not in CODECS]
    if unknown or not codecs:
        raise PlanError(f"codecs: some of {', '.join(CODECS)} expected, not {list(codecs)!r}")
    if core not in COSTS:
        raise PlanError(f"core: one of {', '.join(COSTS)} expected (m4 for the M7 and the M33), not {core!r}")
    if not isinstance(model, torch.nn.Module):
        raise PlanError(f"a torch.nn.Module expected, not {type(model).__name__}")
    model = copy.deepcopy(model).eval()
    source = open_source(model)
    plan = assign(source, make_codec("huffman", {"bits": 8, "tile": tile}), None, None)
    names = [name for name, assigned in plan.items() if assigned.codec.lossy]
    if not names:
        raise PlanError("no tensor of the module is large enough to be coded")
    wanted = _outputs(model, {}, inputs)
    if not wanted.numel():
        raise PlanError("inputs: at least one expected")
    if not wanted.isfinite().all():
        raise PlanError("inputs: some give outputs that are not finite, and so tell nothing of errors")
    uses = _uses(model, source, inputs[:1])
    found = [_candidates(model, source.read(name), inputs, wanted, codecs, core, tile, uses[name]) for name in names]
    small = [spec for name, spec in source.specs.items() if name not in names and len(spec.shape) > 1]
    others = sum(decode_cost(Raw(), spec, core) * uses[spec.name] for spec in small)
    most_bytes = math.inf if weight_bytes is None else weight_bytes
    most_instructions = math.inf if decode_instructions is None else decode_instructions
    chosen = _choose(found, most_bytes, most_instructions, others)
    decoded = {}
    tensors = []
    for each, i in zip(found, chosen, strict=True):
        decoded[each.name] = _decoded(source.read(each.name), _codec(each.options[i]))[1]
        counts = int(each.nbytes[i]), int(each.instructions[i])
        tensors.append(TensorCoding(each.name, each.weights, each.options[i], *counts, _db(float(each.error[i]))))
    return Codings(tuple(tensors), others, core, _db(_error(_outputs(model, decoded, inputs), wanted)))


def _ladder(codec: str, rms: float, tile: int) -> Iterator[Options]:
    """Ways to code a tensor with a codec, that firmware reads as they are."""
    if codec == "huffman":
        same: Options = {"codec": codec, "pairs": False, "tile": tile}  # codes of pairs are long, which takes its time
        for bits in (3, 4, 5, 6):
            yield {**same, "bits": bits}
        for step in STEPS:
            yield {**same, "step": step * rms, "scale": "tensor"}
    elif codec == "kmeans":
        same = {"codec": codec, "centroids": "int8", "scale": "row", "tile": tile}
        for clusters in (4, 8, 16, 32):
            yield {**same, "clusters": clusters, "coding": "fixed"}
        for entropy in (0.004, 0.012, 0.035):
            yield {**same, "clusters": 32, "coding": "huffman", "entropy": entropy}
    else:
        for coding in ("prefix", "light", "contexts"):
            for step in RELATIVE_STEPS:
                yield {"codec": codec, "coding": coding, "relative_step": step, "scan": "rows", "tile": tile}


def _candidates(  # noqa: PLR0917
    model: torch.nn.Module,
    tensor: Tensor,
    inputs: torch.Tensor,
    wanted: torch.Tensor,
    codecs: Sequence[str],
    core: Core,
    tile: int,
    uses: int,
) -> _Candidates:
    rms = float(np.sqrt(np.mean(np.square(tensor.float32(), dtype=np.float64))))
    ways = [each for codec in codecs for each in _ladder(codec, rms, tile) if rms > 0 or "step" not in each]
    sizes, costs, errors = [], [], []
    for options in ways:
        codec = _codec(options)
        nbytes, weights = _decoded(tensor, codec)
        sizes.append(nbytes)
        costs.append(decode_cost(codec, tensor.spec, core) * uses)
        errors.append(_error(_outputs(model, {tensor.spec.name: weights}, inputs), wanted))
    arrays = (np.array(each, np.float64) for each in (sizes, costs, errors))
    return _Candidates(tensor.spec.name, tensor.spec.size, tuple(ways), *arrays)


def _codec(options: Options) -> Codec:
    return make_codec(str(options["codec"]), {key: value for key, value in options.items() if key != "codec"})


def _decoded(tensor: Tensor, codec: Codec) -> tuple[int, torch.Tensor]:
    """Bytes of the payload, and the weights that it gives."""
    encoded = encode_tensor(tensor, Assignment(codec, "chosen"), None, (), "error")
    return len(encoded.payload), codec.decode(encoded.payload, tensor.spec, ()).torch()


def _uses(model: torch.nn.Module, source: Source, inputs: torch.Tensor) -> dict[str, int]:
    """How often each tensor's modules are called in an inference, and firmware decodes it; at least once."""
    calls: Counter[str] = Counter()

    def counted(path: str) -> Callable[[object, object], None]:
        return lambda module, given: calls.update([path])

    hooks = [module.register_forward_pre_hook(counted(path)) for path, module in model.named_modules()]
    try:
        _outputs(model, {}, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    uses: Counter[str] = Counter()
    for name in [*source.specs, *source.ties]:
        uses[source.ties.get(name, name)] += calls[name.rpartition(".")[0]]
    return {name: max(uses[name], 1) for name in source.specs}


def _outputs(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        outputs = torch.func.functional_call(model, dict(weights), (inputs,))
    if not isinstance(outputs, torch.Tensor):
        raise PlanError(f"the module gives {type(outputs).__name__}; one tensor expected")
    return outputs.double()


def _error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Squared error over energy."""
    energy = float(wanted.square().sum())
    return float((found - wanted).square().sum()) / energy if energy else 0.0


def _db(error: float) -> float:
    return -10 * math.log10(error) if error else math.inf


def _choose(found: Sequence[_Candidates], most_bytes: float, most_instructions: float, others: int) -> list[int]:
    """For each tensor the place of a candidate; ``others`` are instructions that other tensors take in any case.

    Raises:
        PlanError: the limits cannot be met.
    """
    # Errors over energies are 1 at most where outputs still mean something, and sums go up to some 10^8 bytes.
    by_bytes = np.concatenate([[0.0], np.geomspace(1e-14, 1e-1, 131)])
    by_instructions = np.concatenate([[0.0], np.geomspace(1e-15, 1e-2, 66)])
    grid = np.stack(np.meshgrid(by_bytes, by_instructions), -1).reshape(-1, 2)
    places = [
        np.argmin(c.error + grid[:, :1] * c.nbytes + grid[:, 1:] * c.instructions, axis=1) for c in found
    ]  # each of shape [pairs of multipliers]
    nbytes, instructions, error = (
        sum(getattr(c, what)[at] for c, at in zip(found, places, strict=True))
        for what in ("nbytes", "instructions", "error")
    )
    left = most_instructions - others
    good = (nbytes <= most_bytes) & (instructions <= left)
    if not good.any():
        least = [sum(float(getattr(c, what).min()) for c in found) for what in ("nbytes", "instructions")]
        limits = (most_bytes, "bytes"), (most_instructions, "instructions")
        within = " and ".join(f"{most:,.0f} {what}" for most, what in limits if most < math.inf)
        raise PlanError(
            f"found no choice of codings within {within}; the smallest takes {least[0]:,.0f} bytes, the fastest "
            f"{least[1] + others:,.0f} instructions, {others:,} of them for weights that are too few to be coded"
        )
    best = int(np.argmin(np.where(good, error, np.inf)))
    chosen = [int(at[best]) for at in places]
    while _improve(found, chosen, most_bytes, left):
        pass
    return chosen


def _improve(found: Sequence[_Candidates], chosen: list[int], most_bytes: float, most_instructions: float) -> bool:
    """Changes the one tensor whose change lowers the error most within the limits; False if there is none."""
    pairs = list(zip(found, chosen, strict=True))
    room = most_bytes - sum(c.nbytes[i] for c, i in pairs)
    spare = most_instructions - sum(c.instructions[i] for c, i in pairs)
    best, gain = None, 0.0
    for tensor, (c, i) in enumerate(pairs):
        fits = (c.nbytes - c.nbytes[i] <= room) & (c.instructions - c.instructions[i] <= spare)
        j = int(np.argmin(np.where(fits, c.error, np.inf)))
        if c.error[i] - c.error[j] > gain:
            best, gain = (tensor, j), float(c.error[i] - c.error[j])
    if best is None:
        return False
    chosen[best[0]] = best[1]
    return True


def _shown(key: str, value: object) -> str:
    if key == "codec":
        return str(value)
    return f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
