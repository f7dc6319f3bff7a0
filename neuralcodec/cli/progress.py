"""A progress bar over weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from neuralcodec.plan.run import Progress as Callback
from neuralcodec.printable import printable


@contextlib.contextmanager
def encoding_bar(console: Console, quiet: bool, verb: str = "encoding") -> Iterator[Callback | None]:
    """A callback for ``encode(progress=…)`` that draws a bar on a terminal, or None."""
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(verb, total=None)

        def update(name: str, done: int, total: int) -> None:
            # While a target is searched the model is encoded several times; the bar starts again each time.
            bar.update(task, completed=done, total=total, description=f"{verb} {printable(name[:40])}")

        yield update
