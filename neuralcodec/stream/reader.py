"""Opens a model stream: the directory and every payload go through the C decoder that firmware runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence

import torch

from neuralcodec import _native
from neuralcodec.codec import NAMED, SharedObject
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.errors import (
    BitstreamError,
    ChecksumError,
    CorruptError,
    NeuralCodecError,
    RegistryError,
    TruncatedError,
    UnsupportedError,
)
from neuralcodec.registry import codec_by_number, codec_class
from neuralcodec.stream.store import Place
from neuralcodec.stream.writer import FIXED, MAGIC, TIED, VERSION, Entry, Stream, header
from neuralcodec.tensor import Tensor, TensorSpec, from_float32
