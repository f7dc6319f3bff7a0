"""Checks a compressed file, alone or against the original."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuralcodec.api import load
from neuralcodec.measure import Errors, measure_errors
from neuralcodec.model import CompressedModel
from neuralcodec.report import Report, make_report
from neuralcodec.source import Source, open_source
from neuralcodec.tensor import Tensor


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
    path: str | os.PathLike[str], original: str | os.PathLike[str] | None = None, min_snr: float | None = None
) -> Verification:
    """Checks every checksum, decodes every tensor and compares with the original.

    Args:
        path: a file that :func:`neuralcodec.save` wrote.
        original: the ``.safetensors`` file that was encoded.
        min_snr: the lowest SNR in dB that is accepted of a tensor.

    Raises:
        BitstreamError: the file is damaged.
        SourceError: the original cannot be read.
    """
    cm = load(Path(path))
    if original is None:
        cm.verify()
        return Verification(len(cm), (), None)
    source = open_source(original)
    problems = [f"tensor {name!r} of the original is missing" for name in source.specs if name not in cm]
    problems += [f"tensor {name!r} is not in the original" for name in cm if name not in source.specs]
    entries = {}
    for name, entry in ((n, cm.entry(n)) for n in cm):
        errors = _compare(cm, source, name, problems, min_snr) if name in source.specs else None
        entries[name] = replace(entry, errors=errors)
    return Verification(len(cm), tuple(problems), make_report(cm.with_entries(entries)))


def _is_rounded(decoded: Tensor, original: Tensor) -> bool:
    """Whether floats are those of the original, rounded to as many bits as are in use.

    Small tensors and such with outliers may be coded so: their elements are then exact, but not those of the original.
    """
    if not original.spec.dtype.is_float:
        return False
    kind = np.dtype(f"<i{original.spec.dtype.itemsize}")
    low = 1 << (8 * kind.itemsize - 1)
    found, wanted = decoded.data.view(kind), original.data.view(kind)
    used = int(np.bitwise_or.reduce(found)) & (2 * low - 1)
    dropped = used & -used if used else low  # the value of the last bit in use
    # Floats of one sign are in the order of their bits, so rounding moves these by half of that at most.
    same_sign = (found < 0) == (wanted < 0)
    off = np.abs((found & (low - 1)).astype(np.float64) - (wanted & (low - 1)).astype(np.float64))
    return bool((same_sign & (off <= dropped / 2)).all()) and dropped > 1


def _compare(
    cm: CompressedModel, source: Source, name: str, problems: list[str], min_snr: float | None
) -> Errors | None:
    wanted, spec = source.specs[name], cm.entry(name).spec
    if (wanted.shape, wanted.dtype) != (spec.shape, spec.dtype):
        problems.append(
            f"tensor {name!r} is {spec.dtype.name} {list(spec.shape)}; "
            f"the original is {wanted.dtype.name} {list(wanted.shape)}"
        )
        return None
    decoded, tensor = cm.decode_elements(name), source.read(name)
    if np.array_equal(decoded.data, tensor.data):
        return Errors(lossless=True)
    if cm.is_lossless(name) and not _is_rounded(decoded, tensor):
        problems.append(f"tensor {name!r} is coded losslessly, but differs from the original")
    errors = measure_errors(tensor, decoded)
    if min_snr is not None and not errors.snr_db >= min_snr:
        problems.append(f"tensor {name!r} has an SNR of {errors.snr_db:.2f} dB, below {min_snr:g}")
    return errors
