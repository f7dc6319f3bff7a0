"""The names of a generated program."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuralcodec.errors import ExportError


@dataclass(frozen=True, slots=True)
class Names:
    """Prefixes of functions (``ncd_kws``) and macros (``NCD_KWS``) of a model (``kws``)."""

    model: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.model) or self.model in {"nn", "model", "tensor", "record"}:
            raise ExportError(
                f"name={self.model!r}: lower-case letters, digits and underscores expected, a letter first, "
                "and none of the decoder's own names (nn, model, tensor, record)"
            )

    @property
    def function(self) -> str:
        """Prefix of functions."""
        return f"ncd_{self.model}"

    @property
    def macro(self) -> str:
        """Prefix of macros."""
        return f"NCD_{self.model.upper()}"


def model_name(text: str) -> str:
    """A model's name from that of a class or a folder: ``DsCnn`` becomes ``ds_cnn``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    return plain if plain and plain[0].isalpha() else f"m_{plain}".rstrip("_")
