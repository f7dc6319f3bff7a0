"""Coding the levels of a compressed model anew, for another decoder and without the original weights."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from neuralcodec.api import encode
from neuralcodec.codecs.generative.coding import read_head
from neuralcodec.codecs.huffman import Huffman, floats
from neuralcodec.codecs.small import BITS
from neuralcodec.errors import NeuralCodecError, PlanError
from neuralcodec.model import CompressedModel, check_compressed
from neuralcodec.plan.run import Progress
from neuralcodec.registry import make_codec

FROM, TO = "generative", "trellis"
"""Codecs that have levels of the same quantizers."""

LEVELS = {
    *("states", "step", "relative_step", "rdo", "finer", "reconstruction", "shaping", "scan", "levels", "tile"),
    "small",
}
"""Options of the latter that have a say in them, or in other weights."""


def transcode(
    cm: CompressedModel, *, executor: Executor | None = None, progress: Progress | None = None, **options: object
) -> CompressedModel:
    """Turns a model of codec generative into one of codec trellis, which microcontrollers decode tile by tile.

    Its levels stay as they are, so decoded weights are the same, bit for bit; nothing but the compressed model is
    needed. Tiles keep their length: encode with ``tile=2048`` what is to be transcoded for a decoder with little RAM.

    Args:
        cm: the model; tensors of other codecs keep their values and are coded as :func:`neuralcodec.encode` codes them.
        executor: as in :func:`neuralcodec.encode`.
        progress: as in :func:`neuralcodec.encode`.
        options: of codec trellis that do not touch levels: ``coding``, ``tables``, ``room``, ``magnitudes``, ``signs``.

    Raises:
        PlanError: no tensor is of codec generative, or an option would change levels.
        NeuralCodecError: ``cm`` is something else; or a step is finer than the tensor's dtype can tell, so that weights
            do not say what their levels are.
        BitstreamError: a payload is damaged.
    """
    check_compressed(cm)
    check_options(options)
    overrides: dict[str, dict[str, object]] = {}
    for entry in cm.entries:
        if entry.codec != FROM or entry.tied_to is not None or cm.is_lossless(entry.spec.name):
            continue
        name = entry.spec.name
        head = read_head(cm.payload(name))
        # With levels as weights over the step and no price of bits, the search finds the levels themselves.
        overrides[name] = {
            "states": head.states,
            "step": head.step,
            "tile": head.tile,
            "scan": "columns" if cm.is_down_columns(name) else "rows",
            "rdo": 0.0,
            # Nothing but the error of each level counts, and the step stays.
            "finer": False,
            "shaping": False,
            "reconstruction": "error",
        }
    if not overrides:
        raise PlanError("no tensor of the model has levels of codec generative")
    short = _short(cm)
    made = encode(
        cm.state_dict(),
        make_codec(TO, {**options, "small": BITS if short else None}),
        include=lambda name: name in overrides or name in short,
        executor=executor,
        overrides=overrides,
        progress=progress,
    )
    for name in overrides:
        errors = made.entry(name).errors  # as encoding has measured them against what was decoded
        if errors is None or errors.largest:
            raise NeuralCodecError(
                "transcoding has changed its weights: its step is too fine for its dtype", tensor=name
            )
    # To the weights before they were compressed, as far as these are known: what is reported is never that to a copy.
    entries = {entry.spec.name: replace(entry, errors=cm.entry(entry.spec.name).errors) for entry in made.entries}
    return made.with_entries(entries).with_metadata(cm.metadata)


def _short(cm: CompressedModel) -> set[str]:
    """Tensors too small for levels that have been rounded, or are short by nature: rounding them changes nothing.

    They are coded as codec generative has had them coded, so that :func:`neuralcodec.verify` knows them as rounded.
    """
    found = set()
    for entry in cm.entries:
        spec = entry.spec
        if entry.codec == Huffman.name and spec.is_small and spec.dtype.name in floats.MANTISSA:
            tensor = cm.decode_elements(spec.name)
            if np.array_equal(floats.shorten(tensor, BITS).data, tensor.data):
                found.add(spec.name)
    return found


def check_options(options: Mapping[str, object]) -> None:
    """Looks at options of :func:`transcode` without a model.

    Raises:
        PlanError: one is unknown or outside its range, or would change levels.
    """
    if wrong := sorted(options.keys() & LEVELS):
        raise PlanError(f"{', '.join(wrong)}: levels stay as they are; what they are coded with can be chosen")
    make_codec(TO, {"small": None, **options})
