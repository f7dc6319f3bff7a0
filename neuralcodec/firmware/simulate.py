"""Runs an export on the host: the C sources that firmware compiles, so results are those of the microcontroller."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec.errors import ExportError
from neuralcodec.firmware.calibrate import real_floats
from neuralcodec.firmware.emit.bundle import decoder_folder
from neuralcodec.firmware.names import Names
from neuralcodec.firmware.quantize import LEAST, MOST, Quantization

STATUS = {
    -1: "NCD_ERR_ARG: an argument is wrong",
    -2: "NCD_ERR_TRUNCATED: the blob is shorter than its header says",
    -3: "NCD_ERR_CORRUPT: the blob breaks a rule of the format",
    -4: "NCD_ERR_UNSUPPORTED: the decoder was built without what the blob needs",
    -5: "NCD_ERR_CAPACITY: a buffer is too small",
    -6: "NCD_ERR_WORKSPACE: the arena is too small",
    -7: "NCD_ERR_CHECKSUM: the blob is damaged, or that of another export",
}

_DRIVER = """
#include "{model}.h"

int simulate_run(const {kind} *inputs, {kind} *outputs, size_t count)
{{
    size_t i, j;
    int status = {function}_init(NULL, 0);
    for (i = 0; status == NCD_OK && i < count; ++i) {{
        status = {function}_run(inputs + i * {macro}_INPUT_SIZE, {macro}_INPUT_SIZE);
        for (j = 0; status == NCD_OK && j < {macro}_OUTPUT_SIZE; ++j)
            outputs[i * {macro}_OUTPUT_SIZE + j] = {function}_output()[j];
    }}
    return status;
}}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """What an export gave.

    Attributes:
        outputs: float32, shape [inputs, ...] with the output's channels first, as the module gives them.
        levels: the same as the int8 values that firmware gives, in the order in which they lie in memory, shape
            [inputs, size]; None in float mode.
        clipped: share of the input values that are beyond what calibration found, and so saturate; 0 in float mode and
            of inputs that are int8.
    """

    outputs: npt.NDArray[np.float32]
    levels: npt.NDArray[np.int8] | None
    clipped: float = 0.0


def simulate(
    export_dir: str | os.PathLike[str], inputs: torch.Tensor | npt.NDArray[np.generic] | Sequence[torch.Tensor]
) -> Simulation:
    """Runs an export on many inputs. Needs a C compiler: ``cc``, or what the variable ``CC`` names.

    A network with states starts from 0; its inputs follow each other.

    Args:
        export_dir: what :func:`neuralcodec.export_firmware` wrote.
        inputs: shape [n, ...], as the module takes them: floats, which are quantized as the header says, or int8, which
            are taken as they are.

    Raises:
        ExportError: the folder holds no export, there is no compiler or it refuses, inputs have another shape, or
            firmware reports an error.
    """
    if not isinstance(export_dir, (str, os.PathLike)):
        raise ExportError(f"export_dir: a path expected, not {type(export_dir).__name__}")
    folder = Path(export_dir).resolve()
    facts = _facts(folder)
    names = Names(str(facts["model"]))
    given, result = (_Side(facts[key]) for key in ("input", "output"))
    whole = facts["mode"] == "int8"
    real = _array(inputs)
    values = given.memory(real, whole)
    own = [f"{names.model}.c", *([f"{names.model}_blob.c"] if facts["weights"] == "compressed" else [])]
    prepared = facts.get("decoder", {}).get("NCD_TRELLIS_PREPARED") == 1
    bundled = facts.get("bundled", (folder / "ncd").is_dir())
    library = _library(folder, names, own, whole, bundled, ("-DNCD_TRELLIS_PREPARED=1",) if prepared else ())
    out = np.empty((len(values), result.size), np.int8 if whole else np.float32)
    run = library.simulate_run
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    run.restype = ctypes.c_int
    status = run(values.ctypes.data, out.ctypes.data, len(values))
    if status:
        raise ExportError(f"the exported network reports {STATUS.get(status, str(status))}")
    if not whole:
        return Simulation(result.channels_first(out), None)
    assert result.quantization is not None
    return Simulation(result.channels_first(result.quantization.dequantize(out)), out, given.clipped(real))


class _Side:
    """Shape, order and scale of the input or the output."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.shape: tuple[int, ...] = tuple(facts["shape"])
        self.size = int(np.prod(self.shape))
        self.last = bool(facts["channels_last"])
        scale, zero = facts["scale"], facts["zero_point"]
        self.quantization = Quantization(float(scale), int(zero)) if scale is not None else None

    def memory(self, values: npt.NDArray[np.generic], whole: bool) -> npt.NDArray[np.generic]:
        """Inputs as they lie in memory, shape [n, size], quantized where they are floats."""
        wanted = (self.shape[-1], *self.shape[:-1]) if self.last else self.shape
        if values.ndim < 2 or values.shape[1:] != wanted:
            sides = ", ".join(map(str, wanted))
            raise ExportError(f"inputs of shape {list(values.shape)}; [n, {sides}] expected")
        moved = np.moveaxis(values, 1, -1) if self.last else values
        flat = moved.reshape(len(values), self.size)
        if not whole:
            return np.ascontiguousarray(flat, np.float32)
        if flat.dtype == np.int8:
            return np.ascontiguousarray(flat)
        if not np.isfinite(flat).all():
            raise ExportError("inputs are not all finite: there is no int8 for NaN")
        assert self.quantization is not None
        return np.ascontiguousarray(self.quantization.quantize(flat))

    def clipped(self, values: npt.NDArray[np.generic]) -> float:
        """Share of values that no int8 stands for."""
        q = self.quantization
        if q is None or values.dtype == np.int8 or not values.size:
            return 0.0
        low, high = ((end - q.zero) * q.scale for end in (LEAST - 0.5, MOST + 0.5))
        floats = values.astype(np.float64)
        return float(np.mean((floats < low) | (floats > high)))

    def channels_first(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Outputs of shape [n, size], in the module's order."""
        shaped = values.reshape(-1, *self.shape)
        return np.ascontiguousarray(np.moveaxis(shaped, -1, 1)) if self.last else shaped


def _array(inputs: torch.Tensor | npt.NDArray[np.generic] | Sequence[torch.Tensor]) -> npt.NDArray[np.generic]:
    if isinstance(inputs, torch.Tensor):
        return _values(inputs)
    if isinstance(inputs, np.ndarray):
        if inputs.dtype.kind not in "biuf":
            raise ExportError(f"inputs: real numbers expected, not {inputs.dtype}")
        return inputs
    each_of = list(inputs) if isinstance(inputs, Sequence) else []
    if not each_of or not all(isinstance(each, torch.Tensor) for each in each_of):
        raise ExportError("inputs: a tensor, an array, or some tensors expected")
    if len({each.shape[1:] for each in each_of}) > 1 or not each_of[0].dim():
        shapes = ", ".join(str(list(each.shape)) for each in each_of[:4])
        raise ExportError(f"inputs: tensors that differ in their first side alone expected, not {shapes}")
    return np.concatenate([_values(each) for each in each_of])


def _values(inputs: torch.Tensor) -> npt.NDArray[np.generic]:
    floats = real_floats(inputs, "inputs")
    array: npt.NDArray[np.generic] = (inputs.detach().cpu() if inputs.dtype == torch.int8 else floats).numpy()
    return array


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{folder} holds no export of neuralcodec: there is no report.json") from error
    except ValueError as error:
        raise ExportError(f"{path} is not what export_firmware wrote: {error}") from error
    return facts


def _library(  # noqa: PLR0917
    folder: Path, names: Names, own: Sequence[str], whole: bool, bundled: bool, options: Sequence[str]
) -> ctypes.CDLL:
    """The export as a shared library, compiled once for the same sources and compiler."""
    decoder = folder / "ncd" if bundled else decoder_folder()
    driver = _DRIVER.format(
        model=names.model, kind="int8_t" if whole else "float", function=names.function, macro=names.macro
    )
    compiler = [*_compiler(), "-std=c99", "-O2", "-fPIC", "-ffp-contract=off", *options]
    cache = _cache()
    # The decoder's objects apart: they are the same for most exports, and take the most time.
    includes = [decoder / "include", decoder / "nn" / "include"]
    sources = [*sorted(decoder.glob("src/*.c")), *sorted(decoder.glob("nn/src/*.c"))]
    headers = [
        path for each in (*includes, decoder / "src", decoder / "nn" / "src") for path in sorted(each.glob("*.h"))
    ]
    digest = _digest(compiler, [*sources, *headers])
    objects = cache / f"decoder-{digest}"
    if not objects.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            command = [*compiler, *[f"-I{each}" for each in includes], "-c", *map(str, sources)]
            _compile(command, Path(made), folder)
            _move(Path(made), objects)
    mine = [folder / each for each in own]
    built = cache / f"{names.model}-{_digest([digest, driver], [*mine, folder / f'{names.model}.h'])}"
    library = built / "library.so"
    if not library.is_file():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            main = Path(made) / "simulate_driver.c"
            main.write_text(driver, encoding="utf-8")
            command = [*compiler, "-shared", *[f"-I{each}" for each in (folder, *includes)], str(main), *map(str, mine)]
            command += [*map(str, sorted(objects.glob("*.o"))), "-o", library.name, "-lm"]
            _compile(command, Path(made), folder)
            _move(Path(made), built)
    return ctypes.CDLL(str(library))


def _cache() -> Path:
    """A folder of what has been compiled.

    Raises:
        ExportError: others than this user can write there, and what is in it is run.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    cache = Path(tempfile.gettempdir()) / f"neuralcodec-simulate-{user}"
    cache.mkdir(mode=0o700, exist_ok=True)
    facts = cache.lstat()
    if hasattr(os, "getuid") and (not stat.S_ISDIR(facts.st_mode) or facts.st_uid != user or facts.st_mode & 0o022):
        raise ExportError(f"{cache} is not a folder that only you can write to: remove it, or let TMPDIR name another")
    return cache


def _digest(words: Sequence[str], paths: Sequence[Path]) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        data = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:32]


def _compile(command: Sequence[str], where: Path, folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where)
    if done.returncode != 0:
        raise ExportError(f"{command[0]} does not compile the export in {folder}:\n{done.stderr[-4000:]}")


def _move(made: Path, to: Path) -> None:
    """Puts a finished folder to its place; another process may have been faster."""
    to.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as kept:
        copy = Path(shutil.copytree(made, Path(kept) / "copy"))
        with contextlib.suppress(OSError):
            copy.rename(to)


def _compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC") or "cc")
    if not command or shutil.which(command[0]) is None:
        raise ExportError(
            f"no C compiler: {command[0] if command else 'CC'} is not there. Install one (Debian: gcc), or set CC"
        )
    return command
