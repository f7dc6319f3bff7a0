"""Compresses the weights of trained neural networks and rebuilds them tile by tile, on hosts and microcontrollers.

>>> cm = neuralcodec.encode(model)
>>> neuralcodec.save(cm, "model.nc.safetensors")
>>> neuralcodec.load("model.nc.safetensors").load_into(model)
"""

from neuralcodec.api import decode, decode_to_file, encode, load, save
from neuralcodec.codec import Codec
from neuralcodec.errors import (
    BitstreamError,
    ChecksumError,
    CorruptError,
    EvaluationError,
    ExportError,
    NeuralCodecError,
    PlanError,
    RegistryError,
    SourceError,
    TruncatedError,
    UnsupportedError,
)
from neuralcodec.exploration import Front, Point, explore
from neuralcodec.export_c import export_c
from neuralcodec.firmware import (
    Codings,
    ExportReport,
    Simulation,
    choose_codings,
    export_firmware,
    fold_batch_norm,
    simulate,
)
from neuralcodec.model import CompressedModel
from neuralcodec.plan.target import Target
from neuralcodec.profiling import Profile, profile
from neuralcodec.registry import codec_names, describe_codecs, register
from neuralcodec.report import Report
from neuralcodec.stream.writer import VERSION as STREAM_VERSION
from neuralcodec.tiled import tiled
from neuralcodec.transcode import transcode
from neuralcodec.verify import Verification, verify

__all__ = [
    "STREAM_VERSION",
    "BitstreamError",
    "ChecksumError",
    "Codec",
    "Codings",
    "CompressedModel",
    "CorruptError",
    "EvaluationError",
    "ExportError",
    "ExportReport",
    "Front",
    "NeuralCodecError",
    "PlanError",
    "Point",
    "Profile",
    "RegistryError",
    "Report",
    "Simulation",
    "SourceError",
    "Target",
    "TruncatedError",
    "UnsupportedError",
    "Verification",
    "choose_codings",
    "codec_names",
    "decode",
    "decode_to_file",
    "describe_codecs",
    "encode",
    "explore",
    "export_c",
    "export_firmware",
    "fold_batch_norm",
    "load",
    "profile",
    "register",
    "save",
    "simulate",
    "tiled",
    "transcode",
    "verify",
]

__version__ = "0.1.0"
