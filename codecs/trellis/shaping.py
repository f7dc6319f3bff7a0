"""Errors of a row of weights that count together.

A layer's input whose mean is m and whose variance is v meets each weight of a row, so that the row's errors e change
its output by v·Σe² + m²·(Σe)² in the mean square, if inputs are independent. Where inputs have a mean, as behind
rectifiers, Σe is worth keeping near 0, and that makes the errors themselves little larger, as it is one sum of many.
Guo et al. ("SQuant", ICLR 2022) flip rounded weights to that end; here the search for levels sees to it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

TOGETHER = 1 / (math.pi - 1)
"""What (Σe)² counts beside Σe²: m²/v of normal numbers that a rectifier has left.

A fifth to four times of that do about as well."""


class Shaping(NamedTuple):
    """See ``trellis_quantize``.

    Attributes:
        together: what the squared sum of a row's errors counts.
        gain: what is decoded, over levels.
        columns: whether the matrix is coded down its columns.
    """

    together: float
    gain: float
    columns: bool
