"""Codec 4: trellis coded quantization with rANS and static tables picked by context (docs/format.md, section 12)."""

from neuralcodec.codecs.trellis.codec import Trellis

__all__ = ["Trellis"]
