"""The verbs: encode, decode, save, load."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import torch

from neuralcodec.codec import Codec
from neuralcodec.container import file_size, open_file, save_stream, save_tensors
from neuralcodec.errors import CorruptError, PlanError
from neuralcodec.model import CompressedModel, check_compressed
from neuralcodec.plan.allocation import with_usual_steps
from neuralcodec.plan.meet import meet
from neuralcodec.plan.rules import Assignment, Overrides, Pattern, assign
from neuralcodec.plan.run import OnNonfinite, Progress, encode_source
from neuralcodec.plan.target import Target
from neuralcodec.registry import make_codec
from neuralcodec.source import Source, open_source, with_importance
from neuralcodec.stream.reader import StreamReader
from neuralcodec.stream.writer import VERSION, Stream
from neuralcodec.tensor import Tensor

Model = torch.nn.Module | Mapping[str, object] | str | os.PathLike[str]


def encode(  # noqa: PLR0917 (the order is public)
    model: Model,
    codec: str | Codec | None = None,
    target: Target | None = None,
    include: Pattern = None,
    exclude: Pattern = None,
    executor: Executor | None = None,
    *,
    overrides: Overrides | None = None,
    importance: Mapping[str, object] | None = None,
    on_nonfinite: OnNonfinite = "error",
    progress: Progress | None = None,
    transform: Callable[[torch.nn.Module], torch.nn.Module] | None = None,
    **options: object,
) -> CompressedModel:
    """Compresses the weights of a model.

    With nothing but a model: codec trellis at steps of a few hundredths of a tensor's root mean square, finer in
    tensors of few weights. That takes 5 to 6 bits a weight, needs no data and no training, and keeps the accuracy of
    ordinary networks. Biases, norms and other small tensors are kept exactly; the report says which and why. With a
    target these become floats of 8 significant bits.

    Args:
        model: a module, a mapping of names to torch tensors or numpy arrays, or the path of a ``.safetensors`` file, or
            of the ``.safetensors.index.json`` of a model in several of them.
        codec: name of a codec (``neuralcodec codecs`` lists them), or one that is set up already. By default
            "trellis", and "huffman" with ``lossless=True``.
        target: what the whole file should reach; the codec's step is then searched for.
        include: names to code with ``codec``, as a shell pattern (``"encoder.*"``), several of them, or a
            function; default all.
            Others are kept exactly.
        exclude: names to keep exactly, in the same ways; wins over ``include``.
        executor: encodes tensors in parallel, for example a ``concurrent.futures.ThreadPoolExecutor``. The bytes do
            not depend on it.
        overrides: options for some tensors, such as ``{"conv1.weight": {"clusters": 32}, "head.*": {"clusters": 4}}``.
            The first name or shell pattern that matches counts. With ``{"head.weight": {"codec": "kmeans"}}`` a tensor
            has another codec, and options of its own, which a target leaves as they are; so it does with a tensor for
            which a step is given.
        importance: how much the squared error of a weight counts beside the others of its tensor, by the tensor's name:
            arrays that broadcast to its shape, such as mean squared gradients. For codecs that weight distortion: all
            that are lossy but huffman.
        on_nonfinite: what to do with NaN and Inf in a tensor that would be quantized: ``"error"``, or ``"raw"``
            to keep it as it is.
        progress: called with a tensor's name, the weights done, and those of the model.
        transform: applied to the module before it is encoded, such as
            ``lambda module: neuralcodec.fold_batch_norm(module, example_input)``. What it returns is encoded.
        **options: options of the codec.

    Returns:
        The compressed model.

    Raises:
        SourceError: the model or one of its tensors cannot be encoded; the message names it.
        PlanError: the target cannot be met (``nearest`` says what can), or an option is wrong.
        RegistryError: unknown codec.
    """
    if on_nonfinite not in ("error", "raw"):
        raise PlanError(f'on_nonfinite is "error" or "raw", not {on_nonfinite!r}')
    if target is not None and not isinstance(target, Target):
        raise PlanError(f"target: a Target expected, such as Target(bits_per_weight=4), not {target!r}")
    if executor is not None and not hasattr(executor, "submit"):
        raise PlanError(f"executor: one of concurrent.futures expected, not {executor!r}")
    if progress is not None and not callable(progress):
        raise PlanError(f"progress: a function of a name and two numbers expected, not {progress!r}")
    if importance is not None and not isinstance(importance, Mapping):
        raise PlanError(f"importance: a mapping of names to arrays expected, not {type(importance).__name__}")
    chosen = make_codec(codec, options)
    if transform is not None:
        if not isinstance(model, torch.nn.Module):
            raise PlanError("transform= takes a module; this model is none")
        model = transform(model)
    source = open_source(model)
    if importance is not None:
        source = with_importance(source, importance)
    plan = assign(source, chosen, include, exclude, overrides, target=target is not None)
    if importance is not None:
        _check_weighted(importance, source, plan, chosen)
    if target is None:
        plan = with_usual_steps(source, plan)
        return _compressed(encode_source(source, plan, executor, on_nonfinite, progress), source)

    def size(stream: Stream) -> int:
        return file_size(stream.size(), VERSION, source.metadata)

    return _compressed(meet(target, source, plan, chosen, size, executor, on_nonfinite, progress), source)


def _check_weighted(
    importance: Mapping[str, object], source: Source, plan: Mapping[str, Assignment], chosen: Codec
) -> None:
    """Importances of tensors that are kept exactly do no harm: gradients are there for all of them."""
    if not getattr(chosen, "weighted", False):
        raise PlanError(f"codec {chosen.name!r} does not weight distortion, so importance= would do nothing")
    for name in importance:
        codec = plan[source.ties.get(name, name)].codec
        if codec.lossy and not getattr(codec, "weighted", False):
            raise PlanError(f"codec {codec.name!r}, which {name!r} has, does not weight distortion: leave it out")


def save(cm: CompressedModel, path: str | os.PathLike[str]) -> None:
    """Writes a compressed model as an ordinary safetensors file, whole or not at all.

    Args:
        cm: the compressed model.
        path: the file; an existing one is replaced only when the new one is on the disk.

    Raises:
        NeuralCodecError: ``cm`` is something else.
        OSError: it cannot be written; an existing file is untouched.
    """
    check_compressed(cm)
    save_stream(Path(path), cm.chunks(), cm.stream_size, VERSION, cm.metadata)


def load(path: str | os.PathLike[str], lazy: bool = True) -> CompressedModel:
    """Opens a file that :func:`save` wrote.

    Args:
        path: the file.
        lazy: reads payloads when they are decoded. False reads them all now and decodes them once to check.

    Raises:
        OSError: the file cannot be opened.
        TruncatedError, CorruptError, ChecksumError, UnsupportedError: what is wrong with it.
    """
    file = open_file(Path(path))
    if lazy:
        reader = StreamReader(file.read, file.size, at=file.start)
    else:
        held = file.read(0, file.size)
        reader = StreamReader(lambda offset, size: held[offset : offset + size], len(held), at=file.start)
    if not reader.has_names:
        raise CorruptError("the stream in the file has no names", offset=file.start)
    cm = CompressedModel(reader, {entry.spec.name: entry for entry in reader.entries}, file.metadata)
    if not lazy:
        cm.verify()
    return cm


def decode(model: CompressedModel | str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Decodes a compressed model or a file of one to a state dict.

    Raises:
        NeuralCodecError: ``model`` is something else.
        BitstreamError: it is damaged, or cannot be decoded here.
    """
    cm = load(model) if isinstance(model, (str, os.PathLike)) else model
    check_compressed(cm)
    return cm.state_dict()


def decode_to_file(cm: CompressedModel, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
    """Decodes to an ordinary safetensors file, tensor by tensor, with the metadata of the original.

    Tied tensors are written under each of their names, because safetensors files cannot share.

    Raises:
        OSError: the file cannot be written; an existing one is untouched.
        BitstreamError: a payload is damaged.
    """
    specs = {entry.spec.name: entry.spec for entry in cm.entries}
    total, done = sum(spec.size for spec in specs.values()), 0

    def read(name: str) -> Tensor:
        nonlocal done
        decoded = cm.decode_elements(name)
        done += decoded.spec.size
        if progress is not None:
            progress(name, done, total)
        return decoded

    save_tensors(Path(path), specs, read, cm.metadata)


def _compressed(stream: Stream, source: Source) -> CompressedModel:
    reader = StreamReader.of(stream)
    known = stream.entries
    entries = {
        e.spec.name: replace(e, reason=known[e.spec.name].reason, errors=known[e.spec.name].errors)
        for e in reader.entries
    }
    return CompressedModel(reader, entries, source.metadata)
