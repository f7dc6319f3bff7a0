"""Explores a model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

import torch

from neuralcodec.codec import Codec
from neuralcodec.errors import EvaluationError, PlanError
from neuralcodec.exploration import memory
from neuralcodec.exploration.candidates import (
    ORIGINAL,
    Candidates,
    Choice,
    Options,
    States,
    make_candidates,
)
from neuralcodec.exploration.front import Evaluation, Front, Point
from neuralcodec.exploration.search import search
from neuralcodec.exploration.sums import combine
from neuralcodec.plan.rules import Pattern
from neuralcodec.plan.run import Progress
from neuralcodec.registry import make_codec
from neuralcodec.source import open_source, with_importance

Model = torch.nn.Module | Mapping[str, object] | str | os.PathLike[str]
EvaluateState = Callable[[dict[str, torch.Tensor]], float]

POINTS = 24


def explore(
    model: Model,
    codec: str | Codec = "kmeans",
    evaluate: EvaluateState | None = None,
    *,
    settings: Sequence[Options] | None = None,
    include: Pattern = None,
    exclude: Pattern = None,
    importance: Mapping[str, object] | None = None,
    max_loss: float = math.inf,
    min_snr_db: float = -math.inf,
    points: int = POINTS,
    max_evaluations: int | None = None,
    on_failure: Literal["error", "skip"] = "error",
    resume: Front | str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Front:
    """Finds the setting that each tensor should have: the front of size and loss, without training.

    Each tensor is encoded at each setting; sizes are those of real payloads.

    Without ``evaluate`` no data is needed. The loss is the distortion over the energy, which adds up over tensors, so
    that the front can be calculated: all of it for small models, for larger ones a dense part of it with all points of
    its lower convex hull (Shoham and Gersho 1988).

    With ``evaluate`` the search is a heuristic after Dupuis et al., "A Heuristic Exploration of Retraining-free
    Weight-Sharing for CNN Compression" (ASP-DAC 2022): first each tensor alone, then combinations that this promises to
    be good. It takes about 5 evaluations a tensor (7 with ``max_loss``) and twice ``points``. Whatever picks the best
    of many also picks luck: score the point that you take on data that ``evaluate`` has not seen.

    >>> front = neuralcodec.explore(net, evaluate=error_rate, max_loss=0.02)
    >>> rich.print(front.table())
    >>> cm = neuralcodec.encode(net, front.codec, overrides=front.smallest(max_loss=0.02).overrides())

    Args:
        model: as for :func:`neuralcodec.encode`.
        codec: name of a lossy codec, or one that is set up already.
        evaluate: takes a state dict (all names, original shapes and dtypes) and gives a loss: a number that is lower
            for better models, such as an error rate, or minus the accuracy. The same state must give the same loss. It
            must change neither the tensors nor ``model``: load the state into a copy of that.
        settings: options of the codec to try for each tensor, such as ``[{"clusters": 4}, {"clusters": 16}]``. Default:
            2 to 256 clusters for kmeans, 2 to 8 bits for huffman.
        include: as for :func:`neuralcodec.encode`; give it the same.
        exclude: likewise.
        importance: likewise; distortion and SNR are weighted with it. Numbers that differ from tensor to tensor, even
            one for each tensor, say which tensors matter more.
        max_loss: with ``evaluate``, the budget: the search keeps to points that lose no more.
        min_snr_db: without ``evaluate``, the budget.
        points: with ``evaluate``, how many points of the front to evaluate at a time.
        max_evaluations: most calls of ``evaluate``; at least one for each tensor and two more.
        on_failure: what to do where ``evaluate`` raises, or gives no finite number: stop with an error, or ``"skip"``
            to take such settings as unusable.
        resume: evaluations that were made before and need not be made again: a front (that of an
            :class:`~neuralcodec.EvaluationError`, say), or a file. The file is made if there is none, and
            written after every evaluation.
        executor: encodes tensors in parallel.
        progress: called with what is being done, how much of it is done, and how much there is: weights while tensors
            are encoded, evaluations after that (the total is then a guess).
        **options: options of the codec, the same for all tensors.

    Raises:
        EvaluationError: ``evaluate`` failed, or changed what it must not; ``front`` is what was found until then.
        SourceError: a tensor cannot be encoded; the message names it.
        PlanError: no point meets the budget (``nearest`` says what does), an option is wrong, or ``resume`` belongs to
            other weights or settings.
        RegistryError: unknown codec.
    """
    _check_budget(evaluate, max_loss, min_snr_db)
    _check_search(points, on_failure, max_evaluations)
    if evaluate is None and (max_evaluations is not None or resume is not None):
        raise PlanError("max_evaluations, resume: without evaluate= there are no evaluations")
    chosen = make_codec(codec, options)
    if not chosen.lossy:
        raise PlanError(f"codec {chosen.name!r} as set up here is lossless: there is no loss to explore")
    if getattr(chosen, "shared", False):
        raise PlanError("shared: a codebook that tensors share leaves no tensor a setting of its own")
    source = open_source(model)
    if importance is not None:
        source = with_importance(source, importance)
    candidates = make_candidates(
        source, chosen, settings, include=include, exclude=exclude, executor=executor, progress=progress
    )
    if evaluate is None:
        return _without_data(candidates, chosen, min_snr_db)
    ledger = _Ledger(
        candidates,
        chosen,
        evaluate,
        skip=on_failure == "skip",
        most=math.inf if max_evaluations is None else max_evaluations,
        max_loss=max_loss,
        resume=resume,
        progress=progress,
        guess=1 + (5 if max_loss == math.inf else 7) * len(candidates.settings) + 2 * points,
    )
    search(candidates, ledger.loss, ledger.left, points, max_loss)
    front = ledger.front()
    if not front.points:
        made = [e.loss for e in front.evaluations if ORIGINAL not in e.choice]
        least = min(made, default=math.inf)
        if math.isinf(least):
            raise PlanError(f"evaluate() failed with each of {len(made)} combinations that it was given")
        raise PlanError(
            f"max_loss: no combination that was evaluated loses {max_loss:g} or less, the best of {len(made)} loses "
            f"{least:.6g}, the model as it is {front.baseline:.6g}",
            nearest=least,
        )
    return front


def _check_budget(evaluate: EvaluateState | None, max_loss: float, min_snr_db: float) -> None:
    if evaluate is None and max_loss != math.inf:
        raise PlanError("max_loss: without evaluate= there is no loss but distortion; use min_snr_db")
    if evaluate is not None and min_snr_db != -math.inf:
        raise PlanError("min_snr_db: with evaluate= the budget is max_loss")
    if math.isnan(max_loss) or math.isnan(min_snr_db):
        raise PlanError("max_loss, min_snr_db: numbers expected, not NaN")


def _check_search(points: int, on_failure: str, max_evaluations: int | None) -> None:
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise PlanError(f"points: an integer of at least 2 expected, not {points!r}")
    if max_evaluations is not None and (isinstance(max_evaluations, bool) or not isinstance(max_evaluations, int)):
        raise PlanError(f"max_evaluations: an integer or None expected, not {max_evaluations!r}")
    if on_failure not in {"error", "skip"}:
        raise PlanError(f'on_failure is "error" or "skip", not {on_failure!r}')


def _without_data(candidates: Candidates, codec: Codec, min_snr_db: float) -> Front:
    curves = [[(len(s.payload), s.distortion) for s in settings] for settings in candidates.settings.values()]
    found = [_point(candidates, choice, candidates.distortion(choice)) for choice in combine(curves)]
    front = _front(candidates, codec, found, 0.0, ())
    if min_snr_db > -math.inf:
        front.smallest(min_snr_db=min_snr_db)  # raises if there is none
        front = _front(candidates, codec, [p for p in found if p.snr_db >= min_snr_db], 0.0, ())
    return front


class _Ledger:
    """Evaluations: made once, counted, kept."""

    def __init__(
        self,
        candidates: Candidates,
        codec: Codec,
        evaluate: EvaluateState,
        *,
        skip: bool,
        most: float,
        max_loss: float,
        resume: Front | str | os.PathLike[str] | None,
        progress: Progress | None,
        guess: int,
    ) -> None:
        self._candidates = candidates
        self._codec = codec
        self._evaluate = evaluate
        self._skip = skip
        self._most = most
        self._max_loss = max_loss
        self._progress = progress
        self._guess = int(min(most, guess))
        self._states = States(candidates)
        self._used: dict[Choice, float] = {}
        self._file = None if resume is None or isinstance(resume, Front) else Path(resume)
        self._fingerprint = candidates.fingerprint()
        if isinstance(resume, Front):
            self._known = memory.of_front(resume, self._fingerprint)
        else:
            self._known = {} if self._file is None else memory.read(self._file, self._fingerprint)

    def left(self) -> float:
        """Evaluations that may be made. Those of a search that is resumed count, so that it goes the same way."""
        return self._most - len(self._used)

    def loss(self, choice: Choice) -> float:
        """The loss at a choice.

        Raises:
            EvaluationError: the evaluation failed, and failures are not to be skipped.
        """
        if choice in self._used:
            return self._used[choice]
        known = self._known.get(choice)
        if known is None or (math.isinf(known) and not self._skip):
            known = self._made(choice)
        self._used[choice] = known
        if self._progress is not None:
            self._progress("evaluating", len(self._used), max(self._guess, len(self._used)))
        return known

    def _made(self, choice: Choice) -> float:
        cause: Exception | None = None
        loss = math.inf
        try:
            loss = float(self._evaluate(self._states.state(choice)))
            reason = "" if math.isfinite(loss) else f"returned {loss}"
        except Exception as error:  # whatever the user's function raises
            cause, reason = error, f"raised {type(error).__name__}: {error} (it is given a state dict)"
        changed = self._states.changed()
        if changed is not None:
            raise EvaluationError(
                "evaluate() changed a tensor that it was given, or the model that is explored: it must load the state "
                "into a copy of that",
                front=self.front(),
                tensor=changed,
            )
        if reason and not self._skip:
            raise EvaluationError(
                f"evaluate() {reason} with {self._describe(choice)}; {len(self._used)} evaluations are kept in "
                "this error's front, and resume= goes on from there",
                front=self.front(),
            ) from cause
        loss = math.inf if reason else loss
        self._known[choice] = loss
        if self._file is not None:
            memory.write(self._file, self._fingerprint, self._known)
        return loss

    def front(self) -> Front:
        """What is known now."""
        candidates = self._candidates
        found = [
            _point(candidates, choice, loss)
            for choice, loss in self._used.items()
            if ORIGINAL not in choice and loss <= self._max_loss and math.isfinite(loss)
        ]
        made = tuple(Evaluation(choice, candidates.nbytes(choice), loss) for choice, loss in self._used.items())
        baseline = self._used.get((ORIGINAL,) * len(candidates.settings))
        return _front(candidates, self._codec, found, baseline, made)

    def _describe(self, choice: Choice) -> str:
        chosen = [f"{name!r} at {dict(setting.options)}" for name, setting in self._candidates.chosen(choice)]
        if not chosen:
            return "the model as it is"
        return ", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else "")


def _point(candidates: Candidates, choice: Choice, loss: float) -> Point:
    distortion = candidates.distortion(choice)
    return Point(
        settings={name: dict(setting.options) for name, setting in candidates.chosen(choice)},
        nbytes=candidates.nbytes(choice),
        loss=loss,
        snr_db=-10 * math.log10(distortion) if distortion > 0 else math.inf,
    )


def _front(
    candidates: Candidates,
    codec: Codec,
    found: Sequence[Point],
    baseline: float | None,
    evaluations: tuple[Evaluation, ...],
) -> Front:
    points: list[Point] = []
    for point in sorted(found, key=lambda p: (p.nbytes, p.loss, -p.snr_db)):
        if not points or point.loss < points[-1].loss:
            points.append(point)
    return Front(
        points=tuple(points),
        codec=codec,
        original_bytes=sum(spec.nbytes for spec in candidates.source.specs.values()),
        baseline=baseline,
        evaluations=evaluations,
        grid=math.prod(len(settings) for settings in candidates.settings.values()),
        fingerprint=candidates.fingerprint(),
    )
