"""Encodes a source so that the whole file meets a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from neuralcodec.codec import Codec, Stepped
from neuralcodec.errors import PlanError
from neuralcodec.measure import Errors
from neuralcodec.plan.allocation import relative_steps
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.run import Exact, OnNonfinite, Progress, encode_source
from neuralcodec.plan.search import Trial, find_step, with_step
from neuralcodec.plan.sketch import sketch
from neuralcodec.plan.target import Target
from neuralcodec.source import Source
from neuralcodec.stream.writer import Stream


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
    others = {name: assignment for name, assignment in plan.items() if name not in lossy}
    kept = encode_source(_only(source, others), others, executor, on_nonfinite, exact=exact)
    latest: list[tuple[float, Stream]] = []  # two trials, of which one is nearly always what is wanted

    def try_step(step: float) -> Trial:
        stream = encode_source(source, with_step(plan, step, relative), executor, on_nonfinite, progress, exact=exact)
        errors = [entry.errors for name in lossy if (entry := stream.entries[name]).errors is not None]
        lost = sum((each for each in errors if each is not None and not each.lossless), Errors())
        trial = Trial(step, file_size(stream), lost.snr_db)
        latest[:] = [*latest[-1:], (step, stream)]
        return trial

    yardstick = sketch(((source.read(name).float32(), relative.get(name, 1.0)) for name in lossy), len(lossy))
    step = find_step(target, weights, file_size(kept), yardstick, try_step)
    for tried, stream in latest:
        if tried == step:
            return stream
    return encode_source(source, with_step(plan, step, relative), executor, on_nonfinite, progress, exact=exact)


def _only(source: Source, names: Mapping[str, object]) -> Source:
    return Source({name: source.specs[name] for name in source.specs if name in names}, {}, source.read)
