"""Which setting each tensor should have: the front of size and loss, without training.

``candidates`` encodes each tensor at each setting; ``sums`` finds the best combinations where losses add up; ``search``
spends calls of an evaluation function on what they do not tell; ``front`` holds the result. None of them knows a codec
but by its options.
"""

from neuralcodec.exploration.front import Evaluation, Front, Point
from neuralcodec.exploration.run import explore

__all__ = ["Evaluation", "Front", "Point", "explore"]
