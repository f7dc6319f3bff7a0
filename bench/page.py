"""Tables that scripts write into pages of docs/, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.folders import ROOT
from neuralcodec.container import replace_file


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    rule = ["---", *["--:"] * (len(headings) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *lines))


def put(name: str, mark: str, text: str) -> None:
    """Replaces what is between ``<!-- mark ... -->`` and ``<!-- /mark -->`` in a page.

    Args:
        name: of the page in docs/.
        mark: first word of the opening comment; the rest of it may say which script writes there.
        text: Markdown.

    Raises:
        ValueError: the page has not both marks once.
    """
    path: Path = ROOT / "docs" / name
    written = replaced(path.read_text(encoding="utf-8"), mark, text)
    with replace_file(path) as file:
        file.write(written.encode())


def replaced(page: str, mark: str, text: str) -> str:
    """The page with ``text`` between its marks; see :func:`put`."""
    lines = page.splitlines(keepends=True)
    first = [i for i, line in enumerate(lines) if line.startswith(f"<!-- {mark}: ")]
    last = [i for i, line in enumerate(lines) if line.rstrip() == f"<!-- /{mark} -->"]
    if len(first) != 1 or len(last) != 1 or last[0] < first[0]:
        raise ValueError(f"{mark}: one opening and one closing mark expected, not {len(first)} and {len(last)}")
    return "".join([*lines[: first[0] + 1], f"\n{text.rstrip()}\n\n", *lines[last[0] :]])
