"""Codec 2: prefix codes over quantized levels, or over the bytes of the elements (docs/format.md, section 6)."""

from neuralcodec.codecs.huffman.codec import Huffman

__all__ = ["Huffman"]
