"""Blocks of weights as sums of pseudo-random vectors: SeedLM (docs/format.md, section 13.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralcodec import _native
from neuralcodec.codecs.huffman.tiles import tile_length
from neuralcodec.codecs.regression.payload import BASIS, RESIDUAL, WIDE, Base, Floats, decoded, head, nest, pack_records

EXPONENT_BITS = 4
MOST_SHIFT = 24
LEVELS = 96.0
"""The largest weight in levels, where these have 8 bits and there is no residual."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a block is made of.

    Attributes:
        block: weights, C.
        vectors: N.
        seed_bits: k.
        factor_bits: w.
    """

    block: int = 8
    vectors: int = 3
    seed_bits: int = 10
    factor_bits: int = 4

    @property
    def bits_per_weight(self) -> float:
        """Of the records."""
        return (self.seed_bits + EXPONENT_BITS + self.vectors * self.factor_bits) / self.block


def tiled_length(rows: int, cols: int, tile: int | None, block: int) -> int:
    """A tile length that blocks divide, where tiles are parts of a row."""
    length = tile_length(rows, cols, tile)
    return length if cols <= length or length < block else length // block * block


def serialize(  # noqa: PLR0917
    weights: Floats,
    importance: Floats | None,
    shape: Shape,
    step: float | None,
    residual: Base | None,
    tile: int | None,
) -> bytes:
    """The payload.

    Args:
        weights: shape [rows, cols], not all 0.
        importance: for the residual.
        shape: of the blocks.
        step: distance between levels; None for the one at which the largest weight has some hundred.
        residual: codec of the residual, or None for none.
        tile: most weights of a tile.
    """
    rows, cols = weights.shape
    # The residual's tiles are the same, of lengths that differ little; then the last block of each may be short.
    length = tiled_length(rows, cols, tile, shape.block) if residual is None else tile_length(rows, cols, tile)
    largest = float(np.abs(weights).max())
    if step is None:
        step = largest / LEVELS
    step = float(np.float32(max(step, largest / 32_000)))
    if cols <= length:
        whole = length // cols * cols
        sizes = [whole] * (weights.size // whole) + ([weights.size % whole] if weights.size % whole else [])
    else:
        one = [length] * (cols // length) + ([cols % length] if cols % length else [])
        sizes = one * rows
    scaled = np.ascontiguousarray((weights / np.float32(step)).reshape(-1))
    # The largest factor of all blocks that is met should fit at the least exponent.
    shift = _least_shift(float(np.abs(scaled).max()), shape)
    seeds, exponents, factors = _native.search_basis(
        scaled,
        np.array(sizes, np.uint32),
        shape.block,
        shape.vectors,
        shape.seed_bits,
        shape.factor_bits,
        EXPONENT_BITS,
        shift,
    )
    found = [seeds.astype(np.int64), exponents.astype(np.int64), *factors.T.astype(np.int64)]
    # Each tile but the last has the records of a full one, also where it ends a row and has fewer blocks.
    blocks = [-(-size // shape.block) for size in sizes]
    places = np.concatenate([i * blocks[0] + np.arange(n) for i, n in enumerate(blocks)])
    fields = [np.zeros(places[-1] + 1, np.int64) for _ in found]
    for field, values in zip(fields, found, strict=True):
        field[places] = values
    records = pack_records(fields, [shape.seed_bits, EXPONENT_BITS] + [shape.factor_bits] * shape.vectors)
    parameters = bytes([shape.block, shape.vectors, shape.seed_bits, shape.factor_bits, EXPONENT_BITS, shift])
    body = parameters + records
    wide = largest / step > LEVELS + 1  # a step that was rounded to float32 makes it somewhat more than LEVELS
    payload = head(BASIS, WIDE if wide else 0, length, step) + body
    if residual is None:
        return payload
    coded = nest(weights - decoded(payload, (rows, cols)), importance, step, residual, length)
    if coded.step != step:
        raise ArithmeticError("the residual is too large for the step")
    wide = True  # where the residual takes levels is not known before
    return head(BASIS, WIDE | RESIDUAL, length, step) + body + coded.serialize()


def _least_shift(largest: float, shape: Shape) -> int:
    """D: at the least exponent the largest factor stands for the largest weight, and somewhat more."""
    reach = (1 << (shape.factor_bits - 1)) * (1 << (shape.seed_bits - 1))
    shift = int(np.floor(np.log2(reach / max(largest, 1e-30)))) - 1
    return int(np.clip(shift, 0, MOST_SHIFT - (1 << EXPONENT_BITS) + 1))
