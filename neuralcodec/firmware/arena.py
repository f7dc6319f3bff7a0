"""Plans where activations lie in memory: greedily by size, as Pisarchyk and Lee (2020) compare."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 8
TRIES = 400
"""Exchanges where no order meets the bound."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that is needed from one step to another, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Whether there is a step at which both are needed."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Arena:
    """A plan.

    Attributes:
        offsets: where each buffer starts, by name; multiples of 8.
        size: bytes in all.
        bound: bytes that are needed at some step at the same time; no plan takes less.
        live: bytes that are needed at each step, from step 0 on.
        activations: the most bytes of activations that are needed at a time.
    """

    offsets: Mapping[str, int]
    size: int
    bound: int
    live: tuple[int, ...] = ()
    activations: int = 0


def plan_arena(buffers: Iterable[Buffer]) -> Arena:
    """Places buffers so that none that are needed at the same time overlap.

    Several orders are tried, largest first among them, then exchanges of two buffers; the smallest plan counts.
    """
    given = list(buffers)
    bound = max(
        (sum(_aligned(b.size) for b in given if b.first <= step <= b.last) for step in _steps(given)), default=0
    )
    orders: list[Callable[[Buffer], tuple[int, ...]]] = [
        lambda b: (-b.size, b.first),
        lambda b: (-(b.last - b.first), -b.size),
        lambda b: (b.first, -b.size),
        lambda b: (-b.last, -b.size),
        lambda b: (-b.size * (b.last - b.first + 1), b.first),
    ]
    sequences = [sorted(given, key=lambda b: (*order(b), b.name)) for order in orders]
    found = min((_place(sequence, bound) for sequence in sequences), key=lambda plan: plan.size)
    chance = random.Random(0)  # the same plan for the same network
    sequence = sequences[0]
    for _ in range(TRIES):
        if found.size == bound or len(sequence) < 2:
            break
        trial = list(sequence)
        i, j = chance.sample(range(len(trial)), 2)
        trial[i], trial[j] = trial[j], trial[i]
        plan = _place(trial, bound)
        if plan.size <= found.size:
            found, sequence = plan, trial
    return found


def _place(buffers: Sequence[Buffer], bound: int) -> Arena:
    offsets: dict[str, int] = {}
    placed: list[Buffer] = []
    for buffer in buffers:
        size = _aligned(buffer.size)
        taken = sorted((offsets[b.name], offsets[b.name] + _aligned(b.size)) for b in placed if b.meets(buffer))
        at = 0
        for start, end in taken:
            if start - at >= size:
                break
            at = max(at, end)
        offsets[buffer.name] = at
        placed.append(buffer)
    size = max((offsets[b.name] + _aligned(b.size) for b in buffers), default=0)
    return Arena(offsets, size, bound)


def _steps(buffers: Iterable[Buffer]) -> list[int]:
    return sorted({b.first for b in buffers})


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
