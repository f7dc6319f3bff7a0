"""Finds the step at which the whole file meets a target.

Every tensor gets the same step: for a given rate that minimizes the squared error summed over the model, as reverse
water-filling over independent components does (Cover and Thomas, Elements of Information Theory, section 10.3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from neuralcodec.codec import Stepped
from neuralcodec.errors import PlanError
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.target import TOLERANCE, Target

GOOD_ENOUGH = 0.004
MAX_TRIALS = 24
MAX_PLATEAU = 8
MAX_STRIDE = 8.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a step gave: bytes of the whole file and SNR of the lossily coded tensors."""

    step: float
    nbytes: float
    snr_db: float


def with_step(plan: Mapping[str, Assignment], step: float) -> dict[str, Assignment]:
    """The plan with all lossy codecs at one step."""

    def stepped(a: Assignment) -> Assignment:
        if a.fixed or not a.codec.lossy or not isinstance(a.codec, Stepped):
            return a
        return replace(a, codec=a.codec.with_step(step))

    return {name: stepped(a) for name, a in plan.items()}


def find_step(target: Target, weights: int, first: float, try_step: Callable[[float], Trial]) -> float:
    """Searches log2(step) for the goal: brackets it, then interpolates (regula falsi, Illinois variant).

    Args:
        target: the wish.
        weights: number of weights of the model, all tensors counted.
        first: a step to begin with.
        try_step: encodes the model at a step.

    Returns:
        A step that meets the goal within 2 %: on the side of fewer bytes or higher SNR where one within the
        tolerance was found.

    Raises:
        PlanError: no step meets it; ``nearest`` is what can be reached, in the unit of the target.
    """
    goal = target.goal(weights)
    trials: dict[float, Trial] = {}

    def miss(log_step: float) -> float:
        """How far above the goal: falls with the step for both kinds of goal."""
        if log_step not in trials:
            trials[log_step] = try_step(2.0**log_step)
        return _value(target, trials[log_step]) - goal

    def good(trial: Trial) -> bool:
        excess = (_value(target, trial) - goal) / goal
        return 0 <= excess <= GOOD_ENOUGH if target.wants_snr else -GOOD_ENOUGH <= excess <= 0

    slope = 6.02 if target.wants_snr else weights / 8  # per octave of the step, at high rate
    here = math.log2(first)
    value = miss(here)
    direction = 1 if value > 0 else -1  # towards coarser or finer
    stride = min(max(1.0, abs(value) / slope), MAX_STRIDE)
    ends = {direction > 0: (here, value)}
    while len(trials) < MAX_TRIALS and stride > 1 / 16:
        there = here + direction * stride
        next_value = miss(there)
        if (next_value > 0) != (value > 0):
            ends = {True: (here, value), False: (there, next_value)}
            if direction < 0:
                ends = {True: ends[False], False: ends[True]}
            break
        started_on_a_plateau = next_value == value == ends[direction > 0][1] and len(trials) <= MAX_PLATEAU
        if (next_value - value) * direction < 0 or started_on_a_plateau:
            here, value = there, next_value
            stride *= 1.5
        else:
            stride /= 2  # no nearer: the codec is at its limit, or beyond it
    if len(ends) == 2:
        _close_in(*ends[True], *ends[False], miss, lambda: any(good(t) for t in trials.values()))
    return _choose(target, goal, weights, list(trials.values()))


def _close_in(  # noqa: PLR0917
    fine: float, above: float, coarse: float, below: float, miss: Callable[[float], float], done: Callable[[], bool]
) -> None:
    """Regula falsi between a step that gives too much and one that gives too little."""
    side = 0
    for _ in range(MAX_TRIALS):
        if done() or coarse - fine < 1e-6:
            return
        # Illinois: an end that stays twice counts half, so that both ends move.
        a, b = (above, below / 2) if side < -1 else (above / 2, below) if side > 1 else (above, below)
        middle = fine + (coarse - fine) * a / (a - b)
        margin = 0.02 * (coarse - fine)
        middle = min(max(middle, fine + margin), coarse - margin)
        value = miss(middle)
        if value > 0:
            fine, above, side = middle, value, min(side, 0) - 1
        else:
            coarse, below, side = middle, value, max(side, 0) + 1


def _value(target: Target, trial: Trial) -> float:
    # An SNR of exactly zero error is infinite; any large number serves the search.
    return min(max(trial.snr_db, -400.0), 400.0) if target.wants_snr else trial.nbytes


def _choose(target: Target, goal: float, weights: int, trials: list[Trial]) -> float:
    def excess(trial: Trial) -> float:
        return (_value(target, trial) - goal) / goal

    def rightful(trial: Trial) -> bool:
        return excess(trial) >= 0 if target.wants_snr else excess(trial) <= 0

    within = [t for t in trials if abs(excess(t)) <= TOLERANCE and (rightful(t) or target.max_bytes is None)]
    if within:
        return min(within, key=lambda t: (not rightful(t), abs(excess(t)))).step
    if target.max_bytes is not None and any(rightful(t) for t in trials):
        # Under the limit by more than the tolerance because nothing finer exists: still what was asked for.
        return max((t for t in trials if rightful(t)), key=lambda t: (t.nbytes, t.snr_db)).step
    nearest = min(trials, key=lambda t: abs(excess(t)))
    reached = _value(target, nearest)
    raise PlanError(
        f"the target of {target.describe(goal, weights)} cannot be met; "
        f"the nearest is {target.describe(reached, weights)}",
        nearest=target.in_unit(reached, weights),
    )
