"""Encodes the tensors of a source, one after the other or on an executor, and keeps the payloads."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from neuralcodec import _native
from neuralcodec.codec import NAMED, Choosing, Codec, Explaining, SharedObject, Shares, Sharing, Stepped
from neuralcodec.errors import NeuralCodecError, SourceError
from neuralcodec.measure import Errors, measure_errors
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.surveys import Large, Surveys
from neuralcodec.plan.window import in_order
from neuralcodec.registry import make_codec
from neuralcodec.source import Source
from neuralcodec.stream.store import PayloadStore, Place
from neuralcodec.stream.writer import Entry, Stream
from neuralcodec.tensor import Tensor, TensorSpec

OnNonfinite = Literal["error", "raw"]
LEAST_LARGEST = 2.0**-110
"""Tensors whose largest weight is smaller are kept exactly: steps end at 2⁻¹²⁶, below which float32 has ever fewer
bits, and levels have up to 16."""

Progress = Callable[[str, int, int], None]
"""Called with a tensor's name, the weights done so far and those of the whole model."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tensor, encoded and checked."""

    codec: Codec
    payload: bytes
    reason: str
    errors: Errors


@dataclass(slots=True)
class Exact:
    """What needs to be done but once where a source is encoded at several steps.

    Attributes:
        surveys: of tensors whose codec no step changes, by name and codec, but for large ones.
        encoded: such tensors that share nothing, without their payloads, and where in the store these are.
        store: keeps payloads.
    """

    surveys: dict[tuple[str, Codec], object | None] = field(default_factory=dict)
    encoded: dict[tuple[str, Codec], tuple[Encoded, Place]] = field(default_factory=dict)
    store: PayloadStore = field(default_factory=PayloadStore)

    def survey(self, source: Source, name: str, assignment: Assignment) -> object | None:
        """What the codec, which is one that shares, wants to know of a tensor."""
        if not assignment.stays:
            return _survey(source, name, assignment)
        key = name, assignment.codec
        if key in self.surveys:
            return self.surveys[key]
        found = _survey(source, name, assignment)
        if not isinstance(found, Large):
            self.surveys[key] = found
        return found

    def get(self, name: str, assignment: Assignment) -> Encoded | None:
        """The tensor as it was encoded before, if it was."""
        found = self.encoded.get((name, assignment.codec))
        return None if found is None else replace(found[0], payload=self.store.read(found[1]))

    def keep(self, name: str, assignment: Assignment, encoded: Encoded) -> None:
        """Keeps a tensor that shares nothing, if its codec stays what it is."""
        key = name, assignment.codec
        if assignment.stays and key not in self.encoded:
            self.encoded[key] = replace(encoded, payload=b""), self.store.add(encoded.payload)


def _survey(source: Source, name: str, assignment: Assignment) -> object | None:
    assert isinstance(assignment.codec, Sharing)
    return assignment.codec.survey(source.read(name))


def encode_tensor(
    tensor: Tensor, assignment: Assignment, hint: object, shared: tuple[SharedObject, ...], on_nonfinite: OnNonfinite
) -> Encoded:
    """Encodes a tensor, decodes it again and measures what was lost.

    What a lossy codec cannot express is kept exactly, and the reason says why: weights too small for float32 steps, and
    those that come back infinite.

    Raises:
        SourceError: NaN or Inf in a tensor that a lossy codec should take, and ``on_nonfinite`` is "error".
        NeuralCodecError: a lossless codec did not give back what it was given, or a codec failed (a defect of it).
    """
    codec, reason = assignment.codec, assignment.reason
    spec = tensor.spec
    if codec.lossy:
        largest, _, bad = _native.scan(tensor.float32())
        if bad and on_nonfinite == "error":
            raise SourceError(
                f"{bad} of {spec.size} weights are NaN, Inf or beyond float32, which levels cannot express; "
                'on_nonfinite="raw" keeps such tensors exact, exclude= leaves this one out',
                tensor=spec.name,
            )
        if bad:
            return encode_tensor(tensor, Assignment(make_codec("raw", {}), "exact: NaN or Inf"), None, (), on_nonfinite)
        if largest < LEAST_LARGEST and tensor.data.any():
            return _exactly(tensor, "too small for steps of float32")
    if not spec.size:
        return Encoded(make_codec("raw", {}), b"", "exact: empty", Errors(lossless=True))
    payload = _payload(tensor, codec, hint)
    if not codec.lossy and len(payload) >= spec.nbytes:
        codec, payload = make_codec("raw", {}), tensor.data.tobytes()
        reason = f"{reason}; does not shrink" if reason.startswith("exact") else "exact: does not shrink"
    decoded = _decoded(payload, codec, spec, shared)
    if not codec.lossy:
        if not np.array_equal(decoded.data, tensor.data):
            raise NeuralCodecError(
                f"lossless codec {codec.name!r} gave back other bytes than it was given", tensor=spec.name
            )
        return Encoded(codec, payload, reason, Errors(lossless=True))
    errors = measure_errors(tensor, decoded)
    if not math.isfinite(errors.squared):
        dtype = str(spec.dtype.torch).removeprefix("torch.")
        return _exactly(tensor, f"codec {codec.name} leaves the range of {dtype}")
    explained = codec.explain(payload) if isinstance(codec, Explaining) else ""
    return Encoded(codec, payload, f"{reason}; {explained}" if explained else reason, errors)


def _exactly(tensor: Tensor, why: str) -> Encoded:
    lossless = make_codec("huffman", {"lossless": True})
    return encode_tensor(tensor, Assignment(lossless, f"exact: {why}"), None, (), "error")


def _payload(tensor: Tensor, codec: Codec, hint: object) -> bytes:
    name = tensor.spec.name
    with _named(codec, name, "encode"):
        if hint is not None and isinstance(codec, Sharing):
            payload = codec.encode_shared(tensor, hint)
        else:
            payload = codec.encode(tensor)
    if not isinstance(payload, bytes):
        raise NeuralCodecError(f"codec {codec.name!r} gave {type(payload).__name__}, not bytes", tensor=name)
    return payload


def _decoded(payload: bytes, codec: Codec, spec: TensorSpec, shared: tuple[SharedObject, ...]) -> Tensor:
    """What a reader of the file will get: of a codec that is known by its name it has no options."""
    with _named(codec, spec.name, "decode"):
        reads = make_codec(codec.name, {}) if codec.number == NAMED else codec
        decoded = reads.decode(payload, spec, shared)
        if decoded.spec != spec or decoded.data.nbytes != spec.nbytes:
            raise NeuralCodecError(f"codec {codec.name!r} gave back a tensor of another shape or dtype")
    return decoded


@contextlib.contextmanager
def _named(codec: Codec, tensor: str, what: str) -> Iterator[None]:
    """Errors name the tensor, and those that are not ours the codec as well."""
    try:
        yield
    except NeuralCodecError as error:
        error.tensor = tensor if error.tensor is None else error.tensor
        raise
    except MemoryError:
        raise
    except Exception as error:
        said = f"codec {codec.name!r} could not {what} it: {type(error).__name__}: {error}"
        raise NeuralCodecError(said, tensor=tensor) from error


def encode_source(
    source: Source,
    plan: Mapping[str, Assignment],
    executor: Executor | None = None,
    on_nonfinite: OnNonfinite = "error",
    progress: Progress | None = None,
    *,
    exact: Exact | None = None,
) -> Stream:
    """Encodes all tensors of a source.

    At most a few tensors are in memory at a time: one without an executor, and with one as many as it keeps busy.
    The result does not depend on the executor, nor on ``exact``, which remembers for a next call with the same source
    and another plan.
    """
    plan = _chosen(source, plan, executor)
    shares = _share(source, plan, exact)
    store = PayloadStore()
    entries: dict[str, Entry] = {}
    total = sum(spec.size for spec in source.specs.values())
    done = 0
    for name, encoded in _encode_all(source, plan, shares, executor, on_nonfinite, exact):
        spec = source.specs[name]
        entries[name] = Entry(
            spec,
            number=encoded.codec.number,
            codec=encoded.codec.name,
            place=store.add(encoded.payload),
            reason=encoded.reason,
            errors=encoded.errors,
        )
        done += spec.size
        if progress is not None:
            progress(name, done, total)
    for name, first in source.ties.items():
        entries[name] = replace(entries[first], spec=replace(entries[first].spec, name=name), tied_to=first)
    return Stream(entries, shares.objects, store)


def _chosen(source: Source, plan: Mapping[str, Assignment], executor: Executor | None) -> Mapping[str, Assignment]:
    """The plan after codecs that choose have chosen."""
    undecided = [n for n, a in plan.items() if isinstance(a.codec, Choosing) and source.specs[n].size]
    if not undecided:
        return plan

    def decide(name: str) -> Assignment:
        return decided(source.read(name), plan[name])

    if executor is None:
        found = {name: decide(name) for name in undecided}
    else:
        found = dict(in_order(undecided, executor, lambda n: executor.submit(decided, source.read(n), plan[n])))
    return {**plan, **found}


def decided(tensor: Tensor, assignment: Assignment) -> Assignment:
    """The assignment after a codec that chooses has chosen."""
    codec = assignment.codec
    if not isinstance(codec, Choosing) or not tensor.spec.size:
        return assignment
    try:
        chosen = codec.choose(tensor)
    except SourceError:  # NaN or Inf, which encode_tensor knows what to do with
        return assignment
    why = assignment.reason if chosen.name == codec.name else f"{assignment.reason}; {codec.name} takes no less"
    return replace(assignment, codec=chosen, reason=why)


def _encode_all(  # noqa: PLR0917
    source: Source,
    plan: Mapping[str, Assignment],
    shares: Shares,
    executor: Executor | None,
    on_nonfinite: OnNonfinite,
    exact: Exact | None,
) -> Iterator[tuple[str, Encoded]]:
    def arguments(name: str) -> tuple[Tensor, Assignment, object, tuple[SharedObject, ...], OnNonfinite]:
        return source.read(name), plan[name], shares.hints.get(name), shares.objects, on_nonfinite

    def before(name: str) -> Encoded | None:
        return None if exact is None or name in shares.hints else exact.get(name, plan[name])

    def submitted(name: str, executor: Executor) -> Future[Encoded]:
        known = before(name)
        if known is None:
            return executor.submit(encode_tensor, *arguments(name))
        done: Future[Encoded] = Future()
        done.set_result(known)
        return done

    all_of_them: Iterator[tuple[str, Encoded]]
    if executor is None:
        all_of_them = ((name, before(name) or encode_tensor(*arguments(name))) for name in source.specs)
    else:
        on: Executor = executor
        all_of_them = in_order(source.specs, on, lambda name: submitted(name, on))
    for name, encoded in all_of_them:
        if exact is not None and name not in shares.hints:
            exact.keep(name, plan[name], encoded)
        yield name, encoded


def _share(source: Source, plan: Mapping[str, Assignment], exact: Exact | None) -> Shares:
    """Lets each codec that can decide what its tensors share."""
    groups: dict[Codec, list[str]] = {}
    for name, assignment in plan.items():
        if isinstance(assignment.codec, Sharing) and source.specs[name].size:
            groups.setdefault(_but_for_its_step(assignment), []).append(name)

    def survey(name: str) -> object | None:
        return _survey(source, name, plan[name]) if exact is None else exact.survey(source, name, plan[name])

    objects: list[SharedObject] = []
    hints: dict[str, object] = {}
    for names in groups.values():
        codec = plan[names[0]].codec
        assert isinstance(codec, Sharing)
        shares = codec.share(Surveys(names, survey), len(objects))
        objects.extend(shares.objects)
        hints.update(shares.hints)
    return Shares(tuple(objects), hints)


def _but_for_its_step(assignment: Assignment) -> Codec:
    """The codec with a step of 1 instead of its own, to compare: what differs in that alone shares."""
    codec = assignment.codec
    return codec.with_step(1.0) if isinstance(codec, Stepped) and not assignment.stays else codec
