"""What takes tensors that are too small for other codecs, such as biases and norms: all lossy codecs alike."""

from __future__ import annotations

from typing import Literal

from neuralcodec.codecs.huffman.codec import Huffman
from neuralcodec.options import check_integer

Small = int | Literal["auto"] | None
"""Bits of the mantissa that such tensors keep; None keeps them exact."""

BITS = 7
"""What "auto" is where bytes count: a relative error of 2^-8 at most."""


def check_small(small: Small) -> None:
    """Raises ValueError for what is no such option."""
    if small != "auto":
        check_integer("small", small, 1, 23)


def for_small(small: Small, bytes_count: bool) -> Huffman | None:
    """The codec for such tensors; None: exact.

    Args:
        small: the option.
        bytes_count: whether the model is to meet a target, or levels have a step that was given.
    """
    bits = (BITS if bytes_count else None) if small == "auto" else small
    return None if bits is None else Huffman(mantissa=bits)
