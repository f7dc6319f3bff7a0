"""The file: an ordinary safetensors file with the model stream as its one tensor (docs/format.md, section 2)."""

from neuralcodec.container.output import check_output, replace_file, replace_files
from neuralcodec.container.reader import FileBytes, check_regular, open_file
from neuralcodec.container.writer import METADATA_KEY, file_size, save_stream, save_tensors

__all__ = [
    "METADATA_KEY",
    "FileBytes",
    "check_output",
    "check_regular",
    "file_size",
    "open_file",
    "replace_file",
    "replace_files",
    "save_stream",
    "save_tensors",
]
