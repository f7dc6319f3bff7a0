"""Which codec takes which tensor, and why."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import NoneType

from neuralcodec.codec import Codec, ForSmall, Stepped
from neuralcodec.errors import PlanError
from neuralcodec.registry import make_codec, option_defaults, with_options
from neuralcodec.source import Source
from neuralcodec.tensor import MIN_WEIGHTS, TensorSpec

Overrides = Mapping[str, Mapping[str, object]]
"""For names or shell patterns of names, options that differ from those of the others, or another codec, as "codec", and
its options. The first that matches counts."""

Pattern = str | Sequence[str] | Callable[[str], bool] | None
"""Names to choose: a shell pattern such as ``"encoder.*"``, several of them, or a function of the name."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The codec of a tensor, and in a few words why it is that one; ``fixed`` if a target must not change it."""

    codec: Codec
    reason: str
    fixed: bool = False

    @property
    def stays(self) -> bool:
        """Whether a target leaves the tensor as it is: it is fixed, or kept exactly."""
        return self.fixed or not self.codec.lossy


def assign(
    source: Source,
    codec: Codec,
    include: Pattern,
    exclude: Pattern,
    overrides: Overrides | None = None,
    *,
    target: bool = False,
) -> dict[str, Assignment]:
    """Gives each tensor of the source its codec.

    A lossy codec takes the float tensors with two dimensions and ``MIN_WEIGHTS`` weights or more that ``include`` and
    ``exclude`` choose, but no masks of pruned ones; everything else is kept exactly, coded losslessly where that makes
    it smaller, unless the codec names another one for small tensors. A lossless codec takes all that is chosen.

    Args:
        source: the tensors.
        codec: what takes those that are chosen.
        include: names to choose.
        exclude: names not to choose.
        overrides: options for some tensors.
        target: whether the model is to meet a target.

    Raises:
        PlanError: a pattern matches no tensor at all, so it is probably misspelled; or an option is wrong, or says what
            the target sets, or is of a pattern behind a wider one.
    """
    names = [*source.specs, *source.ties]
    if not isinstance(overrides, (Mapping, NoneType)):
        raise PlanError(f"overrides: a mapping of names to options expected, not {type(overrides).__name__}")
    included = _matcher(include, names, "include") if include is not None else lambda name: True
    excluded = _matcher(exclude, names, "exclude") if exclude is not None else lambda name: False
    if target and codec.lossy and (set_twice := _set_by_target(codec)):
        raise PlanError(
            f"{set_twice[0]}: a target finds the step; give one of the two (overrides= may fix some tensors)"
        )
    special = []
    for pattern, options in (overrides or {}).items():
        matches, own_codec = _matcher([pattern], names, "overrides"), _overridden(codec, pattern, options)
        fixed = "codec" in options or (target and not {*_set_by_target(own_codec)}.isdisjoint(options))
        special.append((pattern, matches, own_codec, fixed))
    exact = codec if not codec.lossy else make_codec("huffman", {"lossless": True})
    short = codec.for_small(target) if isinstance(codec, ForSmall) else None
    plan: dict[str, Assignment] = {}
    reached = set()
    for name, spec in source.specs.items():
        # A tied tensor is chosen if any of its names is.
        also = [name, *(other for other, first in source.ties.items() if first == name)]
        chosen = any(included(n) for n in also) and not any(excluded(n) for n in also)
        own = next(((c, p, other) for p, matches, c, other in special if any(matches(n) for n in also)), None)
        reached.add(None if own is None else own[1])
        reason = _why_exact(spec, codec if own is None else own[0], source) if chosen else "not chosen"
        if reason and short is not None and spec.dtype.is_float and chosen:
            plan[name] = Assignment(short, f"short floats: {reason}", fixed=True)
        elif reason:
            plan[name] = Assignment(exact, f"exact: {reason}")
        elif own is not None:
            plan[name] = Assignment(own[0], f"chosen, with overrides for {own[1]!r}", fixed=own[2])
        else:
            plan[name] = Assignment(codec, "chosen")
    _check_order({pattern: matches for pattern, matches, *_ in special}, names, reached)
    return plan


def _check_order(
    matchers: Mapping[str, Callable[[str], bool]], names: Sequence[str], reached: Collection[str | None]
) -> None:
    """Refuses overrides that do nothing because a wider pattern stands before them."""
    patterns = [*matchers]
    for pattern in (each for each in patterns if each not in reached):
        matched = {*filter(matchers[pattern], names)}
        for wider in patterns[: patterns.index(pattern)]:
            if matched < {*filter(matchers[wider], names)}:
                raise PlanError(
                    f"overrides: {pattern!r} does nothing: {wider!r} is before it and matches its tensors and more, "
                    "and the first match counts; put the other first"
                )


def _overridden(codec: Codec, pattern: str, options: Mapping[str, object]) -> Codec:
    if not isinstance(options, Mapping):
        raise PlanError(f"overrides for {pattern!r}: options of a tensor are a mapping, not {options!r}")
    other = options.get("codec", codec)
    if not isinstance(other, (str, Codec)):
        raise PlanError(f"overrides for {pattern!r}: the name of a codec expected, not {other!r}")
    try:
        if "codec" not in options:
            return with_options(codec, options)
        return make_codec(other, {key: value for key, value in options.items() if key != "codec"})
    except PlanError as error:
        raise PlanError(f"overrides for {pattern!r}: {error.message}") from error


def _set_by_target(codec: Codec) -> list[str]:
    """Options that have been set, and that a target would set to something else."""
    if not isinstance(codec, Stepped):
        return []
    stepped = codec.with_step(1.0), codec.with_step(2.0)
    return [
        name
        for name, default in option_defaults(type(codec)).items()
        if (value := getattr(codec, name)) != default and any(getattr(each, name, value) != value for each in stepped)
    ]


def _why_exact(spec: TensorSpec, codec: Codec, source: Source) -> str:
    if not codec.lossy:
        return ""
    if not spec.dtype.is_float:
        return "not a float tensor"
    if len(spec.shape) < 2:
        return "fewer than 2 dimensions"
    if spec.size < MIN_WEIGHTS:
        return f"fewer than {MIN_WEIGHTS} weights"
    pruned = spec.name.removesuffix("_mask")
    if f"{pruned}_orig" in source.specs and f"{pruned}_mask" == spec.name:
        return "a mask of torch.nn.utils.prune"  # weights that are pruned must not come back
    return ""


def _matcher(pattern: Pattern, names: list[str], what: str) -> Callable[[str], bool]:
    if callable(pattern):
        return pattern
    patterns = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(patterns, Iterable) or not all(isinstance(p, str) for p in patterns):
        raise PlanError(f"{what}: a shell pattern, several, or a function of the name expected, not {pattern!r}")
    patterns = list(patterns)
    for p in patterns:
        if p not in names and not any(fnmatchcase(name, p) for name in names):
            if not names:
                raise PlanError(f"{what}: the model is empty")
            near = difflib.get_close_matches(p, names, n=1, cutoff=0.6)
            said = f"did you mean {near[0]!r}?" if near else f"names look like {names[0]!r}"
            raise PlanError(f"{what}: no tensor matches {p!r}; {said}")
    known = set(names)  # a pattern that is a name stands for that name alone
    return lambda name: any(name == p or (p not in known and fnmatchcase(name, p)) for p in patterns)
