"""The names of a generated program."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuralcodec.c_names import HEADERS
from neuralcodec.errors import ExportError

OWN = frozenset({"nn", "model", "tensor", "record", "generative"})
"""What functions of the decoder begin with, behind ``ncd_``."""

FILES = frozenset({"main", "port"})
"""What programs around a network are called, which lie beside it."""


@dataclass(frozen=True, slots=True)
class Names:
    """Prefixes of functions (``ncd_kws``) and macros (``NCD_KWS``) of a model (``kws``)."""

    model: str

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", self.model):
            raise ExportError(
                f"name={self.model!r}: lower-case letters, digits and underscores expected, a letter first"
            )
        if self.model in OWN | HEADERS | FILES:
            file = f"the name of {self.model}.{'c' if self.model in FILES else 'h'}"
            what = "what functions of the decoder are called" if self.model in OWN else file
            raise ExportError(f"name={self.model!r} is {what}: give another one")

    @property
    def function(self) -> str:
        """Prefix of functions."""
        return f"ncd_{self.model}"

    @property
    def macro(self) -> str:
        """Prefix of macros."""
        return f"NCD_{self.model.upper()}"


def model_name(text: str) -> str:
    """A model's name from that of a class or a folder: ``DsCnn`` becomes ``ds_cnn``, and ``Model`` ``model_net``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    plain = plain if plain and plain[0].isalpha() else f"m_{plain}".rstrip("_")
    return f"{plain}_net" if plain in OWN | HEADERS | FILES else plain
