"""Section 9: numbers that are never reused."""

from __future__ import annotations

from dataclasses import dataclass

TIED, RAW, HUFFMAN, KMEANS, TRELLIS, AUTOENCODER, GENERATIVE, REGRESSION, NAMED = 0, 1, 2, 3, 4, 5, 6, 7, 255
"""Codecs that mean something to this decoder or to the directory."""

CODE_TABLE, FREQUENCY_TABLE, CODEBOOK, TRELLIS_MODEL, AUTOENCODER_MODEL, TUNED_PRIOR = 1, 2, 3, 4, 6, 7
"""Kinds of shared objects."""


@dataclass(frozen=True)
class ElementType:
    """A dtype.

    Attributes:
        number: in a record.
        name: as the document spells it.
        size: bytes of an element.
        rotated: whether lossless coding rotates it: the floats. They are also the types that levels can stand for.
    """

    number: int
    name: str
    size: int
    rotated: bool = False

    def __str__(self) -> str:
        return self.name


ELEMENT_TYPES = {
    t.number: t
    for t in (
        ElementType(1, "f32", 4, rotated=True),
        ElementType(2, "f16", 2, rotated=True),
        ElementType(3, "bf16", 2, rotated=True),
        ElementType(4, "f64", 8, rotated=True),
        ElementType(5, "i8", 1),
        ElementType(6, "u8", 1),
        ElementType(7, "i16", 2),
        ElementType(8, "i32", 4),
        ElementType(9, "i64", 8),
        ElementType(10, "bool", 1),
        ElementType(11, "f8_e4m3fn", 1),
        ElementType(12, "f8_e5m2", 1),
        ElementType(13, "u16", 2),
        ElementType(14, "u32", 4),
        ElementType(15, "u64", 8),
        ElementType(16, "complex64", 8),
    )
}
