"""Codec 3: weight sharing. Weights are indices into codebooks that k-means finds (docs/format.md, section 10)."""
