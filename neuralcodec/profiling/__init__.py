"""What the weights of a model look like, and what that means for coding them.

``run`` looks at one tensor after the other: counts and moments over all weights (``moments``), the rest on a sample of
large tensors (``sample``). ``profile`` holds the results, ``table`` and ``page`` show them. scipy and matplotlib are
optional (``pip install "neuralcodec[profile]"``); no module that is imported here needs them at import.
"""

from neuralcodec.profiling.profile import Profile, TensorProfile
from neuralcodec.profiling.run import profile

__all__ = ["Profile", "TensorProfile", "profile"]
