"""The environments that methods run in: the benchmark's, or one of their own.

Peers cannot share an environment, as some need packages older than the others'. Each list of requirements gives one
environment in the cache, made when it is first needed.

``name==version`` is installed as it is, without what it depends on, so the list is complete and what runs is known.
``name`` alone means the benchmark's own package, which the environment can then also import: torch takes a gigabyte.
What an environment has itself goes before what it finds there.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bench.folders import ROOT, cache
from bench.method import Method, Setting

WORKER = ROOT / "bench" / "worker.py"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)
CHECK_SECONDS = 300.0
VERSION = "1"
"""Changes with how environments are made."""

MOST_WAITING = 2
"""Workers that wait for more to measure; each takes some hundred megabytes."""

_lock = threading.Lock()
_waiting: list[tuple[tuple[str, str], Process, contextlib.ExitStack]] = []
"""Of which method and environment, the worker, and what ends it."""

_versions: dict[Path, str] = {}
_failed: dict[str, str] = {}
"""Why an environment could not be made in this run; the next run tries again."""


class MethodError(Exception):
    """A method's environment cannot be made, or its process failed; the message says why."""


class FailedError(MethodError):
    """A method failed, and its process goes on."""


class TooLongError(MethodError):
    """A method's process took longer than it may."""


def missing(method: Method) -> str | None:
    """Why a method cannot run here, or None. Makes its environment."""
    try:
        version(method)
    except MethodError as error:
        return str(error)
    return None


def version(method: Method) -> str:
    """Of what does the method's work here. Makes its environment.

    Raises:
        MethodError: it cannot run.
    """
    if method.path not in _versions:
        _versions[method.path] = str(work(method, ["--check"], CHECK_SECONDS)["version"])
    return _versions[method.path]


def measured(method: Method, setting: Setting, source: Path, to: Path, timeout: float) -> dict[str, Any]:
    """Has a waiting bench/worker.py of the method measure, or a new one, which then waits for the next.

    Importing packages takes longer than encoding most networks; a worker that waits has done it. Each measurement has a
    process of its own all the same, which the worker makes as a copy of itself.

    Raises:
        MethodError: it cannot run, failed, or took longer than ``timeout`` seconds.
    """
    name = str(method.path), str(python_of(method))
    with _lock:
        place = next((i for i, (of, _, _) in enumerate(_waiting) if of == name), None)
        found = None if place is None else _waiting.pop(place)
    if found is None:
        closing = contextlib.ExitStack()
        found = name, closing.enter_context(started(method, ["--serve"])), closing
    _, process, closing = found
    try:
        process.ask(json.dumps([dict(setting), str(source), str(to)]))
        answer = process.answer(timeout)
    except BaseException as error:
        # What a measurement says of itself leaves the worker as it was.
        if isinstance(error, FailedError):
            _keep(found)
        else:
            closing.close()
        raise
    _keep(found)
    return answer


def _keep(worker: tuple[tuple[str, str], Process, contextlib.ExitStack]) -> None:
    with _lock:
        _waiting.append(worker)
        done = [_waiting.pop(0) for _ in range(len(_waiting) - MOST_WAITING)]
    for _, _, closing in done:
        closing.close()


@atexit.register
def dismiss() -> None:
    """Ends the workers that wait."""
    with _lock:
        done = [_waiting.pop() for _ in range(len(_waiting))]
    for _, _, closing in done:
        closing.close()


def work(method: Method, arguments: list[str], timeout: float) -> dict[str, Any]:
    """Runs bench/worker.py in the method's environment, with one thread.

    Returns:
        What it printed.

    Raises:
        MethodError: it cannot run, failed, or took longer than ``timeout`` seconds.
    """
    with started(method, arguments) as process:
        return process.answer(timeout)


class Process:
    """A running bench/worker.py."""

    def __init__(self, name: str, running: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._name, self._running, self._errors = name, running, errors

    def ask(self, line: str = "") -> None:
        """Sends it a line, of which it waits for some if it was told to."""
        assert self._running.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: answer() says why
            self._running.stdin.write(line.encode() + b"\n")
            self._running.stdin.flush()

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next line that it prints.

        Raises:
            MethodError: it failed, or took longer than ``timeout`` seconds, and was then ended.
        """
        assert self._running.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self.end()

        clock = threading.Timer(timeout, end)
        clock.daemon = True
        clock.start()
        line = self._running.stdout.readline()
        clock.cancel()
        if late.is_set():
            raise TooLongError(f"{self._name} took longer than {timeout:.0f} s")
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            found = {"died": self._running.wait()}
        if "died" in found:
            code = found["died"]
            self._errors.seek(0)
            said = _last(self._errors.read().decode(errors="replace"), 3)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise MethodError(f"{self._name} ended with {how}: {said}")
        if "error" in found:
            raise FailedError(str(found["error"]))
        return found

    def end(self) -> None:
        """Ends it, and the processes that it has made."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)


@contextlib.contextmanager
def started(method: Method, arguments: list[str]) -> Iterator[Process]:
    """Starts bench/worker.py in the method's environment, with one thread, and ends it at last.

    Raises:
        MethodError: the environment cannot be made.
    """
    variables = {**os.environ, **ONE_THREAD}
    if method.requirements:
        for name in ("PYTHONPATH", "PYTHONHOME"):  # the benchmark's packages would go before its own
            variables.pop(name, None)
    command = [str(python_of(method)), str(WORKER), str(method.path), *arguments]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, env=variables, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True
        ) as running,
    ):
        process = Process(method.name, running, errors)
        try:
            yield process
        finally:
            process.end()


def python_of(method: Method) -> Path:
    """The interpreter to run a method with; makes its environment if need be.

    Raises:
        MethodError: it cannot be made.
    """
    if not method.requirements:
        return Path(sys.executable)
    folder = _folder(method)
    if not folder.is_dir():
        if method.name not in _failed:
            try:
                _make(method, folder)
            except MethodError as error:
                _failed[method.name] = str(error)
        if method.name in _failed:
            raise MethodError(_failed[method.name])
    return folder / "bin" / "python"


def is_made(method: Method) -> bool:
    """Whether the method can run without anything being installed for it."""
    return not method.requirements or _folder(method).is_dir()


def _folder(method: Method) -> Path:
    # Packages of the benchmark are found where they are, by the interpreter they are for.
    parts = [VERSION, *method.requirements, sys.version, sys.base_prefix, *_own_packages()]
    return cache("environments") / f"{method.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"


def _own_packages() -> list[str]:
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def _make(method: Method, folder: Path) -> None:
    """Makes an environment beside its place, then renames it: what bears the name is whole."""
    pinned = [r for r in method.requirements if "==" in r]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{method.name}-") as name:
        made = Path(name) / "made"
        _call(["-m", "venv", "--without-pip", str(made)])
        install = ["-m", "pip", f"--python={made / 'bin' / 'python'}", "install", "--no-deps", "--no-input"]
        install += ["--quiet", "--disable-pip-version-check", "--no-compile"]
        # The method's own package comes first in the list and is installed last: where it has to be built, it is built
        # with the pinned packages that are there by then.
        for some in (pinned[1:], pinned[:1]):
            if some:
                _call([*install, "--no-build-isolation", *some])
        if len(pinned) < len(method.requirements):
            (packages,) = made.glob("lib/python*/site-packages")
            (packages / "benchmark.pth").write_text("\n".join(_own_packages()) + "\n", encoding="utf-8")
        try:
            made.rename(folder)
        except OSError as error:
            if not folder.is_dir():  # else another run has made it meanwhile
                raise MethodError(f"its environment could not be made: {error}") from error


def _call(arguments: list[str]) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise MethodError(f"its environment could not be made: {_last(done.stderr or done.stdout, 5)}")


def _last(text: str, lines: int) -> str:
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
