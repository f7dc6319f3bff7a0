"""Finds the step at which the whole file meets a target.

Steps of all tensors are a common one times what :mod:`neuralcodec.plan.allocation` says. If that is 1 for all, the
squared error summed over the model is the least for its rate, as reverse water-filling over independent components
does it (Cover and Thomas, Elements of Information Theory, section 10.3.3).

Encoding takes seconds to minutes, so the search does as little of it as it can. A sketch of the weights says at which
step rounding would meet the target; the codec is tried there. What it gave, rounding gives at some other step: how far
off that is tells how far to go, and as this distance hardly changes with the step, the second or third trial is it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from neuralcodec.codec import Stepped
from neuralcodec.errors import PlanError
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.target import MOST_DB, TOLERANCE, Target

GOOD_ENOUGH = 0.008
"""Off by no more than this fraction, on the rightful side, no trial follows."""

NEAR = 0.002
"""Nor where an SNR is lower than wanted by no more than this fraction."""

AIM = 0.004
"""How far on the rightful side the search aims."""

FEW_TRIALS = 3
MAX_TRIALS = 24
MAX_PLATEAU, MAX_PLATEAU_COARSER = 2, 8
"""Trials that may give the same. Finer steps may give no more however fine they are; coarser ones end with all 0."""

LEAST_STRIDE, LEAP, MAX_STRIDE = 1 / 8, 1.0, 8.0

LEAST_BRACKET = 1 / 1024
"""Octaves of the step in which no codec goes from too much to too little but by a jump."""

BESIDE, MOST_BESIDE = 1 / 16, 6
"""Where it jumps it may have jumped back a little further on: octaves between trials beside a jump, and how many."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a step gave: bytes of the whole file and SNR of the lossily coded tensors."""

    step: float
    nbytes: float
    snr_db: float


class Yardstick(Protocol):
    """Tells about at which step a value is reached; see :class:`neuralcodec.plan.sketch.Sketch`."""

    def step_of(self, value: float, *, snr: bool) -> float:
        """log2 of the step at which this many bytes, or dB, would be reached; falls with the value."""
        ...


class Jump(PlanError):
    """No step meets the target: of two next to each other the finer one gives too much, the coarser one too little.

    Attributes:
        steps: the finer one and the coarser one; both have been tried.
        instead: the step of a trial that is better than what was asked for, as :func:`find_step` has it; None if none
            is.
    """

    def __init__(
        self,
        message: str,
        *,
        steps: tuple[float, float] = (0.0, 0.0),
        instead: float | None = None,
        nearest: float | None = None,
        tensor: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, nearest=nearest, tensor=tensor, offset=offset)
        self.steps = steps
        self.instead = instead


def with_step(plan: Mapping[str, Assignment], step: float, relative: Mapping[str, float]) -> dict[str, Assignment]:
    """The plan with all lossy codecs at one step, times that of their tensor in ``relative`` if it is named there."""

    def stepped(name: str, a: Assignment) -> Assignment:
        if a.stays or not isinstance(a.codec, Stepped):
            return a
        return replace(a, codec=a.codec.with_step(step * relative.get(name, 1.0)))

    return {name: stepped(name, a) for name, a in plan.items()}


def find_step(
    target: Target, weights: int, kept: float, yardstick: Yardstick, try_step: Callable[[float], Trial]
) -> float:
    """Searches log2(step) for the goal: brackets it, then interpolates (regula falsi, Illinois variant).

    Args:
        target: the wish.
        weights: number of weights of the model, all tensors counted.
        kept: bytes of the file that no step changes.
        yardstick: of the bytes that steps do change, and of the SNR.
        try_step: encodes the model at a step.

    Returns:
        The step of one of the trials, which meets the goal within 2 %: rather on the side of fewer bytes or higher SNR.
        If none does, the one of the smallest file that has a higher SNR than is wanted, or of one in fewer bits than
        are wanted that loses nothing.

    Raises:
        Jump: no step meets it, but those on both sides of one are known.
        PlanError: no step meets it; ``nearest`` is what can be reached, in the unit of the target.
    """
    goal = target.goal(weights)
    trials: dict[float, Trial] = {}
    side = 1 if target.wants_snr else -1

    def place(value: float) -> float:
        return yardstick.step_of(value if target.wants_snr else value - kept, snr=target.wants_snr)

    aim = place(goal * (1 + side * AIM))

    def miss(log_step: float) -> float:
        """How many octaves the goal is away: falls with the step for both kinds of goal, one for one or so."""
        if log_step not in trials:
            trials[log_step] = try_step(2.0**log_step)
        value = _value(target, trials[log_step])
        off = aim - place(value)
        # Where the yardstick ends, the sign is still known.
        return off if off else math.copysign(1e-3, value - goal) if abs(value - goal) > TOLERANCE * goal else 0.0

    def done() -> bool:
        # The more has been tried, the less is asked for.
        most = GOOD_ENOUGH if len(trials) <= FEW_TRIALS else TOLERANCE
        late = TOLERANCE if len(trials) > 2 * FEW_TRIALS else 0.0
        wrong = max(late, NEAR) if target.wants_snr else late if target.max_bytes is None else 0.0
        return any(-wrong <= side * (_value(target, t) - goal) / goal <= most for t in trials.values())

    here = aim
    value = miss(here)
    direction = 1 if value > 0 else -1  # towards coarser or finer
    stride = min(max(abs(value), LEAST_STRIDE / 4), MAX_STRIDE)
    ends = {direction > 0: (here, value)}
    leapt = False
    while not done() and len(trials) < MAX_TRIALS:
        there = here + direction * stride
        next_value = miss(there)
        if (next_value > 0) != (value > 0):
            ends = {True: (here, value), False: (there, next_value)}
            if direction < 0:
                ends = {True: ends[False], False: ends[True]}
            break
        most = MAX_PLATEAU if direction < 0 else MAX_PLATEAU_COARSER
        started_on_a_plateau = next_value == value == ends[direction > 0][1] and len(trials) <= most
        if (next_value - value) * direction < 0 or started_on_a_plateau:
            # By the slope so far, and a little more, so that the goal lies between.
            slope = abs(next_value - value) / stride
            reach = 1.1 * abs(next_value) / slope + AIM if slope > 0.1 else 2 * max(stride, 0.5)
            here, value, stride = there, next_value, min(reach, MAX_STRIDE)
        elif (
            not leapt and next_value != value
        ):  # no nearer: where a codec changes its ways, it may be for a short distance
            leapt, stride = True, max(4 * stride, LEAP)
        elif next_value != value and stride > LEAST_STRIDE:
            stride /= 2  # it is beyond the codec's limit
        else:
            break
    jump = None
    if len(ends) == 2:
        jump = _close_in(*ends[True], *ends[False], miss, done)
        for there in (jump[0] + sign * k * BESIDE for k in range(1, MOST_BESIDE + 1) for sign in (-1, 1)):
            if _chosen(target, goal, list(trials.values())) is not None:
                break
            miss(there)
    chosen = _chosen(target, goal, list(trials.values()))
    if chosen is not None:
        return chosen.step
    reached = min((_value(target, t) for t in trials.values()), key=lambda value: abs(value - goal))
    message = (
        f"the target of {target.describe(goal, weights)} cannot be met; "
        f"the nearest is {target.describe(reached, weights)}"
    )
    if not target.wants_snr and reached > goal and kept > goal / 2:
        message += (
            f"; {kept:,.0f} bytes are the file's header and tensors that a target leaves as they are (small ones, not "
            "chosen, overridden)"
        )
    nearest = target.in_unit(reached, weights)
    better = _better(target, goal, list(trials.values()))
    instead = None if better is None else better.step
    if jump is not None:
        raise Jump(message, steps=(2.0 ** jump[0], 2.0 ** jump[1]), instead=instead, nearest=nearest)
    if instead is not None:
        return instead
    raise PlanError(message, nearest=nearest)


def _close_in(  # noqa: PLR0917
    fine: float, above: float, coarse: float, below: float, miss: Callable[[float], float], done: Callable[[], bool]
) -> tuple[float, float]:
    """Regula falsi between a step that gives too much and one that gives too little; returns those it ended between."""
    side = 0
    for _ in range(MAX_TRIALS):
        if done() or coarse - fine < LEAST_BRACKET:
            break
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
    return fine, coarse


def _value(target: Target, trial: Trial) -> float:
    # An SNR of exactly zero error is infinite; any large number serves the search.
    return min(max(trial.snr_db, -MOST_DB), MOST_DB) if target.wants_snr else trial.nbytes


def _chosen(target: Target, goal: float, trials: list[Trial]) -> Trial | None:
    """The trial that meets the goal best; None if none does."""

    def excess(trial: Trial) -> float:
        return (_value(target, trial) - goal) / goal

    def rightful(trial: Trial) -> bool:
        return excess(trial) >= 0 if target.wants_snr else excess(trial) <= 0

    within = [t for t in trials if abs(excess(t)) <= TOLERANCE and (rightful(t) or target.max_bytes is None)]
    if within:
        best = min(within, key=lambda t: abs(excess(t)) + (0 if rightful(t) else GOOD_ENOUGH - NEAR))
        # Where levels meet clusters of weights, a finer step may take less.
        return (_better(target, best.snr_db, trials) or best) if target.wants_snr else best
    if target.max_bytes is not None:
        # Under the limit by more than the tolerance because nothing finer exists: still what was asked for.
        return max((t for t in trials if rightful(t)), key=lambda t: (t.nbytes, t.snr_db), default=None)
    return None


def _better(target: Target, goal: float, trials: list[Trial]) -> Trial | None:
    """The smallest trial with more SNR than is wanted, or with fewer bits that lose nothing; None if there is none."""
    if target.wants_snr:
        good = [t for t in trials if t.snr_db >= goal]
    else:
        good = [t for t in trials if t.nbytes <= goal and t.snr_db == math.inf]
    return min(good, key=lambda t: t.nbytes, default=None)
