"""Writes a compressed model for firmware: a C source with the stream as an array and a header, or a bare .bin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from neuralcodec.c_names import as_identifier, is_identifier, is_taken, is_taken_macro
from neuralcodec.container import replace_file, replace_files
from neuralcodec.errors import PlanError
from neuralcodec.model import CompressedModel
from neuralcodec.stream.reader import Demand
from neuralcodec.stream.writer import Entry

BYTES_A_LINE = 20

PAIR = (".c", ".h")
"""Endings for a source and a header."""


def export_c(
    cm: CompressedModel, path: str | os.PathLike[str], name: str | None = None, names: bool = False
) -> tuple[Path, ...]:
    """Writes the stream of a compressed model for a firmware build.

    Args:
        cm: the compressed model.
        path: ``something.c`` or ``something.h`` writes the pair of both; any other ending (``.bin``) writes the
            bytes as they are.
        name: prefix of the C symbols; default from the file's name, with ``_weights`` added where that is a word of C
            or C++ (``int.c``) or a name of the headers.
        names: keeps the tensors' names in the stream, for ``ncd_tensor_find``. Without them tensors are known by the
            index macros of the header, which costs no flash.

    Returns:
        The files that were written.

    Raises:
        PlanError: ``name`` is not a C identifier, or is one that C, C++ or the headers have a meaning for.
        OSError: a file cannot be written; files from before are then untouched.
    """
    path = Path(path)
    if path.suffix not in PAIR:
        with replace_file(path) as file:
            for piece in cm.chunks(names):
                file.write(piece)
        return (path,)
    symbol = symbol_for(path, name)
    source, header = outputs(path)
    size = sum(len(piece) for piece in cm.chunks(names))
    # The array's size is in the header: a new one must not stay beside an old source.
    with replace_files(header, source) as (head, body):
        head.writelines(line.encode() for line in _header_lines(cm.entries, symbol, size, cm.demand()))
        body.writelines(line.encode() for line in _source_lines(cm.chunks(names), symbol, header.name))
    return source, header


def outputs(path: Path) -> tuple[Path, ...]:
    """The files that :func:`export_c` writes."""
    return (path.with_suffix(".c"), path.with_suffix(".h")) if path.suffix in PAIR else (path,)


def symbol_for(path: Path, name: str | None) -> str:
    """Prefix of the C symbols: ``name``, or what fits the file's name.

    Raises:
        PlanError: ``name`` cannot be one.
    """
    if name is None:
        symbol = as_identifier(path.stem)
        return f"{symbol}_weights" if is_taken(symbol) else symbol
    if not is_identifier(name):
        raise PlanError(f"name={name!r} is not a C identifier")
    if is_taken(name):
        raise PlanError(f"name={name!r} has a meaning in C or C++, or in the headers: give another one")
    return name


def _header_lines(entries: Iterable[Entry], symbol: str, size: int, demand: Demand) -> Iterator[str]:
    guard = f"{symbol.upper()}_H"
    yield f"/* {symbol}: a neuralcodec model stream for ncd_model_open() of ncd.h. Generated; do not edit. */\n"
    yield f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n"
    facts = {
        "SIZE": (size, "bytes of the stream"),
        "TILE": (demand.weights, "weights in the largest tile of levels, or of indices or floats of codec kmeans"),
        "WIDE": (
            int(demand.wide),
            "1 if levels of some tensors have 16 bits: ncd_decode_tile_i16() gives all levels",
        ),
        "TILE_BYTES": (demand.bytes, "bytes in the largest tile that ncd_decode_tile_bytes() gives"),
        "TABLES": (demand.tables, "look-up tables at a time, of NCD_HUFFMAN_WORKSPACE bytes each"),
    }
    taken = {guard}
    for fact, (value, meaning) in facts.items():
        taken.add(f"{symbol.upper()}_{fact}")
        yield f"#define {symbol.upper()}_{fact} {value}u /* {meaning} */\n"
    taken.add(f"{symbol.upper()}_WORKSPACE")
    # Only the C compiler knows how large a look-up table is there; an array must not be empty.
    tables, slots = f"{symbol.upper()}_TABLES * NCD_HUFFMAN_WORKSPACE", max(demand.slots, 4)
    yield f"/* Bytes that ncd_tensor_prepare() takes at most. */\n#define {symbol.upper()}_WORKSPACE "
    yield f"({tables} > {slots}u ? {tables} : {slots}u)\n"
    yield "\n/* Indices for ncd_tensor_open(). */\n"
    for index, entry in enumerate(entries):
        macro = f"{symbol}_{as_identifier(entry.spec.name)}".upper()
        while macro in taken or is_taken_macro(macro):  # "a.b" and "a_b" give the same identifier
            macro += f"_{index}"
        taken.add(macro)
        shape = "x".join(map(str, entry.spec.shape)) or "scalar"
        # A tensor's name may hold anything, also the end of a comment.
        named = entry.spec.name.encode("unicode_escape").decode("ascii").replace("*/", "* /").replace("/*", "/ *")
        yield f"#define {macro} {index}u /* {named}: {entry.spec.dtype.name} {shape} */\n"
    yield '\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
    yield f"extern const uint8_t {symbol}[{symbol.upper()}_SIZE];\n"
    yield f"\n#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n"


def _source_lines(pieces: Iterable[bytes], symbol: str, header: str) -> Iterator[str]:
    yield f'/* Generated; do not edit. */\n#include "{header}"\n\n'
    yield f"const uint8_t {symbol}[{symbol.upper()}_SIZE] = {{\n"
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // BYTES_A_LINE * BYTES_A_LINE
        for start in range(0, whole, BYTES_A_LINE):
            yield "    " + ",".join(map(str, rest[start : start + BYTES_A_LINE])) + ",\n"
        rest = rest[whole:]
    yield "    " + ",".join(map(str, rest)) + "\n};\n"
