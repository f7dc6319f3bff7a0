"""The best combinations where the losses of tensors add up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuralcodec.exploration.candidates import Choice

Curve = Sequence[tuple[int, float]]
"""Bytes and loss at each setting, bytes ascending. An infinite loss rules a setting out."""


MOST_KEPT = 4096
"""Of combinations of some of the tensors, no more are kept: beyond that, those at even ratios of their bytes."""


def combine(curves: Sequence[Curve]) -> list[Choice]:
    """The choices of which none is both smaller and better than another, finest first.

    All of them where they are few, else a selection in which the lower convex hull is complete.
    """
    curves = [_usable(curve) for curve in curves]
    found = {_total(curves, choice): choice for choice in _merged(curves)}
    # The hull wins where totals are the same: what it is made of rounds alike.
    found |= {_total(curves, choice): choice for choice in hull_choices(curves)}
    kept: list[Choice] = []
    least = math.inf
    for total in sorted(found):
        if total[1] < least:
            least = total[1]
            kept.append(found[total])
    return kept[::-1]


def hull_choices(curves: Sequence[Curve]) -> list[Choice]:
    """The choices that are best for some λ, finest first: each has one tensor coarser than the one before it.

    Shoham and Gersho (1988): minimizing loss + λ · bytes over all tensors is minimizing it for each; as λ grows, one
    tensor after the other takes a step down its convex hull.
    """
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
    """Indices of the lower convex hull, bytes ascending, loss descending."""
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
    return hull


def _usable(curve: Curve) -> Curve:
    """Settings with finite losses; where all are ruled out, the finest all the same."""
    if any(math.isfinite(loss) for _, loss in curve):
        return curve
    return [*curve[:-1], (curve[-1][0], 0.0)]


def _total(curves: Sequence[Curve], choice: Choice) -> tuple[int, float]:
    nbytes = sum(curve[i][0] for curve, i in zip(curves, choice, strict=True))
    # Exactly rounded, so that the order of the tensors does not matter.
    return nbytes, math.fsum(curve[i][1] for curve, i in zip(curves, choice, strict=True))


def _merged(curves: Sequence[Curve]) -> list[Choice]:
    """Adds one tensor after the other to the best combinations of those before it."""
    sizes, losses = np.zeros(1), np.zeros(1)
    picked: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = []  # for each tensor: combination, setting
    for curve in curves:
        usable = [i for i, (_, loss) in enumerate(curve) if math.isfinite(loss)]
        own_sizes = np.array([float(curve[i][0]) for i in usable])
        own_losses = np.array([curve[i][1] for i in usable])
        all_sizes = (sizes[:, None] + own_sizes).reshape(-1)
        all_losses = (losses[:, None] + own_losses).reshape(-1)
        order = np.lexsort((all_losses, all_sizes))
        before = np.minimum.accumulate(np.concatenate([[np.inf], all_losses[order]]))[:-1]
        order = order[all_losses[order] < before]
        if len(order) > MOST_KEPT:
            logs = np.log(np.maximum(all_sizes[order], 1))
            order = order[np.unique(np.searchsorted(logs, np.linspace(logs[0], logs[-1], MOST_KEPT)))]
        sizes, losses = all_sizes[order], all_losses[order]
        picked.append((order // len(usable), np.array(usable)[order % len(usable)]))
    choices: list[Choice] = []
    for last in range(len(sizes)):
        at, choice = last, []
        for combination, setting in reversed(picked):
            choice.append(int(setting[at]))
            at = int(combination[at])
        choices.append(tuple(reversed(choice)))
    return choices
