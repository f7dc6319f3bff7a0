"""Tables as Markdown, and their place in the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report.tables import Table

BEGIN, END = "<!-- benchmark: python -m bench report writes between these lines -->", "<!-- /benchmark -->"


def markdown(table: Table, *, heading: str = "##") -> str:
    """A table with its title and note."""
    lines = [f"{heading} {table.title}", ""] if heading else []
    lines += ["| " + " | ".join(map(_cell, table.headings)) + " |"]
    lines += [
        "| --- | " + " | ".join("--:" if table.is_number(i) else "---" for i in range(1, len(table.headings))) + " |"
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table.rows]
    return "\n".join([*lines, "", table.note, ""])


def document(tables: Sequence[Table], made: Mapping[str, str]) -> str:
    """All tables, with how they came about."""
    lines = [f"- {label}: `{text}`" for label, text in made.items()]
    return "\n".join(["# Benchmark: all tables", "", *lines, "", *map(markdown, tables)])


def put(text: str, page: Path, marks: tuple[str, str] = (BEGIN, END)) -> bool:
    """Writes between the marks of a file; False if it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        return False
    part = page.with_suffix(".part")
    part.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
    part.replace(page)
    return True


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
