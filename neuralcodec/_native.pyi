"""Kernels of the encoder, and the C decoder that firmware compiles.

Arrays must be C-contiguous and of the dtype shown; they are not copied. Functions that take long release the GIL.
Results do not depend on the machine: sums run in a fixed order, and no multiply-add is fused.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

_U8: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint8]] | npt.NDArray[np.uint8]
_Bytes: TypeAlias = _U8 | bytes | bytearray | memoryview

# stats.cpp

def scan(weights: npt.NDArray[np.float32]) -> tuple[float, float, int]:
    """Largest magnitude of the finite weights, sum of squares (of all), and how many are NaN or infinite; any shape."""

def error_stats(original: npt.NDArray[np.float32], decoded: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    """Σ original², Σ (original − decoded)², and the largest |original − decoded|; any shape, sums in double."""

def histogram(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How often each byte of an array of any shape occurs, shape [256]."""

def pair_histogram(levels: npt.NDArray[np.int8], tile: int) -> npt.NDArray[np.int64]:
    """How often each pair of levels (low four bits the first) occurs in tiles of T = ``tile``, shape [256].

    Args:
        levels: shape [rows, cols], −8 to 7; the second of a last odd level counts as 0.
        tile: tile length T.
    """

def zeros_histogram(levels: npt.NDArray[np.int8], tile: int) -> npt.NDArray[np.int64]:
    """How often each symbol occurs in tiles of T = ``tile`` where two levels 0 are the symbol −128, shape [256].

    Args:
        levels: shape [rows, cols], −127 to 127.
        tile: tile length T.
    """

# quantize.cpp

def row_scale(step: float, code: int) -> float:
    """The scale of a row with this scale code, docs/format.md 6.1."""

def fit_step(weights: npt.NDArray[np.float32], levels: int, finest: float = 0.0) -> float:
    """The step at which rounding to −levels … levels loses least in squared error.

    Every eighth of an octave is tried from the step that reaches the largest weight down to where clipping alone costs
    more than the best, then points nearer and nearer to the best.

    Args:
        weights: any shape, finite.
        levels: 1 to 127.
        finest: no step below this one.
    """

def fit_rows(weights: npt.NDArray[np.float32], levels: int, step: float, last: int = 255) -> npt.NDArray[np.uint8]:
    """For each row the scale code, up to ``last``, that loses least in squared error; shape [rows].

    Args:
        weights: shape [rows, cols], finite.
        levels: 1 to 127.
        step: the scale at code 0.
        last: largest code.
    """

def quantize(
    weights: npt.NDArray[np.float32],
    levels: int,
    step: float,
    codes: npt.NDArray[np.uint8] | None = None,
    limit: float = ...,
    together: float = 0.0,
) -> npt.NDArray[np.int8]:
    """Weights over the scale of their row, rounded half to even and clipped; shape [rows, cols].

    Some are rounded the other way where errors count together, those next to the middle first.

    Args:
        weights: shape [rows, cols].
        levels: largest level, 1 to 127.
        step: scale at code 0.
        codes: scale codes, shape [rows]; None for a scale of ``step`` everywhere.
        limit: no level whose weight is beyond this: the largest number of the tensor's dtype.
        together: what the squared sum of a row's errors counts beside the sum of their squares.
    """

def dequantize(
    levels: npt.NDArray[np.int8], step: float, codes: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.float32]:
    """Levels times the scale of their row; shape [rows, cols]."""

# cluster.cpp

def kmeans(
    values: npt.NDArray[np.float32],
    most: int,
    importance: npt.NDArray[np.float32] | None = None,
    zero: bool = False,
    bins: int = ...,
    all: bool = False,
) -> list[tuple[npt.NDArray[np.float64], float, float]]:
    """Optimal k-means: centroids, distortion, and how far at most it lies above the least.

    See :mod:`neuralcodec.codecs.kmeans.cluster`.

    Args:
        values: any shape, finite.
        most: how many clusters, fewer if there are fewer distinct values.
        importance: as many numbers as values.
        zero: one centroid is 0.
        bins: most groups of neighbouring values.
        all: results for 1, 2, … clusters instead of the last only.
    """

# lagrangian.cpp

def assign(
    values: npt.NDArray[np.float32],
    centroids: npt.NDArray[np.float64],
    penalties: npt.NDArray[np.float64] | None = None,
    importance: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]:
    """Index of the centroid of least importance · (value − centroid)² + penalty; shape [n], the lowest of equals.

    Args:
        values: any shape, n finite numbers.
        centroids: shape [1 to 256], ascending.
        penalties: shape as centroids; infinite for centroids out of use.
        importance: as many numbers as values; without penalties of no consequence.
    """

# cancelling.cpp

def cancelled(
    values: npt.NDArray[np.float32],
    indices: npt.NDArray[np.uint8],
    centroids: npt.NDArray[np.float64],
    penalties: npt.NDArray[np.float64] | None,
    together: float,
    gain: float = 1.0,
    factors: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]:
    """Indices of which some are those of the next centroid, so that errors of a row cancel; shape [rows, cols].

    Values are taken there, one after the other, while that makes factor·(Σ (value − centroid)² + together·(Σ
    (gain·centroid − value))²) + Σ penalty of their row smaller, those first for which it costs least.

    Args:
        values: shape [rows, cols].
        indices: as :func:`assign` finds them, of the shape of the values.
        centroids: shape [1 to 256], ascending.
        penalties: shape as centroids; infinite for centroids out of use.
        together: what the squared sum of a row's errors counts.
        gain: what is decoded, over centroids.
        factors: of the squared errors of each row, shape [rows]; None for 1.
    """

def entropy_constrained(
    values: npt.NDArray[np.float32],
    clusters: int,
    lagrangian: float,
    importance: npt.NDArray[np.float32] | None = None,
    zero: bool = False,
    bins: int = ...,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float, float, npt.NDArray[np.float64]]:
    """Centroids, their probabilities, distortion, bits a value, and distortion + λ · bits of each round.

    See :mod:`neuralcodec.codecs.kmeans.cluster`.
    """

# codelengths.cpp

def code_lengths(counts: npt.NDArray[np.int64], limit: int = 15) -> npt.NDArray[np.uint8]:
    """Lengths of an optimal prefix code with no code longer than ``limit``.

    0 where the count is 0, and for a symbol that is the only one. Package-merge (Larmore and Hirschberg 1990).
    """

def monotone_code_lengths(counts: npt.NDArray[np.int64], limit: int = 15) -> npt.NDArray[np.uint8]:
    """Lengths that never descend from one symbol to the next, every symbol having a code, even of count 0.

    Counts are pooled to a descending sequence first (PAV, Ayer et al. 1955), then coded as by :func:`code_lengths`.
    """

# pack.cpp

def pack_levels(
    levels: npt.NDArray[np.int8],
    tile: int,
    symbols: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.uint8],
    pairs: bool = False,
    zeros: bool = False,
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Codes of all tiles, one after the other, and the bytes of each tile.

    Args:
        levels: shape [rows, cols].
        tile: tile length T.
        symbols: bytes in order of rank.
        lengths: of their codes; must make a complete prefix code.
        pairs: a symbol is two levels.
        zeros: the symbol −128 is two levels 0.

    Raises:
        ValueError: a level without a code, or no complete code.
    """

def pack_bits(values: npt.NDArray[np.uint32], width: int) -> bytes:
    """A bit string of fields of ``width`` bits, docs/format.md section 1."""

def tile_index(sizes: npt.NDArray[np.uint32]) -> bytes:
    """The tile index for tiles of these sizes, docs/format.md 4.1; empty for a single tile."""

# planes.cpp

def split_planes(data: npt.NDArray[np.uint8], itemsize: int, rotate: bool) -> npt.NDArray[np.uint8]:
    """Planes of bytes, the most significant first; shape [itemsize, n]. ``rotate`` moves sign bits to the low end."""

def pack_planes(
    planes: npt.NDArray[np.uint8],
    rows: int,
    cols: int,
    tile: int,
    codes: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None],
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Tiles of stored and coded planes, one after the other, and the bytes of each tile.

    Args:
        planes: shape [itemsize, rows · cols].
        rows: rows of the matrix.
        cols: columns of the matrix.
        tile: tile length T.
        codes: for each plane symbols and lengths as in :func:`pack_levels`, or None to store it.
    """

# rans.cpp

def pack_rans(
    symbols: npt.NDArray[np.uint8], tile: int, frequencies: npt.NDArray[np.uint32], m: int
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Codes of all tiles with rANS, one after the other, and the bytes of each tile.

    Args:
        symbols: shape [rows, cols].
        tile: tile length T.
        frequencies: of the symbols 0, 1, ...; their sum is 2^m.
        m: 8 to 12.
    """

# trellis.cpp

class TrellisContext:
    """What picks the quantizer and the table of each level (docs/format.md 12.1)."""

    def __init__(
        self,
        states_log2: int,
        lo: int,
        hi: int,
        raw_bits: int,
        open: bool,
        cap: int,
        start: int,
        magnitudes: Sequence[int],
        signs: Sequence[int],
        maps: Sequence[Sequence[int]],
        automaton: Sequence[tuple[Sequence[int], Sequence[int]]],
    ) -> None: ...
    @property
    def cells(self) -> int:
        """Magnitude classes times sign classes, or states of the automaton."""
    @property
    def values(self) -> int:
        """Values from −lo to hi."""

def trellis_quantize(
    context: TrellisContext,
    weights: npt.NDArray[np.float32],
    tile: int,
    rates: npt.NDArray[np.float32],
    lagrangian: float,
    importance: npt.NDArray[np.float32] | None = None,
    largest: int = 32767,
    coded: npt.NDArray[np.bool_] | None = None,
    shaping: tuple[float, float, bool] | None = None,
) -> npt.NDArray[np.int16]:
    """Levels that minimize Σ importance·(weight − level)² + lagrangian·bits in each tile: the Viterbi algorithm.

    With shaping the errors of a row count together, too, through tiles and across them. Levels down the columns are
    found on what is likely to be the best path for those in columns before.

    Args:
        context: the trellis, and what picks tables.
        weights: over the step, shape [rows, cols], finite.
        tile: tile length T.
        rates: bits of each value, shape [quantizers, tables, values], from −lo on; 1e9 for one that a table lacks.
        lagrangian: λ, in squared steps a bit.
        importance: what each squared error counts, shape of the weights.
        largest: magnitude of the largest level, at least 4.
        coded: of all rows of the matrix that is cut in tiles, which of them are here; None: all.
        shaping: what (Σ (gain·level − weight))² over a row counts, in the mean over its weights; the gain; whether the
            rows are the columns of these weights, as tiles go down the columns. Not with an importance.
    """

def trellis_count(
    context: TrellisContext,
    levels: npt.NDArray[np.int16],
    tile: int,
    coded: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """How often each value occurs in each cell, shape [quantizers, cells, values]; coded: see ``trellis_quantize``."""

def trellis_tables(
    context: TrellisContext,
    levels: npt.NDArray[np.int16],
    tile: int,
    coded: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint8]:
    """The table, of those of its quantizer, that each level has; of the shape of the levels."""

def trellis_open_bits(
    context: TrellisContext,
    levels: npt.NDArray[np.int16],
    tile: int,
    coded: npt.NDArray[np.bool_] | None = None,
) -> int:
    """Bits of what open ends add to values: none in a tile where all levels are values."""

def trellis_pack(
    context: TrellisContext,
    levels: npt.NDArray[np.int16],
    tile: int,
    frequencies: npt.NDArray[np.uint32],
    m: int,
    coded: npt.NDArray[np.bool_] | None = None,
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """All tiles, and the bytes of each.

    Args:
        context: as the levels were chosen with.
        levels: shape [rows, cols].
        tile: tile length T.
        frequencies: of each value, shape [quantizers, tables, values]; each table adds up to 2^m, or is all zero.
        m: 8 to 12.
        coded: as in ``trellis_quantize``.
    """

def trellis_pack_codes(
    context: TrellisContext,
    levels: npt.NDArray[np.int16],
    tile: int,
    lengths: npt.NDArray[np.uint8],
    coded: npt.NDArray[np.bool_] | None = None,
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """As ``trellis_pack`` with prefix codes.

    Args:
        context: with closed ends and without raw bits.
        levels: a path of the trellis, shape [rows, cols].
        tile: tile length T.
        lengths: bits of the codes, at most 8, shape [quantizers, values]; 0: no code. Codes are complete.
        coded: as in ``trellis_quantize``.
    """

def trellis_cluster(counts: npt.NDArray[np.int64], most: int, fixed: float, each: float) -> npt.NDArray[np.uint8]:
    """The table of each cell: cells whose histograms are alike share one (greedy agglomeration by code length).

    Args:
        counts: shape [cells, values].
        most: most tables.
        fixed: bits of a table.
        each: bits of each value that a table has.
    """

# rows.cpp

def pivot_rows(
    weights: npt.NDArray[np.float32], most: int, order: npt.NDArray[np.uint32] | None, noise: float
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
    """Rows in the order in which they should be kept, and what the others take then.

    Args:
        weights: shape [rows, cols].
        most: rows wanted.
        order: the order, if it is given; else the row comes next that those before leave most of.
        noise: mean squared error of what codes the rests.

    Returns:
        The rows, shape [most], and for 0 to ``most`` of them kept Σ ½·cols·log2(1 + rest / (noise·cols)) over the
        others, the rest being the squared length of what is orthogonal to those that are kept.
    """

def match_rows(
    weights: npt.NDArray[np.float32], stored: npt.NDArray[np.float32], terms: Sequence[int]
) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]]:
    """Rows as sums of stored rows, by orthogonal matching pursuit.

    Args:
        weights: shape [rows, cols].
        stored: shape [count, cols].
        terms: most terms of a sum, ascending, up to 32 and ``count``; those that are not used have index and factor 0.

    Returns:
        For each number of terms indices and factors, shape [rows, terms].
    """

def sum_rows(
    index: npt.NDArray[np.int32], factor: npt.NDArray[np.int32], stored: npt.NDArray[np.int32], shift: int
) -> npt.NDArray[np.int32]:
    """Sums of stored rows over 2^shift, modulo 2^32 as decoders have them, shape [rows, cols].

    Args:
        index: of a stored row, shape [rows, terms].
        factor: of the same shape.
        stored: levels, shape [count, cols].
        shift: 0 to 24.
    """

# basis.cpp

def search_basis(
    weights: npt.NDArray[np.float32],
    tiles: npt.NDArray[np.uint32],
    block: int,
    vectors: int,
    seed_width: int,
    width: int,
    exponent_width: int,
    shift: int,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
    """Seed and exponent of each block, shape [blocks], and its factors, shape [blocks, vectors].

    Args:
        weights: in units of the step, tile after tile, shape [n].
        tiles: weights of each tile.
        block: C of docs/format.md, section 13.4.
        vectors: N.
        seed_width: k.
        width: w.
        exponent_width: E.
        shift: D.
    """

# expression.cpp

class ExpressionSearch:
    """Genetic programming of an expression for weights: docs/format.md, 13.3."""

    def __init__(
        self,
        weights: npt.NDArray[np.float32],
        importance: npt.NDArray[np.float32] | None,
        stored: npt.NDArray[np.uint8] | None,
        left_out: int,
        places: npt.NDArray[np.int16],
        constants: int,
        nodes: int,
        wide: bool,
        seed: int,
    ) -> None:
        """Begins with one constant for all.

        Args:
            weights: in units of levels, shape [n].
            importance: of their squared errors, of the same shape.
            stored: not 0 for those that do not count.
            left_out: of the others so many do not count, which the expression misses most.
            places: the inputs 0 to 8, shape [9, n].
            constants: how many.
            nodes: how many.
            wide: whether levels have 16 bits.
            seed: of its random numbers.
        """
    def run(self, generations: int) -> float:
        """Goes on; gives :attr:`error`."""
    def best(self) -> tuple[list[int], list[list[int]], int]:
        """Constants, nodes (operation, a, b) and output, without what does not matter."""
    def state(self) -> bytes:
        """What :meth:`resume` takes."""
    def resume(self, state: bytes) -> None:
        """Goes on where another search with as many constants and nodes was."""
    @property
    def error(self) -> float:
        """Σ importance · squared error of what counts."""
    @property
    def generations(self) -> int:
        """How many have been."""

# decode.cpp

class Record:
    """A tensor in the directory of a model."""

    @property
    def index(self) -> int:
        """Its place in the directory, from 0."""
    @property
    def name(self) -> str | None:
        """Its name; None in a model without names."""
    @property
    def codec(self) -> int:
        """Codec number; 0: tied."""
    @property
    def codec_name(self) -> bytes | None:
        """Name of a third party's codec."""
    @property
    def dtype(self) -> int:
        """Number of its dtype; of a tied tensor that of the other."""
    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; of a tied tensor those of the other."""
    @property
    def tied_to(self) -> int | None:
        """Index of the tensor it is tied to."""
    @property
    def payload_offset(self) -> int:
        """From the start of the stream."""
    @property
    def payload_size(self) -> int:
        """Bytes of the payload; 0 for a tied tensor."""
    @property
    def payload_crc(self) -> int:
        """crc32 of the payload; 0 for a tied tensor."""
    @property
    def offset(self) -> int:
        """Where the record lies, from the start of the stream."""

class Model:
    """The directory of a model stream, read and checked."""

    def __init__(self, header: _Bytes, size: int | None = None) -> None:
        """Opens a stream.

        Args:
            header: its first bytes: header and shared objects at least. What is needed of them is copied.
            size: bytes of the whole stream; None if ``header`` is all of it.

        Raises:
            TruncatedError, CorruptError, UnsupportedError, ChecksumError: what is wrong with the header.
        """
    @property
    def size(self) -> int:
        """Bytes of the whole stream."""
    @property
    def header_size(self) -> int:
        """Bytes of fixed part and directory; shared objects begin here."""
    @property
    def payloads(self) -> int:
        """Where payloads begin."""
    @property
    def has_names(self) -> bool:
        """Whether tensors have names."""
    @property
    def records(self) -> list[Record]:
        """All tensors, in order."""
    @property
    def shared(self) -> list[tuple[int, bytes, bool]]:
        """Kind and bytes of each shared object, and whether its crc32 is right."""
    def open(self, index: int, payload: bytes) -> Reader:
        """Opens a tensor.

        Args:
            index: which; not a tied one.
            payload: its payload, whose crc32 is not checked.

        Raises:
            ChecksumError: the crc32 of a shared table is wrong.
            CorruptError, UnsupportedError: what is wrong with the payload's header.
            ValueError: no such tensor, a tied one, or a payload of another size.
        """

class Reader:
    """An opened tensor. Its methods may be called from several threads at once."""

    @property
    def has_indices(self) -> bool:
        """Whether the tensor is coded as indices into codebooks."""
    @property
    def prefix_indices(self) -> bool:
        """Whether these have prefix codes."""
    @property
    def slots(self) -> int:
        """Bytes of the slots of a frequency table; 0 without one."""
    @property
    def coding(self) -> Literal["contexts", "light", "rans", "prefix"] | None:
        """What firmware needs for tiles of codec trellis; None for other codecs, and where all levels are 0."""
    @property
    def skips(self) -> bool:
        """Whether tiles of codec trellis leave rows of zeros out."""
    @property
    def wide_codes(self) -> bool:
        """Whether these are prefix codes of more than 16 states."""

    def indices(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.uint8]:
        """Indices of the tiles from ``first`` to before ``last``, one after the other."""
    def codebooks(self) -> npt.NDArray[np.float32]:
        """Centroids, as floats and without the scale of a row; shape [groups of rows, centroids]."""

    @property
    def nested(self) -> tuple[int, ...]:
        """Codecs of the tensors that its payload nests."""
    @property
    def rows(self) -> int:
        """Rows of the matrix."""
    @property
    def cols(self) -> int:
        """Columns of the matrix."""
    @property
    def tiles(self) -> int:
        """Number of tiles."""
    @property
    def tile_rows(self) -> int:
        """Rows of a full tile."""
    @property
    def down_columns(self) -> bool:
        """Whether the matrix is coded down its columns."""
    @property
    def wide(self) -> bool:
        """Whether levels have 16 bits."""
    @property
    def tile_cols(self) -> int:
        """Columns of a full tile."""
    @property
    def tables(self) -> int:
        """Look-up tables that the tensor's workspace holds."""

    @property
    def tile_size(self) -> int:
        """Elements of a full tile."""
    @property
    def has_levels(self) -> bool:
        """Whether the tensor is stored as levels and scales."""
    def place(self, tile: int) -> tuple[int, int, int, int]:
        """First row, first column, rows and columns of a tile."""
    def elements(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.uint8]:
        """Element bytes of tiles ``first`` … ``last`` − 1 (of all by default), which lie together in the tensor.

        Raises:
            CorruptError: a tile breaks a rule of the format.
            UnsupportedError: there is not enough memory; the message says how much it takes.
            ValueError: no such tiles.
        """
    def levels(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int8]:
        """Levels of tiles, or elements of an i8 tensor; shape [elements].

        Raises:
            CorruptError, UnsupportedError: as for :meth:`elements`.
            ValueError: the tensor is not stored as levels, or no such tiles.
        """
    def wide_levels(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int16]:
        """As :meth:`levels`, widened to 16 bits where they have 8."""
    def column_scales(self) -> npt.NDArray[np.float32]:
        """What multiplies the weights of each column besides, shape [cols]."""
    def scales(self) -> npt.NDArray[np.float32]:
        """The scale of each row, shape [rows].

        Raises:
            ValueError: the tensor is not stored as levels.
        """

def extent(prefix: _Bytes) -> int:
    """How many of the first bytes of a stream :class:`Model` needs, as far as these tell.

    With fewer than 16 bytes 16; with fewer than the header its size; then header and shared objects. Checks nothing.
    """

def open_payload(
    payload: bytes,
    codec: int,
    dtype: int,
    shape: Sequence[int],
    shared: Sequence[tuple[int, bytes]],
    name: str | None = None,
) -> Reader:
    """Opens a payload that stands alone, with the shared objects (kind and bytes) that it may refer to.

    No crc32 is checked. ``name`` is for messages.

    Raises:
        CorruptError, UnsupportedError: what is wrong with the payload's header.
    """

generative_version: int
"""Of the prior that is compiled in (docs/format.md, section 15.4)."""

def generative_prior() -> bytes:
    """That prior."""

def generative_pack(
    levels: npt.NDArray[np.int16],
    tile: int,
    states_log2: int,
    kernel: int,
    rates: int,
    start: int,
    stored: npt.NDArray[np.uint8] | None = None,
    tuned: bytes | None = None,
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Levels of codec generative, coded: all tiles one after the other, and the bytes of each.

    Args:
        levels: in the order in which they are coded, shape [rows, cols].
        tile: tile length T, at which the trellis starts anew.
        states_log2: log2 of the trellis' states, or 0.
        kernel: K of docs/format.md, section 15.
        rates: see there.
        start: see there.
        stored: planes that stand in front of the levels of each tile, shape [planes, rows·cols].
        tuned: a shared object that changes the prior (docs/format.md, section 15.5).

    Raises:
        ValueError: a field out of its range, an object that is none, or levels that are no path through the trellis.
    """

class GenerativeTrainer:
    """Learns a prior: what the model of codec generative is after the levels of many tensors."""

    def __init__(self) -> None: ...
    def add(
        self, levels: npt.NDArray[np.int16], tile: int, states_log2: int, kernel: int, rates: int, start: int
    ) -> int:
        """Learns from levels; arguments as of :func:`generative_pack`. The bytes that they take."""
    def prior(self) -> bytes:
        """As docs/format.md, section 15.4, has it."""

# generative_tune.cpp

class GenerativeTuner:
    """Tunes weights of the prior of codec generative to the levels of a model."""

    def __init__(self) -> None: ...
    def add(
        self, levels: npt.NDArray[np.int16], tile: int, states_log2: int, kernel: int, rates: int, start: int
    ) -> None:
        """Adds levels, which must stay as they are; arguments as of :func:`generative_pack`.

        Raises:
            ValueError: a field out of its range.
        """
    def tune(self, steps: int) -> bytes:
        """A shared object as docs/format.md, section 15.5, has it; empty where no change pays.

        Args:
            steps: passes over the levels, in which weights are learned.

        Raises:
            ValueError: levels that are no path through the trellis.
        """

# autoencoder.cpp

class AutoencoderPredictor:
    """What predicts levels from those before, and how tiles are cut (docs/format.md, section 14)."""

    def __init__(
        self,
        tile: int,
        period: int,
        fraction_bits: int,
        bias: int,
        lags: list[int],
        coefficients: list[int],
    ) -> None:
        """Keeps them.

        Args:
            tile: tile length T.
            period: columns that a kernel takes, 1 where there is none.
            fraction_bits: log2 of the levels between residuals, 0 to 4.
            bias: in 64ths of a level.
            lags: places before a level.
            coefficients: of these, in 64ths, −128 to 127.
        """

def autoencoder_encode(
    predictor: AutoencoderPredictor,
    model: npt.NDArray[np.uint8],
    index: int,
    weights: npt.NDArray[np.float32],
    lagrangian: float,
    most: int,
    importance: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.int16], bytes, npt.NDArray[np.uint32], float]:
    """Levels, all tiles, the bytes of each, and about how many bits that takes.

    Args:
        predictor: see there.
        model: bytes of a model.
        index: of a class of it.
        weights: over the distance between levels, shape [rows, cols].
        lagrangian: λ in squared distances between residuals a bit.
        most: largest level.
        importance: what a squared error counts, shape of the weights; None: 1.

    Raises:
        ValueError: the model is none, or has no such class; shapes differ.
    """

def autoencoder_trace(
    predictor: AutoencoderPredictor,
    weights: npt.NDArray[np.float32],
    model: npt.NDArray[np.uint8] | None = None,
    index: int = 0,
    lagrangian: float = 0.0,
    importance: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]:
    """Residuals in the order they are coded, shape [size], and the features of each, shape [size, 6].

    Without a model residuals are the nearest; with one, those of least distortion and rate, as
    :func:`autoencoder_encode` has it.

    Raises:
        ValueError: the model is none, or has no such class; shapes differ.
    """

def autoencoder_covariance(weights: npt.NDArray[np.float32], lags: list[int]) -> npt.NDArray[np.float64]:
    """Mean of the products of weights that are each lag apart, those without a partner counted as 0."""

def autoencoder_universal(version: int) -> bytes | None:
    """The universal model of a version, if the decoder has it."""

# prepared.cpp

def opened_tensor(
    stream: bytes, index: int
) -> tuple[dict[str, int], dict[str, int], tuple[int, ...], int, str | None, bool]:
    """What ``ncd_tensor_open`` makes of tensor ``index`` of a stream on a microcontroller.

    Returns:
        Fields of ncd_tensor that are numbers; those that point into the stream, as offsets, without null ones; offsets
        of its code tables, -1 for null; bytes of its workspace; with codec trellis the coding, else None; whether that
        is prefix codes of more than 16 states.

    Raises:
        ValueError: it does not open.
    """

def prepared_tables(stream: bytes, index: int, size: int, byte_loads: bool) -> bytes:
    """The workspace of tensor ``index`` as ``ncd_tensor_prepare`` fills it on a microcontroller, its first word 0.

    Args:
        stream: a whole model stream.
        index: of a tensor.
        size: bytes of its workspace, as :func:`opened_tensor` gives them.
        byte_loads: NCD_TRELLIS_BYTE_LOADS there.

    Raises:
        ValueError: it does not open, or takes more.
    """
