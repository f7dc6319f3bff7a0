"""The file: an ordinary safetensors file with the model stream as its one tensor (docs/format.md, section 2)."""

from neuralcodec.container.reader import FileBytes, open_file
from neuralcodec.container.writer import METADATA_KEY, file_size, replace_file, save_stream, save_tensors

__all__ = ["METADATA_KEY", "FileBytes", "file_size", "open_file", "replace_file", "save_stream", "save_tensors"]
