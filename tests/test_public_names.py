"""The public API is exactly this list; a change here is a decision."""

import neuralcodec


def test_public_names():
    assert neuralcodec.__all__ == [
        "STREAM_VERSION", "BitstreamError", "ChecksumError", "Codec", "Codings", "CompressedModel", "CorruptError",
        "EvaluationError", "ExportError", "ExportReport", "Front", "NeuralCodecError", "PlanError", "Point",
        "Profile", "RegistryError", "Report", "Simulation", "SourceError", "Target", "TruncatedError",
        "UnsupportedError", "Verification", "choose_codings", "codec_names", "decode", "decode_to_file",
        "describe_codecs", "encode", "explore", "export_c", "export_firmware", "fold_batch_norm", "load", "profile",
        "register", "save", "simulate", "tiled", "transcode", "verify",
    ]  # fmt: skip
    assert all(hasattr(neuralcodec, name) for name in neuralcodec.__all__)
