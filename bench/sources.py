"""Which files of neuralcodec decide what a codec makes of a network.

Found by following imports: from the verbs of the API, from the codecs of what is kept exactly, and from the codec
itself; and from the native functions that these use to the sources that bind them. So a codec that is added, or
changed, leaves the records of the others as they are. How a stream is decoded does not count here: what it decodes to
is pinned by golden vectors. For timings and firmware it does, see :func:`decoder`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from bench.folders import ROOT

PACKAGE = "neuralcodec"
FOLDERS = {"neuralcodec.codecs": ROOT / "codecs", "neuralcodec.models": ROOT / "models", PACKAGE: ROOT / PACKAGE}
"""Where packages lie, the inner ones first; see pyproject.toml."""

VERBS = ("neuralcodec.api", "neuralcodec.registry")
FOR_EXACT = ("raw", "huffman")
"""Codecs of tensors that are kept exactly, whatever the codec."""

NATIVE = ROOT / PACKAGE / "_native"
NATIVE_MODULE = "neuralcodec._native"
DECODING = {
    ROOT / PACKAGE / "stream" / "reader.py",
    *(path for stem in ("decode", "directory", "floats", "reader") for path in NATIVE.glob(f"{stem}.?pp")),
}
"""What reads streams: every codec has some lines there."""

BOUND = re.compile(r'(?:m\.def\(\s*|m\.attr\(|nb::class_<[^>]*>\(m, )"(\w+)"')
DEFINED_IN = {"common.hpp": ("segments.cpp",), "cluster.hpp": ("segments.cpp",)}
"""Sources that bind nothing, by headers that declare what they define, if they are not named alike."""

INCLUDED = re.compile(r'#include "(\w+\.hpp)"')
OF_DECODER = re.compile(r'#include "(\w+\.h)"')
"""A native source depends on the headers of the C decoder that it includes; and where one of them begins with its own
name, on all files there that do."""

DECODER = ("firmware_decoder/src", "firmware_decoder/include")
BUILT_WITH = ("CMakeLists.txt", "pyproject.toml", "firmware_decoder/CMakeLists.txt")
BUILT_FROM = ("firmware_decoder/src", "firmware_decoder/include", "neuralcodec/_native")
"""Of the extension; as scripts/setup.sh has them."""

PORTS = ("firmware_decoder/ports", "firmware_decoder/examples")


class SourceError(Exception):
    """Sources are not as this page expects, so records cannot be told apart by them."""


@cache
def encoder_hash(codecs: tuple[str, ...] | None) -> str:
    """Hash of what encodes with these codecs, or with any."""
    return _hash(encoder(codecs))


@cache
def decoder_hash() -> str:
    """Hash of what decodes on the host: the C decoder and its binding."""
    return _hash(decoder())


@cache
def firmware_hash() -> str:
    """Hash of the C decoder, of the ports to emulated cores, and of what measures there."""
    return _hash([*decoder(), ROOT / "bench" / "firmware.py", *_files(PORTS)])


def encoder(codecs: tuple[str, ...] | None) -> list[Path]:
    """Files that decide what these codecs, or any, make of a network: Python, data beside it, and native sources."""
    points = built_in()
    if codecs is None or not set(codecs) <= points.keys():
        codecs = tuple(points)
    roots = [*VERBS, *(points[name] for name in (*FOR_EXACT, *codecs))]
    modules, native = _closure(roots)
    return sorted({*modules, *_data(modules, codecs), *_native_sources(native)})


def decoder() -> list[Path]:
    """Files that decide how streams are decoded on the host."""
    return [*sorted(DECODING), *_files(DECODER)]


def is_outdated(stamp: Path | None = None) -> bool:
    """Whether the extension was built from other sources than are here, so that it would do other things.

    Args:
        stamp: what scripts/setup.sh left when it built the extension: the hash of a list of hashes, as sha256sum prints
            it. Without one nothing is known. By default that of the environment that runs this.
    """
    stamp = Path(sys.prefix) / "sources.stamp" if stamp is None else stamp
    if not stamp.exists():
        return False
    paths = [ROOT / name for name in BUILT_WITH]
    paths += [p for folder in BUILT_FROM for p in (ROOT / folder).rglob("*") if p.is_file()]
    names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    listed = "".join(f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    return stamp.read_text().split()[0] != hashlib.sha256(listed.encode()).hexdigest()


def built_in() -> dict[str, str]:
    """Modules of the codecs that are built in, by name."""
    points = {point.name: point.value.partition(":")[0] for point in entry_points(group="neuralcodec.codecs")}
    return {name: module for name, module in points.items() if _file(module) is not None}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names that a file imports, wherever in it: of packages as they are, of ``from a import b`` also ``a.b``.

    What is imported for type checkers only is left out.
    """
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield tree.module
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for node in ast.iter_child_nodes(tree):
        yield from imported(node)


def code(tree: ast.Module) -> str:
    """What a file does: its syntax tree without comments and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _closure(roots: Iterable[str]) -> tuple[set[Path], set[str]]:
    """Files of modules and of all that they import of the package, and the native names that these use."""
    found: set[Path] = set()
    native: set[str] = set()
    new = {path for root in roots if (path := _file(root)) is not None}
    while new:
        path = new.pop()
        found.add(path)
        tree = _parsed(path)
        names = set(imported(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_native":
                native.add(node.attr)
        native |= {name.removeprefix(f"{NATIVE_MODULE}.") for name in names if name.startswith(f"{NATIVE_MODULE}.")}
        new |= {file for name in names if (file := _file(name)) is not None and file not in found | DECODING}
    return found, native


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(name: str) -> Path | None:
    """The file of a module of the package; None for what is no module of it.

    Also for the package itself, which imports all there is: who imports a module of it means the module.
    """
    for package, folder in FOLDERS.items():
        if name.startswith(f"{package}."):
            place = folder.joinpath(*name.removeprefix(f"{package}.").split("."))
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    return file
            return None
    return None


def _data(modules: Iterable[Path], codecs: tuple[str, ...]) -> set[Path]:
    """Data of codecs and models, such as weights, that a module names or that are named for a codec."""
    text = "".join(path.read_text(encoding="utf-8") for path in modules)
    files = {p for name in ("codecs", "models") for p in (ROOT / name).rglob("*") if p.is_file()}
    data = {p for p in files if p.suffix not in {".py", ".pyc", ".md"}}
    return {p for p in data if p.name in text or p.name.startswith(codecs)}


def _native_sources(names: set[str]) -> set[Path]:
    """Sources that bind native functions and classes, with the headers that they include and what these declare.

    Raises:
        SourceError: nothing binds one of the names.
    """
    bound = {name: path for path in sorted(NATIVE.glob("*.cpp")) for name in BOUND.findall(path.read_text())}
    if lost := names - bound.keys():
        raise SourceError(f"no source in {NATIVE.relative_to(ROOT)} binds {', '.join(sorted(lost))}")
    found: set[Path] = set()
    new = {bound[name] for name in names} - DECODING
    while new:
        path = new.pop()
        found.add(path)
        headers = {NATIVE / name for name in INCLUDED.findall(path.read_text())}
        if path.suffix == ".hpp":
            defining = {path.with_suffix(".cpp"), *(NATIVE / name for name in DEFINED_IN.get(path.name, ()))}
            headers |= {each for each in defining if each.is_file()}
        if path.is_relative_to(NATIVE):
            included = [ROOT / DECODER[0] / name for name in OF_DECODER.findall(path.read_text())]
            headers |= {each for each in included if each.is_file()}
            if path.suffix == ".cpp" and any(each.stem.startswith(path.stem) for each in included):
                headers |= set((ROOT / DECODER[0]).glob(f"{path.stem}*"))
        new |= headers - found
    return found


def _files(folders: Iterable[str]) -> list[Path]:
    paths = (p for folder in folders for p in sorted((ROOT / folder).rglob("*")) if p.is_file())
    return [p for p in paths if "__pycache__" not in p.parts]


def _hash(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        content = code(ast.parse(path.read_text())).encode() if path.suffix == ".py" else path.read_bytes()
        total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()
