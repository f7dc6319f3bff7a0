"""Section 1: integers, varints, bit strings, checksums."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from neuralcodec.errors import BitstreamError, ChecksumError, CorruptError, UnsupportedError

VARINT_BYTES = 8


@dataclass
class Reader:
    """Reads fields one after another from a part of a stream, and says where it stood when one is wrong.

    Attributes:
        data: the part; a field must end inside it.
        origin: where ``data`` begins in the stream or file, for messages.
        tensor: name of the tensor concerned, for messages.
        position: offset in ``data`` of the next field.
    """

    data: bytes
    origin: int = 0
    tensor: str | None = None
    position: int = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.position

    def corrupt(self, message: str) -> BitstreamError:
        """The error to raise where a rule of the format is broken."""
        return CorruptError(message, tensor=self.tensor, offset=self.origin + self.position)

    def unsupported(self, message: str) -> BitstreamError:
        """The error to raise where a later version may have given a meaning."""
        return UnsupportedError(message, tensor=self.tensor, offset=self.origin + self.position)

    def take(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes."""
        if size > self.left:
            raise self.corrupt(f"{what}: {size} bytes do not fit in the {self.left} that are left")
        taken = self.data[self.position : self.position + size]
        self.position += size
        return taken

    def rest(self) -> Reader:
        """A reader of the bytes not yet read; this one is then at its end."""
        rest = Reader(self.data[self.position :], self.origin + self.position, self.tensor)
        self.position = len(self.data)
        return rest

    def u8(self, what: str) -> int:
        """One byte."""
        return self.take(1, what)[0]

    def u32(self, what: str) -> int:
        """Four bytes, little-endian."""
        return int.from_bytes(self.take(4, what), "little")

    def varint(self, what: str) -> int:
        """An unsigned LEB128 of at most eight bytes, in its shortest form."""
        value = 0
        for i in range(VARINT_BYTES):
            byte = self.u8(what)
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise self.corrupt(f"{what}: a varint that is not the shortest")
                return value
        raise self.corrupt(f"{what}: a varint of more than {VARINT_BYTES} bytes")

    def fields(self, count: int, width: int, what: str) -> list[int]:
        """A bit string of ``count`` fields of ``width`` bits; the unused bits of its last byte must be zero."""
        string = self.take(ceil_div(count * width, 8), what)
        if any(bit(string, i) for i in range(count * width, 8 * len(string))):
            raise self.corrupt(f"{what}: unused bits are not zero")
        return [sum(bit(string, i * width + j) << j for j in range(width)) for i in range(count)]

    def check_crc(self, expected: int, what: str) -> None:
        """Compares the checksum of the whole of ``data``."""
        if crc32(self.data) != expected:
            raise ChecksumError(f"{what}: crc32 does not match", tensor=self.tensor, offset=self.origin)


def bit(string: bytes, i: int) -> int:
    """Bit ``i`` of a bit string."""
    return string[i // 8] >> (i % 8) & 1


def crc32(data: bytes) -> int:
    """The CRC of zlib, PNG and IEEE 802.3."""
    return zlib.crc32(data)


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)
