"""The front as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from neuralcodec.exploration.front import Front
from neuralcodec.printable import printable


def make_table(front: Front, rows: int) -> Table:
    """A row for each point, smallest first; of many points some at even distances."""
    count = len(front.points)
    shown = range(count) if count <= rows else sorted({round(i * (count - 1) / max(rows - 1, 1)) for i in range(rows)})
    caption = Text(_caption(front, len(shown)), "table.caption")  # names in it may look like markup
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for heading in ("bytes", "ratio", "loss", "SNR dB"):
        table.add_column(heading, justify="right")
    table.add_column("settings", overflow="fold")
    for place in shown:
        point = front.points[place]
        table.add_row(
            f"{point.nbytes:,}",
            f"{front.original_bytes / point.nbytes:.2f}×",
            f"{point.loss:.5g}",
            f"{point.snr_db:.1f}",
            Text(_settings(point.settings)),
        )
    return table


def _settings(settings: Mapping[str, Mapping[str, object]]) -> str:
    """Values only where all tensors differ in the same one option, in the order of the tensors."""
    options = {tuple(each) for each in settings.values()}
    if len(options) == 1 and len(next(iter(options))) == 1:
        (option,) = next(iter(options))
        return f"{option} " + " ".join(str(each[option]) for each in settings.values())
    return "; ".join(" ".join(f"{k}={v}" for k, v in each.items()) for each in settings.values())


def _caption(front: Front, shown: int) -> str:
    said = []
    if shown < len(front.points):
        said.append(f"{shown} of {len(front.points)} points")
    if front.evaluations:
        said.append(f"{len(front.evaluations)} evaluations, where all combinations would take {front.grid:.3g}")
        said.append(f"the model as it is: {front.baseline:.5g}")
    elif front.baseline is None:
        said.append("no evaluation was made")
    else:
        said.append("loss: distortion over energy")
    if front.points:
        said.append("settings in the order of: " + ", ".join(map(printable, front.points[0].settings)))
    return " · ".join(said)
