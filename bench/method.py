"""The methods that are compared, found in bench/methods/ (whose docstring says what a file defines)."""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.folders import ROOT

FOLDER = ROOT / "bench" / "methods"

Setting = Mapping[str, object]
"""Options of a method, which JSON can hold."""


@dataclass(frozen=True)
class Method:
    """A method as its file describes it; see there.

    Attributes:
        for_decoder: whether its streams are ones that the C decoder as it is built for microcontrollers decodes.
        codecs: of neuralcodec, that it encodes with; None for any.
        least_error: whether it is made for the least squared error, so that its metric is not compared.
    """

    name: str
    path: Path
    title: str
    kind: str
    requirements: tuple[str, ...]
    quick: tuple[Setting, ...]
    full: tuple[Setting, ...]
    advice: str
    hull: bool
    for_decoder: bool
    codecs: tuple[str, ...] | None = None
    least_error: bool = False


def methods() -> dict[str, Method]:
    """All methods by name."""
    return {m.name: _describe(FOLDER / f"{m.name}.py") for m in sorted(pkgutil.iter_modules([str(FOLDER)]))}


def _describe(path: Path) -> Method:
    spec = importlib.util.spec_from_file_location(f"bench.methods.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Method(
        name=path.stem,
        path=path,
        title=module.TITLE,
        kind=module.KIND,
        requirements=tuple(module.REQUIREMENTS),
        quick=tuple(module.QUICK),
        full=tuple(module.FULL),
        advice=module.ADVICE,
        hull=getattr(module, "hull", False),
        for_decoder=hasattr(module, "options") and getattr(module, "FIRMWARE", True),
        codecs=getattr(module, "CODECS", None),
        least_error=getattr(module, "LEAST_ERROR", False),
    )
