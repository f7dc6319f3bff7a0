"""Codec 7: some weights are stored, a regressor infers the others (docs/format.md, section 13)."""

from neuralcodec.codecs.regression.codec import Regression

__all__ = ["Regression"]
