"""What of the decoder a network needs: macros of ncd_config.h."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuralcodec.export_prepared import SWITCHES
from neuralcodec.firmware.plan import Mode
from neuralcodec.firmware.weights import Coded

CODINGS = ("contexts", "light", "rans", "prefix")
"""Of codec trellis."""

MACROS = (*SWITCHES, "NCD_ENABLE_FLOAT", "NCD_TRELLIS_PREPARED")
"""All that are set."""

HUFFMAN, KMEANS, TRELLIS = 2, 3, 4
"""Codecs of nested tensors."""


def settings(tensors: Iterable[Coded], mode: Mode, *, plain: bool, in_flash: bool = False) -> dict[str, int]:
    """The macros, 1 or 0."""
    tensors = list(tensors)
    codings = {tensor.trellis for tensor in tensors if tensor.trellis is not None and not plain}
    codecs = set() if plain else {tensor.codec for tensor in tensors}
    nested = set() if plain else {number for tensor in tensors for number in tensor.nested}
    prefix = not plain and any(tensor.prefix_indices for tensor in tensors)
    found = {
        "NCD_ENABLE_HUFFMAN": int("huffman" in codecs or HUFFMAN in nested or KMEANS in nested or prefix),
        "NCD_ENABLE_LOSSLESS": int(mode == "float" and "huffman" in codecs),
        "NCD_ENABLE_KMEANS": int("kmeans" in codecs or KMEANS in nested),
        "NCD_ENABLE_TRELLIS": int("trellis" in codecs or TRELLIS in nested),
        "NCD_ENABLE_AUTOENCODER": int("autoencoder" in codecs),
        "NCD_ENABLE_REGRESSION": int("regression" in codecs),
        "NCD_ENABLE_FLOAT": int(mode == "float"),
    }
    if codings and TRELLIS not in nested:  # what coding these have is not told
        found |= {f"NCD_TRELLIS_{coding.upper()}": int(coding in codings) for coding in CODINGS}
        found["NCD_TRELLIS_SKIP"] = int(any(tensor.skips for tensor in tensors))
        if mode == "int8":  # other levels than of 8 bits are coded again
            found["NCD_TRELLIS_WIDE"] = 0
        if in_flash:
            found["NCD_TRELLIS_PREPARED"] = 1
        found["NCD_TRELLIS_WIDE_CODES"] = int(any(tensor.wide_codes for tensor in tensors))
    return found


def needs_of(found: Mapping[str, int]) -> list[str]:
    """The macros that are 1 by settings, or by default where these do not tell."""
    trellis = found["NCD_ENABLE_TRELLIS"]
    default = {macro: trellis for macro in MACROS if macro.startswith("NCD_TRELLIS_")} | {"NCD_TRELLIS_PREPARED": 0}
    return [macro for macro in MACROS if found.get(macro, default.get(macro, 0))]
