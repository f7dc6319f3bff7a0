"""Names of tensors and files as a terminal may show them."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with escapes for what is no printable character: a name may hold what a terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
