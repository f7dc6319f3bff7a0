"""Codec 3: weight sharing. Weights are indices into codebooks that k-means finds (docs/format.md, section 10)."""

from neuralcodec.codecs.kmeans.codec import KMeans

__all__ = ["KMeans"]
