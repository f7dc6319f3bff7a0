"""Writes a compressed model for firmware: a C source and a header, of its stream or of opened tensors; or a .bin."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from neuralcodec.c_names import HEADERS, OURS, as_identifier, is_identifier, is_taken, is_taken_macro
from neuralcodec.codec import NAMED
from neuralcodec.container import replace_file, replace_files
from neuralcodec.errors import PlanError
from neuralcodec.export_prepared import BYTES_A_LINE, Prepared, byte_lines, constants, prepare, requirements, smallest
from neuralcodec.model import CompressedModel, check_compressed
from neuralcodec.stream.reader import Demand
from neuralcodec.stream.writer import Entry

PAIR = (".c", ".h")
"""Endings for a source and a header."""


def export_c(
    cm: CompressedModel,
    path: str | os.PathLike[str],
    name: str | None = None,
    names: bool = False,
    prepared: bool = False,
) -> tuple[Path, ...]:
    """Writes a compressed model for a firmware build: its stream, or its tensors ready to decode.

    Args:
        cm: the compressed model.
        path: ``something.c`` or ``something.h`` writes the pair of both; any other ending (``.bin``) writes the
            bytes as they are.
        name: prefix of the C symbols; default from the file's name, with ``_weights`` added where that is a word of C
            or C++ (``int.c``) or a name of the headers.
        names: keeps the tensors' names in the stream, for ``ncd_tensor_find``. Without them tensors are known by the
            index macros of the header, which costs no flash.
        prepared: writes an array of opened tensors (``const ncd_tensor``) instead of a stream, and the tables of codec
            trellis with it. They stay in flash: firmware opens nothing, and decodes those tensors without a workspace
            and without code that checks streams and builds tables. The decoder is compiled with
            ``-DNCD_TRELLIS_PREPARED=1`` then; the header names the other options. For codecs raw, huffman and kmeans
            (whose look-ups firmware still builds), and trellis.

    Returns:
        The files that were written.

    Raises:
        NeuralCodecError: ``cm`` is something else.
        PlanError: ``name`` is not a C identifier, or is one that C, C++ or the headers have a meaning for, or is given
            where there are no symbols; a tensor cannot be prepared, or the file is not to be a source, or ``names`` are
            asked for where there is no stream.
        BitstreamError: the model is damaged.
        OSError: a file cannot be written; files from before are then untouched.
    """
    check_compressed(cm)
    path = Path(path)
    check_files(path, names, prepared, name)
    if path.suffix not in PAIR:
        with replace_file(path) as file:
            for piece in cm.chunks(names):
                file.write(piece)
        return (path,)
    symbol = symbol_for(path, name)
    source, header = outputs(path)
    demand = cm.demand()  # opens all tensors, and so checks their payloads
    if prepared:
        found = prepare(cm)
        with replace_files(header, source) as (head, body):
            head.writelines(line.encode() for line in _prepared_header(cm.entries, found, symbol, demand))
            body.writelines(line.encode() for line in _prepared_source_lines(found, symbol, header.name))
        return source, header
    size = sum(len(piece) for piece in cm.chunks(names))
    # The array's size is in the header: a new one must not stay beside an old source.
    with replace_files(header, source) as (head, body):
        head.writelines(line.encode() for line in _stream_header(cm.entries, symbol, size, demand))
        body.writelines(line.encode() for line in _source_lines(cm.chunks(names), symbol, header.name))
    return source, header


def check_files(path: Path, names: bool, prepared: bool, name: str | None) -> None:
    """Raises PlanError where a header would hide another one, or what is asked for cannot be written in this way."""
    if path.suffix in PAIR and path.stem in HEADERS:
        raise PlanError(f"{path.stem}.h is the name of a header of C or of the decoder: give another one")
    if prepared and path.suffix not in PAIR:
        raise PlanError(f"prepared tensors are a C source: give a name that ends in .c, not {path.name!r}")
    if name is not None and path.suffix not in PAIR:
        raise PlanError(
            f"name= is of C symbols, and {path.name!r} has none: give a name that ends in .c, or leave it out"
        )
    if prepared and names:
        raise PlanError(
            "names=True keeps names in the stream, and prepared tensors have none: leave one of the two out"
        )


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
        return f"{symbol}{OURS}" if is_taken(symbol) else symbol
    if not is_identifier(name):
        raise PlanError(f"name={name!r} is not a C identifier")
    if is_taken(name):
        raise PlanError(f"name={name!r} has a meaning in C or C++, or in the headers: give another one")
    return name


def _stream_header(entries: Iterable[Entry], symbol: str, size: int, demand: Demand) -> Iterator[str]:
    yield f"/* {symbol}: a neuralcodec model stream for ncd_model_open() of ncd.h. Generated; do not edit. */\n"
    facts = {"SIZE": (size, "bytes of the stream"), **_demand_facts(demand)}
    body = (
        _fact_lines(symbol, facts, demand.slots),
        _index_lines(entries, symbol, facts, "Indices for ncd_tensor_open()"),
    )
    yield from _guarded(symbol, ("#include <stdint.h>\n\n",), body, f"const uint8_t {symbol}[{symbol.upper()}_SIZE]")


def _prepared_header(entries: Iterable[Entry], prepared: Prepared, symbol: str, demand: Demand) -> Iterator[str]:
    yield f"/* {symbol}: the tensors of a neuralcodec model, opened and prepared, for the decoder of ncd.h.\n"
    yield " * Generated; do not edit.\n *\n"
    yield " * The smallest decoder for them, whose options are for this file as well:\n"
    yield from (f" *   {line}\n" for line in textwrap.wrap(smallest(prepared), 110, break_on_hyphens=False))
    yield " */\n"
    facts = {"TENSORS": (len(prepared.tensors), "tensors"), **_demand_facts(demand)}
    body = _fact_lines(symbol, facts, prepared.slots), _index_lines(entries, symbol, facts, "Places in the array")
    includes = ("#include <ncd.h>\n\n", *requirements(prepared), "\n")
    yield from _guarded(symbol, includes, body, f"const ncd_tensor {symbol}[{symbol.upper()}_TENSORS]")


def _guarded(symbol: str, includes: Iterable[str], body: Iterable[Iterable[str]], declared: str) -> Iterator[str]:
    """What both headers have around what they tell."""
    guard = f"NCD_{symbol.upper()}_h"  # with a small letter: no macro of an index, of any export, is that
    yield f"#ifndef {guard}\n#define {guard}\n\n"
    yield from includes
    for lines in body:
        yield from lines
    yield f'\n#ifdef __cplusplus\nextern "C" {{\n#endif\n\nextern {declared};\n'
    yield f"\n#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n"


def _demand_facts(demand: Demand) -> dict[str, tuple[int, str]]:
    # An array of so many must not be empty, even where nothing needs it.
    return {
        "TILE": (
            max(demand.weights, 1),
            "weights in the largest tile of levels, or of indices or floats of codec kmeans",
        ),
        "WIDE": (
            int(demand.wide),
            "1 if levels of some tensors have 16 bits: ncd_decode_tile_i16() gives all levels",
        ),
        "TILE_BYTES": (max(demand.bytes, 1), "bytes in the largest tile that ncd_decode_tile_bytes() gives"),
        "TABLES": (demand.tables, "look-up tables at a time, of NCD_HUFFMAN_WORKSPACE bytes each"),
    }


def _fact_lines(symbol: str, facts: Mapping[str, tuple[int, str]], slots: int) -> Iterator[str]:
    for fact, (value, meaning) in facts.items():
        yield f"#define {symbol.upper()}_{fact} {value}u /* {meaning} */\n"
    # Only the C compiler knows how large a look-up table is there; an array must not be empty.
    tables, least = f"{symbol.upper()}_TABLES * NCD_HUFFMAN_WORKSPACE", max(slots, 4)
    yield "/* Bytes that ncd_tensor_prepare() takes at most; with NCD_TRELLIS_INDEX_LOG2, NCD_TRELLIS_LANES and\n"
    yield " * NCD_HUFFMAN_LOOKUP_BITS as they are by default: else ncd_tensor_workspace() tells. */\n"
    yield f"#define {symbol.upper()}_WORKSPACE "
    yield f"({tables} > {least}u ? {tables} : {least}u)\n"


def _index_lines(entries: Iterable[Entry], symbol: str, facts: Iterable[str], title: str) -> Iterator[str]:
    yield f"\n/* {title}. */\n"
    taken = {f"{symbol.upper()}_{other}" for other in ("WORKSPACE", *facts)}
    for index, entry in enumerate(entries):
        macro = f"{symbol}_{as_identifier(entry.spec.name)}".upper()
        while macro in taken or is_taken_macro(macro):  # "a.b" and "a_b" give the same identifier
            macro += f"_{index}"
        taken.add(macro)
        shape = "x".join(map(str, entry.spec.shape)) or "scalar"
        # A tensor's name may hold anything, also the end of a comment.
        named = entry.spec.name.encode("unicode_escape").decode("ascii").replace("*/", "* /").replace("/*", "/ *")
        refused = f", of codec {entry.codec}, which ncd_tensor_open() refuses" if entry.number == NAMED else ""
        yield f"#define {macro} {index}u /* {named}: {entry.spec.dtype.name} {shape}{refused} */\n"


def _source_lines(pieces: Iterable[bytes], symbol: str, header: str) -> Iterator[str]:
    yield f'/* Generated; do not edit. */\n#include "{header}"\n\n'
    yield f"const uint8_t {symbol}[{symbol.upper()}_SIZE] = {{\n"
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // BYTES_A_LINE * BYTES_A_LINE
        yield from byte_lines(rest[:whole])
        rest = rest[whole:]
    yield "    " + ",".join(map(str, rest)) + "\n};\n"


def _prepared_source_lines(prepared: Prepared, symbol: str, header: str) -> Iterator[str]:
    yield f'/* Generated; do not edit. */\n#include "{header}"\n\n'
    yield from constants(prepared, symbol)
