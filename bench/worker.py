"""Runs one method in the interpreter it is given, which may be an environment of the method's own.

    python bench/worker.py METHOD_FILE --check
    python bench/worker.py METHOD_FILE --serve
    python bench/worker.py METHOD_FILE SETTING_JSON IN.safetensors --wait

Prints one line of JSON: ``version``, or ``error``. Told to serve, it reads lines of JSON, [setting, path of the input,
path of the output], measures each in a process of its own, a copy of this one that has imported what is needed, and
prints ``version``, ``bytes`` and ``peak_bytes``, or ``error``, or ``died`` with the status of the process. Told to
wait, it prints ``version`` as soon as it could begin, and then for each line that it reads encodes and decodes once,
and prints ``encode_s`` and ``decode_s``, in seconds. Imports nothing of the benchmark and no package but numpy and
safetensors, so that a method's environment needs nothing else.

The caller limits libraries to one thread through environment variables, which must be set before numpy is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measures; prints the result or what went wrong."""
    parser = argparse.ArgumentParser(description="Runs one method of the benchmark.")
    parser.add_argument("method", type=Path)
    parser.add_argument("setting", nargs="?", type=json.loads, default={})
    parser.add_argument("input", nargs="?", type=Path)
    parser.add_argument("--check", action="store_true", help="only say the version, or what is missing")
    parser.add_argument("--serve", action="store_true", help="measure what each line of input says")
    parser.add_argument("--wait", action="store_true", help="encode and decode once for each line of input")
    options = parser.parse_args()
    # This folder is not to be searched for packages, as modules of it may have the name of one; and methods may use
    # each other as bench.methods.
    sys.path[:] = [*(p for p in sys.path if not p or Path(p).resolve() != ROOT / "bench"), str(ROOT)]
    result = _own_stdout()
    found: dict[str, object] = {}
    try:
        method = load(options.method)
        if options.check:
            lines = iter([check(method)])
        elif options.serve:
            lines = serve(method)
        else:
            lines = repeat(method, options.setting, options.input)
        for found in lines:
            os.write(result, json.dumps(found).encode() + b"\n")
    except BaseException as error:  # packages raise SystemExit for bad input
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
        os.write(result, json.dumps(found).encode() + b"\n")
    return 1 if "error" in found and not options.serve else 0


def load(path: Path) -> ModuleType:
    """A method's file as a module, whose name must not hide the package of the same name."""
    spec = importlib.util.spec_from_file_location(f"method_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(method: ModuleType) -> dict[str, object]:
    """The version, or why the method cannot run."""
    missing = getattr(method, "missing", lambda: None)()
    if missing is not None:
        return {"error": missing}
    return {"version": method.version()}


def serve(method: ModuleType) -> Iterator[dict[str, object]]:
    """Measures what each line of standard input says, in a process of its own."""
    ready = False
    for line in sys.stdin:
        setting, source, to = json.loads(line)
        if not ready:
            _import_all(method, setting)
            ready = True
        yield _apart(method, setting, Path(source), Path(to))


def _import_all(method: ModuleType, setting: dict[str, object]) -> None:
    """Imports what the method needs: the processes that measure are copies of this one."""
    with contextlib.suppress(BaseException):  # what is wrong is told by the process that measures
        method.version()
        from safetensors.numpy import load_file, save_file  # noqa: F401, PLC0415 (as below)

        _warm_up(method, setting)


def _apart(method: ModuleType, setting: dict[str, object], source: Path, to: Path) -> dict[str, object]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            found = measure(method, setting, source, to)
        except BaseException as error:  # packages raise SystemExit for bad input
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        sys.stderr.flush()
        os.write(write, json.dumps(found).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if not told:
        return {"died": os.waitstatus_to_exitcode(status)}
    result: dict[str, object] = json.loads(told)
    return result


def measure(method: ModuleType, setting: dict[str, object], source: Path, to: Path) -> dict[str, object]:
    """Encodes and decodes the arrays of a file, and writes what was decoded."""
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415 (the method's environment may lack it)

    version = method.version()
    _warm_up(method, setting)
    arrays = load_file(source)
    gc.collect()
    before = _reset_peak()
    data = method.encode(arrays, setting)
    decoded = method.decode(data)
    peak = _peak() - before
    save_file({name: array.copy(order="C") for name, array in decoded.items()}, to)
    return {"version": version, "bytes": len(data), "peak_bytes": max(0, peak)}


def repeat(method: ModuleType, setting: dict[str, object], source: Path) -> Iterator[dict[str, object]]:
    """Encodes and decodes the arrays of a file once for each line of standard input."""
    from safetensors.numpy import load_file  # noqa: PLC0415 (as above)

    version = method.version()
    _warm_up(method, setting)
    arrays = load_file(source)
    yield {"version": version}
    for _ in sys.stdin:
        gc.collect()
        start = time.perf_counter()
        data = method.encode(arrays, setting)
        middle = time.perf_counter()
        method.decode(data)
        yield {"encode_s": middle - start, "decode_s": time.perf_counter() - middle}


def _warm_up(method: ModuleType, setting: dict[str, object]) -> None:
    """Imports and sets up what a first call does, once, which is not to be timed."""
    import numpy as np  # noqa: PLC0415 (as above)

    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    with contextlib.suppress(Exception):  # so small a network may be too small for a setting
        method.decode(method.encode({"warm_up": weights}, setting))


def _reset_peak() -> int:
    """Makes the peak of resident memory start from what is resident now, and returns that, in bytes.

    Linux can forget the peak so far (proc(5), clear_refs), which importing packages may have set higher than encoding
    will. Elsewhere it is the peak so far itself that counts as what was there before.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak()


def _peak() -> int:
    """Peak of resident memory in bytes."""
    try:
        # Unlike ru_maxrss, this does not count what the process had before it became this program.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _own_stdout() -> int:
    """Keeps standard output for the result: what packages print goes to standard error, from C too."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


if __name__ == "__main__":
    sys.exit(main())
