"""A second decoder, written from docs/format.md alone: slow, plain, and free of the production decoder's ideas.

It exists to check the text and the production decoder against each other. Read it beside the document; a module
covers a section:

====================  =======================================
:mod:`.primitives`    1 Conventions
:mod:`.container`     2 File
:mod:`.stream`        3 Model stream
:mod:`.tiles`         4 Tensors, matrices, tiles
:mod:`.raw`           5 Codec 1, raw
:mod:`.huffman`       6 Codec 2, huffman
:mod:`.floats`        6.1 the rounding of weights
:mod:`.tables`        7 Code tables
:mod:`.kmeans`        10 Codec 3, kmeans
:mod:`.frequencies`   11 Frequency tables and rANS
:mod:`.trellis`       12 Codec 4, trellis
:mod:`.regression`    13 Codec 7, regression
:mod:`.autoencoder`   14 Codec 5, autoencoder
:mod:`.generative`    15 Codec 6, generative
:mod:`.registries`    9 Registries
====================  =======================================

Section 8, Errors, is where each error is raised; the functions here open a tensor and decode it.
Only the standard library is used. Memory and time are in proportion to the stream and to what is decoded from it.
"""

from __future__ import annotations

from neuralcodec.reference.autoencoder import open_autoencoder
from neuralcodec.reference.container import read_file
from neuralcodec.reference.generative import ExactElements, open_generative
from neuralcodec.reference.huffman import Levels, Lossless, open_huffman
from neuralcodec.reference.kmeans import Indices, open_kmeans
from neuralcodec.reference.primitives import Reader
from neuralcodec.reference.raw import Empty, Raw
from neuralcodec.reference.registries import (
    AUTOENCODER,
    GENERATIVE,
    HUFFMAN,
    KMEANS,
    RAW,
    REGRESSION,
    TRELLIS,
    ElementType,
)
from neuralcodec.reference.regression import Inferred, open_regression
from neuralcodec.reference.stream import SharedObject, Stream, Tensor, read_stream
from neuralcodec.reference.trellis import TrellisLevels, open_trellis

__all__ = [
    "ElementType",
    "SharedObject",
    "Stream",
    "Tensor",
    "column_scale",
    "decode_bytes",
    "decode_indices",
    "decode_levels",
    "decode_tile_bytes",
    "decode_tile_indices",
    "decode_tile_levels",
    "has_indices",
    "has_levels",
    "number_of_tiles",
    "open_tensor",
    "read_file",
    "read_stream",
    "row_scale",
    "size_of_level",
]

LEVELS = (Levels, TrellisLevels, Inferred)

WithLevels = Levels | Indices | TrellisLevels | Inferred


def open_tensor(tensor: Tensor) -> Empty | Raw | Lossless | ExactElements | WithLevels:
    """Opens a tensor, following a tie: checks its checksum and reads its payload's header (section 8, step 4)."""
    if tensor.target is not None:
        return open_tensor(tensor.target)
    payload = Reader(tensor.payload, tensor.payload_offset, tensor.name)
    payload.check_crc(tensor.payload_crc, "payload")
    if tensor.codec not in (RAW, HUFFMAN, KMEANS, TRELLIS, AUTOENCODER, GENERATIVE, REGRESSION):
        codec = f"{tensor.codec} ({tensor.codec_name})" if tensor.codec_name else str(tensor.codec)
        raise payload.unsupported(f"codec {codec} is not known here")
    if tensor.elements == 0:
        if payload.left:
            raise payload.corrupt("a tensor without elements has a payload")
        return Empty()
    if tensor.codec == RAW:
        return Raw.open(tensor, payload)
    if tensor.codec == GENERATIVE:
        return open_generative(tensor, payload)
    if tensor.codec == KMEANS:
        return open_kmeans(tensor, payload)
    if tensor.codec == REGRESSION:
        return open_regression(tensor, payload)
    if tensor.codec == AUTOENCODER:
        return open_autoencoder(tensor, payload)
    return open_trellis(tensor, payload) if tensor.codec == TRELLIS else open_huffman(tensor, payload)


def has_levels(tensor: Tensor) -> bool:
    """Whether a tensor was quantized, so that it has levels. An empty tensor has none."""
    opened = open_tensor(tensor)
    return isinstance(opened, LEVELS) or (isinstance(opened, Indices) and opened.has_levels)


def size_of_level(tensor: Tensor) -> int:
    """Bytes of a level: 1, or 2 where levels have 16 bits. ValueError if the tensor has none."""
    opened = _open_levels(tensor)
    return 2 if isinstance(opened, (TrellisLevels, Inferred)) and opened.wide else 1


def has_indices(tensor: Tensor) -> bool:
    """Whether a tensor is coded as indices into codebooks."""
    return isinstance(open_tensor(tensor), Indices)


def number_of_tiles(tensor: Tensor) -> int:
    """The number of tiles of a tensor."""
    return open_tensor(tensor).number_of_tiles


def decode_tile_levels(tensor: Tensor, i: int) -> list[int]:
    """The levels of tile ``i``, in the order of the matrix that is cut in tiles.

    ValueError if the tensor has no levels, IndexError if it has no such tile.
    """
    return _open_levels(tensor).tile_levels(i)


def decode_levels(tensor: Tensor) -> list[int]:
    """All levels of a tensor in C order. ValueError if it has none."""
    opened = _open_levels(tensor)
    if isinstance(opened, TrellisLevels):
        return opened.levels()
    return [level for i in range(opened.number_of_tiles) for level in opened.tile_levels(i)]


def decode_tile_indices(tensor: Tensor, i: int) -> list[int]:
    """The indices of tile ``i``. ValueError if the tensor has none, IndexError if it has no such tile."""
    return _open_indices(tensor).tile_indices(i)


def decode_indices(tensor: Tensor) -> list[int]:
    """All indices of a tensor in C order. ValueError if it has none."""
    opened = _open_indices(tensor)
    return [index for i in range(opened.number_of_tiles) for index in opened.tile_indices(i)]


def decode_tile_bytes(tensor: Tensor, i: int) -> bytes:
    """The element bytes of tile ``i``; of a tensor with levels its weights in the tensor's dtype."""
    return open_tensor(tensor).tile_bytes(i)


def decode_bytes(tensor: Tensor) -> bytes:
    """All element bytes of a tensor, in C order and little-endian."""
    opened = open_tensor(tensor)
    if isinstance(opened, TrellisLevels):
        return opened.element_bytes()
    return b"".join(opened.tile_bytes(i) for i in range(opened.number_of_tiles))


def row_scale(tensor: Tensor, row: int) -> float:
    """The scale that multiplies the levels or centroids of a row. ValueError if the tensor has neither."""
    opened = open_tensor(tensor)
    if not isinstance(opened, (Indices, *LEVELS)):
        raise ValueError(f"tensor {tensor.name!r} has no levels")
    return opened.row_scale(row)


def column_scale(tensor: Tensor, column: int) -> float:
    """What multiplies the weights of a column besides; 1 for codecs without. ValueError if the tensor has no levels."""
    opened = _open_levels(tensor)
    return opened.column_scale(column) if isinstance(opened, TrellisLevels) else 1.0


def _open_levels(tensor: Tensor) -> WithLevels:
    opened = open_tensor(tensor)
    if isinstance(opened, LEVELS) or (isinstance(opened, Indices) and opened.has_levels):
        return opened
    raise ValueError(f"tensor {tensor.name!r} has no levels")


def _open_indices(tensor: Tensor) -> Indices:
    opened = open_tensor(tensor)
    if not isinstance(opened, Indices):
        raise ValueError(f"tensor {tensor.name!r} has no indices")
    return opened
