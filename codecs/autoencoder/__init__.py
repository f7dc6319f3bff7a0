"""Codec 5: a linear transform and a learned prior (docs/format.md, section 14)."""

from neuralcodec.codecs.autoencoder.codec import Autoencoder

__all__ = ["Autoencoder"]
