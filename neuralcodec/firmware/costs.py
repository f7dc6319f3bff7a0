"""What decoding takes of a core, so that codings can be chosen by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from neuralcodec.codec import Codec
from neuralcodec.codecs.kmeans import KMeans
from neuralcodec.codecs.raw import Raw
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.tensor import TensorSpec

Core = Literal["m4", "m55"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Instructions that a layer takes beyond those with plain weights.

    Attributes:
        tensor: for opening a tensor and for its tables.
        weight: for each weight.
    """

    tensor: int
    weight: float


COSTS: Mapping[Core, Mapping[str, Cost]] = {
    "m4": {
        "raw": Cost(3_000, 1.0),
        "fixed": Cost(3_200, 5.9),
        "fixed, 8 clusters": Cost(2_900, 4.6),
        "fixed, 16 clusters": Cost(3_100, 4.4),
        "huffman": Cost(12_000, 6.3),
        "kmeans huffman": Cost(13_800, 6.8),
        "prefix": Cost(18_000, 11.5),
        "light": Cost(47_200, 15.0),
        "contexts": Cost(76_000, 46.0),
    },
    "m55": {
        "raw": Cost(3_000, 0.5),
        "fixed": Cost(3_200, 2.2),
        "fixed, 8 clusters": Cost(3_100, 2.2),
        "fixed, 16 clusters": Cost(3_000, 1.1),
        "huffman": Cost(12_000, 6.3),
        "kmeans huffman": Cost(14_200, 6.8),
        "prefix": Cost(17_900, 11.5),
        "light": Cost(45_300, 15.0),
        "contexts": Cost(73_700, 46.2),
    },
}
"""By core and by what decodes, in tiles of 1,024 weights: `python bench/decode_costs.py`. The Cortex-M7 and M33 are as
the M4."""

REORDERED = 4.1
"""More instructions for each weight of a kernel of several places and channels."""


def decode_cost(codec: Codec, spec: TensorSpec, core: Core) -> int:
    """About how many instructions decoding takes that a layer does not take with plain weights.

    Args:
        codec: what the weights are coded with: raw, huffman, kmeans or trellis.
        spec: the tensor.
        core: of :data:`COSTS`.
    """
    cost = COSTS[core][_way(codec)]
    # Kernels take the weights of a place together, in all channels.
    reordered = REORDERED * spec.size if math.prod(spec.shape[2:]) > 1 and spec.shape[1] > 1 else 0.0
    return round(cost.tensor + cost.weight * spec.size + reordered)


def _way(codec: Codec) -> str:
    if isinstance(codec, Raw):
        return "raw"
    if isinstance(codec, KMeans):
        if codec.coding != "fixed":
            return "kmeans huffman"
        return f"fixed, {codec.clusters} clusters" if codec.clusters in {8, 16} else "fixed"
    return codec.coding if isinstance(codec, Trellis) else "huffman"
