"""Tensors for firmware that are opened, and tables that are built, here instead of there: constants of a C source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuralcodec import _native
from neuralcodec.errors import PlanError
from neuralcodec.model import CompressedModel

CODECS = {1: "raw", 2: "huffman", 3: "kmeans", 4: "trellis"}
"""Codecs whose tensors can be prepared, by their numbers."""

SWITCHES = (
    *("NCD_ENABLE_HUFFMAN", "NCD_ENABLE_LOSSLESS", "NCD_ENABLE_KMEANS", "NCD_ENABLE_TRELLIS"),
    *("NCD_ENABLE_AUTOENCODER", "NCD_ENABLE_REGRESSION", "NCD_TRELLIS_CONTEXTS", "NCD_TRELLIS_LIGHT"),
    *("NCD_TRELLIS_RANS", "NCD_TRELLIS_PREFIX", "NCD_TRELLIS_WIDE_CODES", "NCD_TRELLIS_SKIP", "NCD_TRELLIS_WIDE"),
)
"""Macros of ncd_config.h that are 1 by default, and decide what tensors can be decoded."""

LEVELS, LOSSLESS, WIDE = 0, 1, 3
"""Of what tiles hold, ``mode`` of ncd_tensor."""

LEAST_TENSOR = 64
"""Bytes of ncd_tensor on a machine of 32 bits with codecs raw and huffman alone."""

MORE_BYTES = {"NCD_ENABLE_LOSSLESS": 28, "NCD_ENABLE_KMEANS": 20, "NCD_ENABLE_TRELLIS": 16, "NCD_TRELLIS_SKIP": 8}
"""What fields of ncd_tensor take that are for these."""

BYTES_A_LINE, WORDS_A_LINE = 20, 8

KMEANS_PREFIX, KMEANS_RANS = 1, 2
"""Of ``coding`` of ncd_tensor."""


@dataclass(frozen=True)
class PreparedTensor:
    """A tensor as ``ncd_tensor_open`` gives it on a microcontroller.

    Attributes:
        numbers: fields of ncd_tensor that are numbers, without zeros.
        places: fields that point into the stream, as offsets.
        tables: offsets of its code tables; −1: null.
        built: number of its tables among :attr:`Prepared.tables`, with codec trellis, or None.
        needs: macros of the decoder that must be 1.
    """

    numbers: dict[str, int]
    places: dict[str, int]
    tables: tuple[int, ...]
    built: int | None
    needs: frozenset[str]


@dataclass(frozen=True)
class Prepared:
    """All tensors of a model, and what they refer to.

    Attributes:
        tensors: in the order of the stream's directory.
        tables: of codec trellis, each once, as 32-bit words: for cores that load words, and for those that load bytes.
        data: the part of the stream that the tensors point into.
        start: its offset in the stream.
        planes: the most planes that an element has of a tensor whose bytes are coded by planes.
        slots: bytes of the largest table of frequencies, with codec kmeans, that firmware builds.
        searches: whether tables are searched, whose layout depends on NCD_TRELLIS_INDEX_LOG2.
    """

    tensors: tuple[PreparedTensor, ...]
    tables: tuple[tuple[bytes, bytes], ...]
    data: bytes
    start: int
    planes: int
    slots: int
    searches: bool

    @property
    def flash_bytes(self) -> int:
        """Bytes of data, tables and tensors on a machine of 32 bits, with the smallest decoder for them."""
        tables = sum(len(words) for words, _ in self.tables)
        return len(self.data) + tables + len(self.tensors) * self.bytes_of_tensor

    @property
    def bytes_of_tensor(self) -> int:
        """sizeof(ncd_tensor) there."""
        return LEAST_TENSOR + sum(size for macro, size in MORE_BYTES.items() if macro in self.needs)

    @property
    def needs(self) -> frozenset[str]:
        """Macros of the decoder that must be 1."""
        return frozenset().union(*(tensor.needs for tensor in self.tensors))


def prepare(cm: CompressedModel) -> Prepared:
    """Opens all tensors, and builds the tables of those of codec trellis; of a model whose payloads have been checked.

    Raises:
        PlanError: there are no tensors, or one's codec opens tensors while it decodes, or is a third party's.
    """
    if not cm.entries:
        raise PlanError("the model has no tensors: there is nothing to prepare")
    for entry in cm.entries:
        if entry.tied_to is None and entry.number not in CODECS:
            raise PlanError(f"tensor {entry.spec.name!r} {cannot_be(entry.codec)}")
    return prepare_stream(cm.to_bytes(names=False), len(cm.entries))


def cannot_be(codec: str) -> str:
    """Why a tensor of a codec cannot be prepared, behind its name."""
    *others, last = CODECS.values()
    return f"is of codec {codec}, whose tensors cannot be prepared: {', '.join(others)} and {last} can"


def prepare_stream(stream: bytes, count: int) -> Prepared:
    """The same for the ``count`` tensors of a stream, all of codecs that can be prepared."""
    found: dict[tuple[bytes, bytes], int] = {}
    tensors: list[PreparedTensor] = []
    slots, searches = 0, False
    for index in range(count):
        numbers, places, tables, workspace, coding, wide_codes = _native.opened_tensor(stream, index)
        codec, built = CODECS[numbers["codec"]], None
        if codec == "trellis" and workspace:
            words, by_bytes = (_native.prepared_tables(stream, index, workspace, loads) for loads in (False, True))
            pair = (words, by_bytes)
            built = found.setdefault(pair, len(found))
            searches |= coding == "contexts"
        elif codec == "kmeans" and numbers["coding"] == KMEANS_RANS:
            slots = max(slots, workspace)
        numbers = {name: value for name, value in numbers.items() if value}
        tables = () if built is not None else tables
        tensors.append(
            PreparedTensor(numbers, places, tables, built, _needs(codec, numbers, places, coding, wide_codes))
        )
    # Front of it are the directory, and models of which the tables have been built.
    offsets = [at for tensor in tensors for at in (*tensor.places.values(), *(t for t in tensor.tables if t >= 0))]
    start = min(offsets, default=len(stream))
    planes = max((t.numbers["elem_size"] for t in tensors if "NCD_ENABLE_LOSSLESS" in t.needs), default=0)
    return Prepared(tuple(tensors), tuple(found), stream[start:], start, planes, slots, searches)


def _needs(
    codec: str, numbers: dict[str, int], places: dict[str, int], coding: str | None, wide_codes: bool
) -> frozenset[str]:
    needs = {f"NCD_ENABLE_{codec.upper()}"} if codec != "raw" else set()
    if codec == "trellis":
        needs.add("NCD_TRELLIS_PREPARED")
    if codec == "huffman" and numbers.get("mode", LEVELS) == LOSSLESS:
        needs.add("NCD_ENABLE_LOSSLESS")
    if codec == "kmeans" and numbers.get("coding") == KMEANS_PREFIX:
        needs.add("NCD_ENABLE_HUFFMAN")
    if coding is not None:
        needs.add(f"NCD_TRELLIS_{coding.upper()}")
    if wide_codes:
        needs.add("NCD_TRELLIS_WIDE_CODES")
    if codec == "trellis" and numbers.get("mode", LEVELS) == WIDE:
        needs.add("NCD_TRELLIS_WIDE")
    if "coded_rows" in places:
        needs.add("NCD_TRELLIS_SKIP")
    return frozenset(needs)


def requirements(prepared: Prepared) -> Iterator[str]:
    """Lines of a header that stop the compiler where the decoder is configured for other tensors."""
    for macro in sorted(prepared.needs):
        yield f'#if !{macro}\n#error "these tensors need {macro}=1, for the decoder and for this file"\n#endif\n'
    if prepared.searches:
        yield '#if NCD_TRELLIS_INDEX_LOG2 != 4\n#error "tables were built for NCD_TRELLIS_INDEX_LOG2=4"\n#endif\n'
    if prepared.planes > 1:
        yield f'#if NCD_MAX_PLANES < {prepared.planes}\n#error "NCD_MAX_PLANES is too small"\n#endif\n'


def smallest(prepared: Prepared) -> str:
    """Options of a compiler that leave out of the decoder what the tensors do not need."""
    on = ["NCD_TRELLIS_PREPARED"] if "NCD_TRELLIS_PREPARED" in prepared.needs else []
    off = [macro for macro in SWITCHES if macro not in prepared.needs]
    if "NCD_ENABLE_TRELLIS" in off:
        off = [macro for macro in off if not macro.startswith("NCD_TRELLIS")]
    return " ".join([*(f"-D{macro}=1" for macro in on), *(f"-D{macro}=0" for macro in off)])


def constants(prepared: Prepared, symbol: str) -> Iterator[str]:
    """Lines of a source: data, tables, and the array of tensors, which is named ``symbol``."""
    yield "#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__\n"
    yield '#error "tables were built for little-endian machines"\n#endif\n\n'
    yield f"static const uint8_t {symbol}_data[] = {{\n"
    yield from byte_lines(prepared.data or b"\0")
    yield "};\n"
    for i, (words, by_bytes) in enumerate(prepared.tables):
        name = f"\nstatic const uint32_t {symbol}_tables_{i}[] = {{\n"
        if words == by_bytes:
            yield from (name, *_word_lines(words), "};\n")
            continue
        yield from ("\n#if NCD_TRELLIS_BYTE_LOADS", name, *_word_lines(by_bytes), "};\n")
        yield from ("#else", name, *_word_lines(words), "};\n#endif\n")
    yield f"\nconst ncd_tensor {symbol}[{len(prepared.tensors)}] = {{\n"
    for tensor in prepared.tensors:
        fields = [f".{name} = {value}u" for name, value in tensor.numbers.items()]
        fields += [f".{name} = {symbol}_data + {at - prepared.start}" for name, at in tensor.places.items()]
        if tensor.built is not None:
            fields.append(f".tables = {{(const uint8_t *){symbol}_tables_{tensor.built}}}")
        elif any(at >= 0 for at in tensor.tables):
            count = max(i + 1 for i, at in enumerate(tensor.tables) if at >= 0)
            pointers = (f"{symbol}_data + {at - prepared.start}" if at >= 0 else "0" for at in tensor.tables[:count])
            fields.append(f".tables = {{{', '.join(pointers)}}}")
        yield "    {" + ",\n     ".join(fields) + "},\n"
    yield "};\n"


def byte_lines(data: bytes) -> Iterator[str]:
    """Elements of an array of bytes."""
    for start in range(0, len(data), BYTES_A_LINE):
        yield "    " + ",".join(map(str, data[start : start + BYTES_A_LINE])) + ",\n"


def _word_lines(data: bytes) -> Iterator[str]:
    words = np.frombuffer(data, "<u4")
    for start in range(0, len(words), WORDS_A_LINE):
        yield "    " + ", ".join(f"0x{word:08x}u" for word in words[start : start + WORDS_A_LINE]) + ",\n"
