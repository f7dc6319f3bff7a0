"""Section 11: frequency tables and rANS."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcodec.reference.primitives import Reader, bit, ceil_div

LEAST_M, MOST_M = 8, 12
LOWEST = 2**16
"""A state below this one takes a word."""


@dataclass(frozen=True)
class Frequencies:
    """A frequency table.

    Attributes:
        m: the frequencies add up to 2^m.
        frequencies: of each symbol.
    """

    m: int
    frequencies: list[int]

    @property
    def constant(self) -> bool:
        """Whether one symbol has all slots."""
        return 2**self.m in self.frequencies

    @property
    def slots(self) -> list[tuple[int, int]]:
        """For each slot its symbol, and how many slots of the symbol come before."""
        return [(symbol, place) for symbol, count in enumerate(self.frequencies) for place in range(count)]


def read_frequencies(reader: Reader) -> Frequencies:
    """Reads a frequency table."""
    m = reader.u8("m")
    if m >> 4:
        raise reader.unsupported("reserved bits of a frequency table")
    if not LEAST_M <= m <= MOST_M:
        raise reader.corrupt(f"m is {m}")
    count = reader.u8("number of symbols") + 1
    return Frequencies(m, read_fields(reader, count, m))


def read_fields(reader: Reader, count: int, m: int) -> list[int]:
    """The frequencies of a table, which add up to 2^m."""
    string = reader.data[reader.position :]
    position = 0

    def field(width: int) -> int:
        nonlocal position
        if position + width > 8 * len(string):
            raise reader.corrupt("a frequency table ends in the middle")
        value = sum(bit(string, position + j) << j for j in range(width))
        position += width
        return value

    frequencies = []
    for _ in range(count):
        length = field(4)
        if length > m + 1:
            raise reader.corrupt(f"a frequency of {length} bits, where m is {m}")
        frequencies.append(0 if length == 0 else 2 ** (length - 1) + field(length - 1))
    if any(bit(string, i) for i in range(position, 8 * ceil_div(position, 8))):
        raise reader.corrupt("unused bits of a frequency table are not zero")
    reader.take(ceil_div(position, 8), "frequencies")
    if sum(frequencies) != 2**m:
        raise reader.corrupt(f"frequencies add up to {sum(frequencies)}, where m is {m}")
    return frequencies


class State:
    """The state of a tile, and its words that are left."""

    def __init__(self, tile: Reader) -> None:
        """A tile's first state."""
        if tile.left % 2:
            raise tile.corrupt(f"a tile of {tile.left} bytes is no whole number of words")
        self.words = [int.from_bytes(tile.data[i : i + 2], "little") for i in range(0, len(tile.data), 2)]
        self.words.reverse()
        self.x = 0
        self.refill()
        self.refill()

    def refill(self) -> None:
        """Takes a word, where the state is low."""
        if self.x < LOWEST and self.words:
            self.x = self.x * 2**16 + self.words.pop()

    def symbol(self, table: Frequencies, slots: list[tuple[int, int]]) -> int:
        """The next symbol; ``slots`` are those of the table."""
        symbol, place = slots[self.x % (1 << table.m)]
        self.x = table.frequencies[symbol] * (self.x >> table.m) + place
        self.refill()
        return symbol

    def bits(self, count: int) -> int:
        """The next bits as they are, one at least."""
        low = self.x % (1 << count)
        self.x >>= count
        self.refill()
        return low

    @property
    def at_end(self) -> bool:
        """Whether this is how a tile ends."""
        return self.x == 0 and not self.words


def decode_rans(tile: Reader, table: Frequencies, count: int) -> list[int]:
    """The symbols of a tile, which are all that it holds."""
    state, slots = State(tile), table.slots
    symbols = [state.symbol(table, slots) for _ in range(count)]
    if not state.at_end:
        raise tile.corrupt(f"rANS ends in the state {state.x} with {len(state.words)} words left")
    return symbols
