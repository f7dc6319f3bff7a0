"""Tables on a terminal."""

from __future__ import annotations

import rich.table
from rich.console import Console

from bench.report.tables import Table


def show(table: Table, console: Console) -> None:
    """Prints a table."""
    shown = rich.table.Table(*table.headings, title=table.title, caption=table.note)
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
