"""The best combinations where the losses of tensors add up.

Shoham and Gersho (1988): minimizing loss + λ · bytes over all tensors is minimizing it for each; as λ grows, one tensor
after the other takes a step down its convex hull.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from neuralcodec.exploration.candidates import Choice

Curve = Sequence[tuple[int, float]]
"""Bytes and loss at each setting, bytes ascending. An infinite loss rules a setting out."""


def combine(curves: Sequence[Curve]) -> list[Choice]:
    """The choices that are best for some λ, finest first: each has one tensor coarser than the one before it."""
    start: list[int] = []
    steps: list[tuple[float, int, int, int]] = []
    for tensor, curve in enumerate(curves):
        hull = convex_hull(curve)
        start.append(hull[-1])
        for place in range(len(hull) - 1, 0, -1):
            fine, coarse = curve[hull[place]], curve[hull[place - 1]]
            steps.append(((coarse[1] - fine[1]) / (fine[0] - coarse[0]), tensor, -hull[place - 1], hull[place - 1]))
    steps.sort()
    choice = list(start)
    choices = [tuple(choice)]
    for _, tensor, _, index in steps:
        choice[tensor] = index
        choices.append(tuple(choice))
    return choices


def convex_hull(curve: Curve) -> list[int]:
    """Indices of the lower convex hull, bytes ascending, loss descending; at least one."""
    hull: list[int] = []
    for index, (nbytes, loss) in enumerate(curve):
        if not math.isfinite(loss) or (hull and loss >= curve[hull[-1]][1]):
            continue
        while len(hull) >= 2:
            (b0, l0), (b1, l1) = curve[hull[-2]], curve[hull[-1]]
            if (l0 - l1) * (nbytes - b0) > (l0 - loss) * (b1 - b0):
                break
            hull.pop()
        hull.append(index)
    return hull or [len(curve) - 1]
