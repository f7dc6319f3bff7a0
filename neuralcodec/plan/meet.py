"""Encodes a source so that the whole file meets a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace

from neuralcodec.codec import Codec, Stepped
from neuralcodec.errors import PlanError
from neuralcodec.measure import Errors
from neuralcodec.plan.allocation import relative_steps
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.run import Exact, OnNonfinite, Progress, encode_source
from neuralcodec.plan.search import Jump, Trial, find_step, with_step
from neuralcodec.plan.sketch import sketch
from neuralcodec.plan.target import Target
from neuralcodec.source import Source
from neuralcodec.stream.writer import Stream

MOST_HELD = 3
"""Tensors that leave the common step, at most, as it passes a step at which their bits jump over the target."""


def meet(  # noqa: PLR0917
    target: Target,
    source: Source,
    plan: Mapping[str, Assignment],
    codec: Codec,
    file_size: Callable[[Stream], int],
    executor: Executor | None = None,
    on_nonfinite: OnNonfinite = "error",
    progress: Progress | None = None,
) -> Stream:
    """The stream at the step that meets a target.

    Bits may jump at a step: where most weights of a tensor have one magnitude, and all of them become 0 at once. If the
    target lies within, the tensor that jumps most stays on the coarser side (on the finer one if an SNR is wanted), and
    the step of the others goes on.

    Args:
        target: the wish.
        source: the tensors.
        plan: the codec of each, whose step is to be found.
        codec: the one that was asked for.
        file_size: bytes of the file of a stream.
        executor: encodes tensors in parallel.
        on_nonfinite: what to do with NaN and Inf.
        progress: told of each tensor that is encoded, at each step that is tried.

    Raises:
        PlanError: the codec has no step, no tensor would be coded lossily, or no step meets the target.
        SourceError: a tensor cannot be encoded.
    """
    if not codec.lossy:
        raise PlanError(f"codec {codec.name!r} as set up here is lossless; a target needs a lossy one")
    if not isinstance(codec, Stepped):
        raise PlanError(f"codec {codec.name!r} has no step to search, so it cannot meet a target")
    lossy = [name for name, assignment in plan.items() if not assignment.stays]
    if not lossy:
        raise PlanError("no tensor is coded lossily (all are small, excluded or not floats), so no target can be met")
    weights = sum(spec.size for spec in source.specs.values())
    relative = relative_steps(source, lossy) if target.for_layers else {}
    exact = Exact()
    latest: list[tuple[float, Stream]] = []  # two trials, of which one is nearly always what is wanted

    def encoded(plan: Mapping[str, Assignment], step: float) -> Stream:
        return encode_source(source, with_step(plan, step, relative), executor, on_nonfinite, progress, exact=exact)

    def find(plan: Mapping[str, Assignment]) -> float:
        def try_step(step: float) -> Trial:
            stream = encoded(plan, step)
            errors = [entry.errors for name in lossy if (entry := stream.entries[name]).errors is not None]
            lost = sum((each for each in errors if each is not None and not each.lossless), Errors())
            trial = Trial(step, file_size(stream), lost.snr_db)
            latest[:] = [*latest[-1:], (step, stream)]
            return trial

        latest.clear()
        stays = {name: assignment for name, assignment in plan.items() if assignment.stays}
        kept = file_size(encode_source(_only(source, stays), stays, executor, on_nonfinite, exact=exact))
        moves = [name for name in plan if name not in stays]
        yardstick = sketch(((source.read(name).float32(), relative.get(name, 1.0)) for name in moves), len(moves))
        return find_step(target, weights, kept, yardstick, try_step)

    for last in (False,) * MOST_HELD + (True,):
        try:
            step = find(plan)
            break
        except Jump as jump:
            moves = [name for name, assignment in plan.items() if not assignment.stays]
            if last or len(moves) == 1:
                if jump.instead is None:
                    raise PlanError(jump.message, nearest=jump.nearest) from None
                step = jump.instead
                break
            fine, coarse = (encoded(plan, each) for each in jump.steps)
            held = max(moves, key=lambda name: abs(_nbytes(fine, name) - _nbytes(coarse, name)))
            stepped = with_step({held: plan[held]}, jump.steps[0 if target.wants_snr else 1], relative)[held]
            plan = {**plan, held: replace(stepped, reason=f"{stepped.reason}; its bits jump", fixed=True)}
    for tried, stream in latest:
        if tried == step:
            return stream
    return encoded(plan, step)


def _nbytes(stream: Stream, name: str) -> int:
    return stream.entries[name].place.size


def _only(source: Source, names: Mapping[str, object]) -> Source:
    return Source({name: source.specs[name] for name in source.specs if name in names}, {}, source.read)
