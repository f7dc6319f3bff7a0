"""Errors of a row of weights that count together.

A layer's input whose mean is m and whose variance is v meets each weight of a row, so that the row's errors e change
its output by v·Σe² + m²·(Σe)² in the mean square, if inputs are independent. Where inputs have a mean, as behind
rectifiers, Σe is worth keeping near 0, and that makes the errors themselves little larger, as it is one sum of many.
Guo et al. ("SQuant", ICLR 2022) take some rounded weights a step further to that end, as codec huffman does here; in
codec trellis the search for levels sees to it.
"""

from __future__ import annotations

import math

TOGETHER = 1 / (math.pi - 1)
"""What (Σe)² counts beside Σe²: m²/v of normal numbers that a rectifier has left.

A half to four times of that do about as well."""


def together(shaping: bool | None, reconstruction: str) -> float:
    """What the squared sum of a row's errors counts, by the options of a codec: nothing for the least squared error."""
    return TOGETHER if shaping or (shaping is None and reconstruction == "norm") else 0.0
