"""Checks a compressed file, alone or against the original."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodec.api import Model, load
from neuralcodec.codec import ForSmall
from neuralcodec.codecs.huffman import Huffman, floats
from neuralcodec.codecs.small import BITS
from neuralcodec.errors import PlanError
from neuralcodec.measure import Errors, measure_errors
from neuralcodec.model import CompressedModel
from neuralcodec.registry import codec_class, codec_names
from neuralcodec.report import Report, make_report
from neuralcodec.source import Source, open_source
from neuralcodec.tensor import Tensor

MANY = 16
"""Different elements that no other model has by chance, if all of them round to it."""

MOST = 23
"""Bits that codec huffman rounds to at most."""

CORRELATION = 0.05
"""Of a tensor with the original, at least: 0.1 bits a weight leave 0.3."""

DEVIATIONS = 4
"""Standard deviations of what is found by chance: more are no chance, such as where only few weights were important."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What :func:`verify` found.

    Attributes:
        tensors: number of tensors that were decoded.
        problems: in words; empty if all is well.
        report: with the errors measured against the original; None if none was given.
    """

    tensors: int
    problems: tuple[str, ...]
    report: Report | None

    def to_dict(self) -> dict[str, object]:
        """The same as plain types for JSON."""
        return {
            "ok": not self.problems,
            "tensors": self.tensors,
            "problems": list(self.problems),
            "report": None if self.report is None else self.report.to_dict(),
        }


def verify(
    path: str | os.PathLike[str] | CompressedModel, original: Model | None = None, min_snr: float | None = None
) -> Verification:
    """Checks every checksum, decodes every tensor and compares with the original.

    Tensors whose codec is lossless must be those of the original, bit for bit. Floats of codec huffman may be rounded
    ones instead, which the file does not tell apart. They are taken as rounded only if each is what rounding the
    original to some number of bits gives, and if the file looks like one whose encoder rounds: tensors too small for
    levels where others of the file have levels of a codec that rounds such, larger ones where at least 16 of their
    elements differ. Bits are as many as are in use, or as many as encoders choose without being asked. So a model whose
    floats are short by nature passes for another one where that one rounds to it; and rounded tensors count as
    different where a file has none but small ones, or large ones of fewer than 16 different elements.

    Of tensors that are coded lossily, those are found that correlate with the original no more than by chance. What is
    near it, as after some fine-tuning, only ``min_snr`` tells apart.

    Args:
        path: a file that :func:`neuralcodec.save` wrote, or a compressed model.
        original: what was encoded: the ``.safetensors`` file (or the ``.index.json`` of several), a module or a mapping
            of names to tensors.
        min_snr: the lowest SNR in dB that is accepted of a tensor.

    Raises:
        PlanError: ``min_snr`` without an original.
        BitstreamError: the file is damaged.
        SourceError: the original cannot be read.
        OSError: the file cannot be opened.
    """
    if original is None and min_snr is not None:
        raise PlanError("min_snr: without the original there is nothing to compare with")
    cm = path if isinstance(path, CompressedModel) else load(Path(path))
    if original is None:
        cm.verify()
        return Verification(len(cm), (), None)
    source = open_source(original)
    names = [*source.specs, *source.ties]
    problems = [f"tensor {name!r} of the original is missing" for name in names if name not in cm]
    problems += [
        f"tensor {name!r} is not in the original" for name in cm if name not in source.specs and name not in source.ties
    ]
    small = _rounds_small(cm)
    entries = {}
    for name, entry in ((n, cm.entry(n)) for n in cm):
        known = name in source.specs or name in source.ties
        errors = _compare(cm, source, name, problems, min_snr, small) if known else None
        entries[name] = replace(entry, errors=errors)
    return Verification(len(cm), tuple(problems), make_report(cm.with_entries(entries)))


def _rounds_small(cm: CompressedModel) -> bool:
    """Whether tensors of the model have levels of a codec that may round those that are too small for it."""
    return any(
        issubclass(codec_class(entry.codec), ForSmall) and not cm.is_lossless(entry.spec.name)
        for entry in cm.entries
        if entry.codec in codec_names()
    )


def _is_rounded(cm: CompressedModel, decoded: Tensor, original: Tensor, small: bool) -> bool:
    """Whether floats are those of the original, rounded to fewer bits as codec huffman does it (see :func:`verify`)."""
    entry, spec = cm.entry(decoded.spec.name), original.spec
    if entry.codec != Huffman.name or spec.dtype.name not in floats.MANTISSA:
        return False
    if entry.errors is not None and entry.errors.lossless:
        return False
    bits = decoded.data.view(np.dtype(f"<u{spec.dtype.itemsize}"))
    used = _bits_in_use(bits, floats.MANTISSA[spec.dtype.name])
    usual = BITS if spec.is_small else floats.OUTLIER_MANTISSA
    if spec.is_small and not small:
        return False
    # Of few different elements, too many originals round to a few bits in use.
    many = len(np.unique(bits)) >= MANY
    if not spec.is_small and not many:
        return False
    rounded = {usual, used} if many or used >= usual else {usual}
    return any(np.array_equal(floats.shorten(original, m).data, decoded.data) for m in rounded if used <= m <= MOST)


def _is_unlike(errors: Errors, decoded: Tensor) -> bool:
    """Whether a tensor correlates with the original no more than any other would."""
    energy = measure_errors(decoded, decoded).energy
    if not energy:
        return False  # at the lowest rates nothing is left of some
    product = (errors.energy + energy - errors.squared) / 2
    correlation = product / math.sqrt(errors.energy * energy) if errors.energy else 0.0
    # Not "correlation <", so that an original that is not finite counts as another one.
    return not correlation >= min(CORRELATION, DEVIATIONS / math.sqrt(decoded.spec.size))


def _bits_in_use(bits: npt.NDArray[np.unsignedinteger], width: int) -> int:
    """Mantissa bits down to the last one that is set in any of the floats, whose mantissas are of ``width`` bits."""
    low = int(np.bitwise_or.reduce(bits)) & ((1 << width) - 1)
    return width - (low & -low).bit_length() + 1 if low else 0


def _compare(  # noqa: PLR0917
    cm: CompressedModel, source: Source, name: str, problems: list[str], min_snr: float | None, small: bool
) -> Errors | None:
    first = source.ties.get(name, name)
    wanted, spec = source.specs[first], cm.entry(name).spec
    if (wanted.shape, wanted.dtype) != (spec.shape, spec.dtype):
        problems.append(
            f"tensor {name!r} is {spec.dtype.name} {list(spec.shape)}; "
            f"the original is {wanted.dtype.name} {list(wanted.shape)}"
        )
        return None
    decoded, tensor = cm.decode_elements(name), source.read(first)
    if np.array_equal(decoded.data, tensor.data):
        return Errors(lossless=True)
    if cm.is_lossless(name) and not _is_rounded(cm, decoded, tensor, small):
        problems.append(f"tensor {name!r} is coded losslessly, but differs from the original")
    errors = measure_errors(tensor, decoded)
    if not cm.is_lossless(name) and _is_unlike(errors, decoded):
        problems.append(f"tensor {name!r} has nothing to do with the original ({errors.snr_db:.2f} dB)")
    elif min_snr is not None and not errors.snr_db >= min_snr:
        problems.append(f"tensor {name!r} has an SNR of {errors.snr_db:.2f} dB, below {min_snr:g}")
    return errors
