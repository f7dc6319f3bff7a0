"""The front as a picture."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from neuralcodec.container import replace_file
from neuralcodec.errors import NeuralCodecError
from neuralcodec.exploration.candidates import ORIGINAL
from neuralcodec.exploration.front import Front


def draw(front: Front, path: str | os.PathLike[str]) -> None:
    """Writes the picture; see :meth:`Front.plot`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise NeuralCodecError('plot needs matplotlib, not installed here: pip install "neuralcodec[profile]"')
    import matplotlib as mpl  # noqa: PLC0415 (optional)
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    form = Path(path).suffix.removeprefix(".").lower()
    with mpl.rc_context({"svg.hashsalt": "neuralcodec", "axes.grid": True, "grid.alpha": 0.25}):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        if form not in figure.canvas.get_supported_filetypes():
            raise NeuralCodecError(f"{path}: a name that ends in .png, .svg or .pdf expected")
        ax = figure.subplots()
        if front.evaluations:
            tried = [e for e in front.evaluations if ORIGINAL not in e.choice and e.loss < float("inf")]
            label = f"evaluated combinations ({len(front.evaluations)} evaluations in all)"
            ax.plot([e.nbytes for e in tried], [e.loss for e in tried], "o", color="#bbbbbb", markersize=4, label=label)
            if front.baseline is not None:
                ax.axhline(front.baseline, color="#777777", linestyle=":", label="the model as it is")
            points = [(p.nbytes, p.loss) for p in front.points]
            ax.set_ylabel("loss")
        else:
            points = [(p.nbytes, p.snr_db) for p in front.points if p.snr_db < float("inf")]
            ax.set_ylabel("SNR, dB")
        ax.plot(*zip(*points, strict=True), color="#0072b2", marker="o", markersize=4, label="front")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.xaxis.set_minor_locator(MaxNLocator(1))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.set_xlabel("bytes of the whole file")
        ax.set_title(f"{front.codec.name}: settings tensor by tensor")
        ax.legend()
        with replace_file(Path(path)) as file:
            figure.savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
