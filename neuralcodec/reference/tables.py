"""Section 7: code tables."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcodec.reference.primitives import Reader, bit

TWO_ZEROS = 0x80


@dataclass(frozen=True)
class Table:
    """A prefix code.

    Attributes:
        symbols: the symbol of each code; a code is its length and its value.
        shortest: Lmin.
        pairs: whether a symbol is two levels.
        zeros: whether the symbol :data:`TWO_ZEROS` is two levels 0.
        ranks: whether symbols are ranks, which is for indices only.
    """

    symbols: dict[tuple[int, int], int]
    shortest: int
    pairs: bool
    zeros: bool
    ranks: bool = False

    @property
    def constant(self) -> bool:
        """Whether the code is constant: one symbol, whose code has no bits."""
        return self.shortest == 0


def read_table(reader: Reader) -> Table:
    """Reads a code table."""
    lengths = reader.u8("Lmin and Lmax")
    shortest, longest = lengths & 15, lengths >> 4
    if shortest > longest:
        raise reader.corrupt(f"code lengths from {shortest} to {longest}")
    flags = reader.u8("flags of a code table")
    listed, pairs, zeros, ranks = bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8)
    if flags >> 4:
        raise reader.unsupported("reserved flags of a code table")
    if (pairs or zeros) and not listed:
        raise reader.unsupported("pairs or zeros that are not listed")
    if ranks and flags != 8:
        raise reader.unsupported("ranks with other flags")
    if pairs and zeros:
        raise reader.unsupported("pairs and zeros")

    codes = _codes(reader, shortest, list(reader.take(longest - shortest + 1, "numbers of codes")))
    if listed:
        ranked = list(reader.take(len(codes), "symbols"))
    else:
        ranked = [r if ranks else by_rank(r) for r in range(len(codes))]
    if len(set(ranked)) != len(ranked):
        raise reader.corrupt("a symbol is listed twice")
    return Table(dict(zip(codes, ranked, strict=True)), shortest, pairs, zeros, ranks)


def _codes(reader: Reader, shortest: int, counts: list[int]) -> list[tuple[int, int]]:
    """The canonical code in order of rank: for each symbol the length of its code and its value."""
    longest = shortest + len(counts) - 1
    if counts[0] == 0 or counts[-1] == 0:
        raise reader.corrupt("there is no code of the shortest or of the longest length")
    if sum(counts) > 256:
        raise reader.corrupt(f"{sum(counts)} symbols")
    lengths = [shortest + i for i, count in enumerate(counts) for _ in range(count)]
    if sum(2 ** (longest - length) for length in lengths) != 2**longest:
        raise reader.corrupt("the code is not complete")
    codes = [(shortest, 0)]
    for length in lengths[1:]:
        before, value = codes[-1]
        codes.append((length, (value + 1) << (length - before)))
    return codes


def by_rank(rank: int) -> int:
    """The byte of a rank where symbols are not listed: 0, −1, 1, −2, 2, … −128 in two's complement."""
    signed = rank // 2 if rank % 2 == 0 else -(rank + 1) // 2
    return signed & 255


def read_symbols(data: Reader, table: Table, count: int) -> list[int]:
    """Decodes ``count`` symbols from the next byte on, and the zero bits up to the end of the last one's byte.

    With zeros, :data:`TWO_ZEROS` counts as two symbols 0, of which the last may be one too many.
    """
    if table.constant:
        symbol = table.symbols[0, 0]
        return [0 if table.zeros and symbol == TWO_ZEROS else symbol] * count
    position, end = 8 * data.position, 8 * len(data.data)
    symbols: list[int] = []
    while len(symbols) < count:
        length = value = 0
        while (length, value) not in table.symbols:
            if position == end:
                raise data.corrupt("codes run past the end of a tile")
            value = 2 * value + bit(data.data, position)
            length += 1
            position += 1
        symbol = table.symbols[length, value]
        symbols += [0, 0] if table.zeros and symbol == TWO_ZEROS else [symbol]
    while position % 8:
        if bit(data.data, position):
            raise data.corrupt("bits after the last code of a tile are not zero")
        position += 1
    data.position = position // 8
    return symbols[:count]


def signed(byte: int, bits: int = 8) -> int:
    """A number in two's complement of so many bits."""
    return byte - (1 << bits) if byte >> (bits - 1) else byte
