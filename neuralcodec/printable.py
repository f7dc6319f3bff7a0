"""Names on a terminal: what a file calls its tensors must not steer it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters, and others that cannot be seen, as Python's escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
