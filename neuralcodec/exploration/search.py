"""Spends calls of an evaluation function where they tell most.

After Dupuis et al. (ASP-DAC 2022), who explore each layer alone before they combine what is left of it:

1. Each tensor alone, the others as they are, at a few settings; between them loss is taken to follow distortion.
2. If such losses added up, what would be best? Points along that front are evaluated for what they really lose.
3. Losses do not quite add up, so each tensor is made one step coarser at one of these points, tensors that turn out to
   lose more or less than thought are corrected, and the front is evaluated once more.
4. With a limit to the loss, the smallest point within it is made smaller still, tensor by tensor, as long as it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from neuralcodec.errors import PlanError
from neuralcodec.exploration.candidates import ORIGINAL, Candidates, Choice
from neuralcodec.exploration.sums import combine

PROBES = 4
"""Settings of a tensor that are evaluated alone."""

HALVINGS = 6
"""Evaluations around the point where the loss meets its limit."""

MOST_CORRECTION = 8.0

Evaluate = Callable[[Choice], float]
"""The loss at a choice; infinite where the evaluation failed. What was evaluated before costs nothing."""


def search(candidates: Candidates, evaluate: Evaluate, left: Callable[[], float], points: int, max_loss: float) -> None:
    """Evaluates choices. The caller keeps what it finds.

    Args:
        candidates: the settings.
        evaluate: see above.
        left: how many evaluations may still be made.
        points: how many points of a front to evaluate.
        max_loss: no interest is taken in what loses more.

    Raises:
        PlanError: not enough evaluations for one of each tensor.
    """
    tensors = list(candidates.settings.values())
    nothing = (ORIGINAL,) * len(tensors)
    # A third is left for combinations; resumed searches count what they made before.
    allowed = left()
    if allowed < len(tensors) + 2:
        raise PlanError(
            f"max_evaluations: at least {len(tensors) + 2} expected, the model as it is, each of {len(tensors)} "
            "tensors alone, and a combination",
            nearest=len(tensors) + 2,
        )
    probes = PROBES if math.isinf(allowed) else max(1, min(PROBES, int((allowed * 2 / 3 - 1) / len(tensors))))
    baseline = evaluate(nothing)
    if math.isinf(baseline):
        raise PlanError("evaluate() failed on the model as it is")
    alone: list[dict[int, float]] = []
    for tensor, settings in enumerate(tensors):
        made: dict[int, float] = {}
        for index in _spread(len(settings), probes):
            made[index] = evaluate((*nothing[:tensor], index, *nothing[tensor + 1 :])) - baseline
        alone.append(made)
    distortions = [[setting.distortion for setting in settings] for settings in tensors]
    predicted = [predict(own, made) for own, made in zip(distortions, alone, strict=True)]
    _break_ties(predicted, distortions, candidates.energy)

    choices = _walk(candidates, predicted, evaluate, left, (points, max_loss))
    found = [(choice, evaluate(choice)) for choice in choices]
    reference = _reference(candidates, found, baseline, max_loss)
    if reference is None or left() < len(tensors) // 2 + 2:
        return
    _correct(predicted, reference, evaluate, left)
    found += [(choice, evaluate(choice)) for choice in _walk(candidates, predicted, evaluate, left, (points, max_loss))]
    if math.isfinite(max_loss):
        within = [choice for choice, loss in found if loss <= max_loss]
        _descend(min(within, key=candidates.nbytes), candidates, lambda choice: evaluate(choice) <= max_loss, left)


def predict(distortions: Sequence[float], made: Mapping[int, float]) -> list[float]:
    """Loss of a tensor at each setting, from its loss at some of them.

    It is 0 where nothing is distorted, does not fall with distortion (pool adjacent violators, Ayer et al. 1955), and
    is linear in between. Settings as coarse as one that failed, or coarser, are ruled out.
    """
    failed = [distortions[i] for i, loss in made.items() if math.isinf(loss)]
    limit = min(failed, default=math.inf)
    known = sorted((distortions[i], max(loss, 0.0)) for i, loss in made.items() if distortions[i] < limit)
    pools: list[list[float]] = []  # sum and number
    for _, loss in known:
        pools.append([loss, 1])
        while len(pools) >= 2 and pools[-2][0] * pools[-1][1] > pools[-1][0] * pools[-2][1]:
            last = pools.pop()
            pools[-1][0] += last[0]
            pools[-1][1] += last[1]
    losses = [total / number for total, number in pools for _ in range(int(number))]
    at = [0.0, *(distortion for distortion, _ in known)]
    values = [0.0, *losses]
    out = []
    for distortion in distortions:
        if distortion >= limit:
            out.append(math.inf)
        elif distortion > at[-1]:
            out.append(values[-1] * distortion / at[-1] if at[-1] > 0 else 0.0)
        else:
            out.append(float(np.interp(distortion, at, values)))
    return out


def _break_ties(predicted: list[list[float]], distortions: Sequence[Sequence[float]], energy: float) -> None:
    """A loss that does not move says nothing: then a little distortion is better than much."""
    finite = [loss for own in predicted for loss in own if math.isfinite(loss)]
    unit = 1e-3 * max(finite, default=0.0) or 1.0
    for own, lost in zip(predicted, distortions, strict=True):
        for index, distortion in enumerate(lost):
            own[index] += unit * distortion / energy if energy else 0.0


def _walk(
    candidates: Candidates,
    predicted: Sequence[Sequence[float]],
    evaluate: Evaluate,
    left: Callable[[], float],
    wish: tuple[int, float],
) -> list[Choice]:
    """Evaluates points along the front of predicted losses, and around the limit; returns those evaluated."""
    points, max_loss = wish
    choices = combine(
        [
            [(len(setting.payload), loss) for setting, loss in zip(settings, own, strict=True)]
            for settings, own in zip(candidates.settings.values(), predicted, strict=True)
        ]
    )
    chosen = _even([candidates.nbytes(choice) for choice in choices], points)
    losses: dict[int, float] = {}
    misses = 0
    for place in chosen:  # finest first
        if left() < 1 or misses >= 2:
            break
        losses[place] = evaluate(choices[place])
        # One may be bad luck; coarser ones than two that lose too much will not be better.
        misses = misses + 1 if losses[place] > max_loss else 0
    good = [place for place, loss in losses.items() if loss <= max_loss]
    if math.isfinite(max_loss) and good:
        low = max(good)
        high = min((place for place in losses if place > low), default=len(choices))
        for _ in range(HALVINGS):
            middle = (low + high) // 2
            if middle == low or left() < 1:
                break
            losses[middle] = evaluate(choices[middle])
            if losses[middle] <= max_loss:
                low = middle
            else:
                high = middle
    return [choices[place] for place in losses]


def _reference(
    candidates: Candidates, found: Sequence[tuple[Choice, float]], baseline: float, max_loss: float
) -> Choice | None:
    """Where to look at tensors again: at the limit, or where the file is small and the loss is not yet large."""
    usable = [(choice, loss) for choice, loss in found if math.isfinite(loss)]
    if not usable:
        return None
    if math.isfinite(max_loss):
        within = [choice for choice, loss in usable if loss <= max_loss]
        return min(within, key=candidates.nbytes) if within else None
    most = max(loss for _, loss in usable) - baseline
    largest = max(candidates.nbytes(choice) for choice, _ in usable)
    if most <= 0:
        return min((choice for choice, _ in usable), key=candidates.nbytes)
    return min(usable, key=lambda each: (each[1] - baseline) / most + candidates.nbytes(each[0]) / largest)[0]


def _correct(predicted: list[list[float]], reference: Choice, evaluate: Evaluate, left: Callable[[], float]) -> None:
    """Scales the predicted losses of each tensor by what a step at the reference really costs."""
    before = evaluate(reference)
    costs: dict[int, tuple[float, float]] = {}
    for tensor, index in enumerate(reference):
        if index < 1 or left() < 1 or math.isinf(predicted[tensor][index - 1]):
            continue
        after = evaluate((*reference[:tensor], index - 1, *reference[tensor + 1 :]))
        costs[tensor] = (max(after - before, 0.0), predicted[tensor][index - 1] - predicted[tensor][index])
    finite = [real for real, _ in costs.values() if math.isfinite(real)]
    total, thought = sum(finite), sum(guess for real, guess in costs.values() if math.isfinite(real))
    if total <= 0 or thought <= 0:
        return
    # All tensors losing more than thought changes nothing; a twentieth of the mean stands for noise.
    noise = 0.05 / max(len(finite), 1)
    for tensor, (real, guess) in costs.items():
        ratio = MOST_CORRECTION if math.isinf(real) else (real / total + noise) / (guess / thought + noise)
        factor = min(max(ratio, 1 / MOST_CORRECTION), MOST_CORRECTION)
        predicted[tensor] = [loss * factor for loss in predicted[tensor]]


def _descend(
    choice: Choice, candidates: Candidates, holds: Callable[[Choice], bool], left: Callable[[], float]
) -> None:
    """Makes one tensor after the other a step coarser where the limit holds, those first that save most.

    A tensor that fails is left as it is: the others only get coarser. So each costs one evaluation too many at most.
    """
    sizes = [[len(setting.payload) for setting in settings] for settings in candidates.settings.values()]
    failed: set[int] = set()
    for _ in range(2 * len(sizes)):
        saves = {t: sizes[t][i] - sizes[t][i - 1] for t, i in enumerate(choice) if i > 0 and t not in failed}
        if not saves or left() < 1:
            return
        tensor = max(saves, key=lambda t: saves[t])
        coarser = (*choice[:tensor], choice[tensor] - 1, *choice[tensor + 1 :])
        if holds(coarser):
            choice = coarser
        else:
            failed.add(tensor)


def _spread(count: int, wanted: int) -> list[int]:
    """Indices at even distances, the coarsest among them and, if there are several, one short of the finest."""
    if wanted == 1 or count <= 2:
        return [count // 2] if wanted == 1 else list(range(count))
    last = count - 1 if count <= wanted else count - 2
    return sorted({round(i * last / (wanted - 1)) for i in range(wanted)})


def _even(sizes: Sequence[int], wanted: int) -> list[int]:
    """Places at even ratios of descending sizes, first and last among them."""
    if len(sizes) <= wanted:
        return list(range(len(sizes)))
    logs = -np.log([max(size, 1) for size in sizes])
    wishes = np.linspace(logs[0], logs[-1], wanted)
    return sorted({int(np.argmin(np.abs(logs - wish))) for wish in wishes})
