"""Codec 6: levels that an adaptive model predicts bit by bit (docs/format.md, section 15)."""

from neuralcodec.codecs.generative.codec import Generative

__all__ = ["Generative"]
