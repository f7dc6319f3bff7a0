"""The profile as one HTML page with plots, and nothing to load from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from neuralcodec.container import replace_file
from neuralcodec.profiling.plots import plots
from neuralcodec.profiling.profile import Profile, TensorProfile
from neuralcodec.profiling.table import LEGEND, figure, fit_name

TOP = 20

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1300px; margin: 2em auto; padding: 0 1em; color: #1a1a1a; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc; padding-bottom: .2em; font-size: 1.2em; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: .8em 0; }
th, td { border-bottom: 1px solid #e2e2e2; padding: .25em .6em; text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { background: #f4f4f4; } .text { text-align: left; }
td.name { min-width: 13em; white-space: normal; overflow-wrap: anywhere; }
.note { color: #555; font-size: 13px; max-width: 75em; } figure { margin: 1em 0; }
svg { max-width: 100%; height: auto; font-family: system-ui, sans-serif; }
"""


def write_page(profile: Profile, path: str | os.PathLike[str], title: str, top: int = TOP) -> None:
    """Writes the page, whole or not at all.

    Args:
        profile: what it shows.
        path: the file.
        title: what the model is called.
        top: how many tensors are drawn, the largest.

    Raises:
        OSError: the file cannot be written.
    """
    with replace_file(Path(path)) as file:
        file.write(make_page(profile, title, top).encode("utf-8", errors="backslashreplace"))


def make_page(profile: Profile, title: str, top: int = TOP) -> str:
    """The page's text."""
    drawn = sorted(range(len(profile.tensors)), key=lambda i: -profile.tensors[i].weights)[:top]
    sections = []
    numbers = {}
    for i in sorted(drawn):
        svg = plots(profile.tensors[i], i)
        if svg is not None:
            numbers[i] = f"t{i}"
            sections.append(_section(profile.tensors[i], numbers[i], svg))
    left_out = len(profile.tensors) - len(sections)
    note = f"Plots are of {len(sections)} tensors: the largest {top} at most, and none that have nothing to draw."
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(_summary(profile))}</p>",
            _overview(profile.tensors, numbers),
            f'<p class="note">{escape(LEGEND)}.{" " + escape(note) if left_out else ""}</p>',
            *sections,
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Profile of {escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body>{body}\n</body></html>\n"
    )


def _summary(profile: Profile) -> str:
    rate = "" if profile.bits_per_weight is None else f", {profile.bits_per_weight:.2f} bits a weight"
    return (
        f"{len(profile.tensors):,} tensors, {profile.weights:,} weights. Coded as suggested, each tensor with an SNR "
        f"of at least {profile.snr_db:g} dB: {profile.suggested_bytes:,} bytes{rate}, names and headers not counted."
    )


def _overview(tensors: Sequence[TensorProfile], numbers: dict[int, str]) -> str:
    headings = (
        "tensor", "shape", "std", "kurt.", "zero %", "fit", "rows", "cols", "rank", "20 dB", "30 dB", "40 dB", "gap",
        "class", "prev", "suggested", "bits/w",
    )  # fmt: skip
    rows = []
    for i, tensor in enumerate(tensors):
        m = tensor.moments
        name = escape(tensor.name)
        link = f'<a href="#{numbers[i]}">{name}</a>' if i in numbers else name
        more = [*(f"also {other}" for other in tensor.tied), *([tensor.note] if tensor.note else [])]
        gap = tensor.targets[1].gap if tensor.targets else None
        suggestion = tensor.suggestion
        rows.append(
            [
                link + ("*" if tensor.sampled else "") + (f" ({escape(', '.join(more))})" if more else ""),
                escape(f"{tensor.dtype} {'×'.join(map(str, tensor.shape)) or 'scalar'}"),
                _short(m.std),
                figure(m.kurtosis, 1),
                figure(100 * m.zeros / m.count, 1) if m.count else "–",
                fit_name(tensor.fits, tensor.best_fit),
                figure(tensor.rows.octaves if tensor.rows else None, 2),
                figure(tensor.columns.octaves if tensor.columns else None, 2),
                figure(tensor.spectrum.effective_rank if tensor.spectrum else None, 2),
                *([figure(rate.bits, 2) for rate in tensor.targets] or ["–"] * 3),
                "–" if gap is None else f"{gap:+.2f}".replace("-", "−"),
                figure(tensor.redundancy.class_bits if tensor.redundancy else None, 2),
                figure(tensor.redundancy.prediction_bits if tensor.redundancy else None, 2),
                escape(suggestion.trial.setting()) if suggestion else "–",
                figure(suggestion.trial.bits_per_weight if suggestion else None, 2),
            ]
        )
    return _table(headings, rows, text=("tensor", "fit", "suggested"))


def _section(tensor: TensorProfile, anchor: str, svg: str) -> str:
    m = tensor.moments
    facts = [f"{m.count:,} weights"]
    if tensor.sampled:
        facts.append(
            f"looked at closely: {tensor.sampled[0]:,} rows × {tensor.sampled[1]:,} columns, drawn at random but "
            "always the same; counts, range and moments are of all"
        )
    if m.mean is not None:
        facts.append(f"mean {_short(m.mean)}, from {_short(m.least)} to {_short(m.most)}")
    facts.append(f"{m.zeros:,} are exactly 0")
    if tensor.near_zero is not None:
        facts.append(f"{tensor.near_zero:.1%} are within 1 % of the standard deviation of 0")
    found = tensor.redundancy
    if found is not None:
        if found.correlation is not None:
            facts.append(
                f"neighbouring rows correlate by {found.correlation:.3f} (by chance {found.chance_correlation:.3f}), "
                f"so predicting one from the other could save {figure(found.prediction_bits, 3)} bits a weight at 30 dB"
            )
        if found.sum_bits > 0:
            facts.append(
                f"sums of {found.stored_share:.0%} of the rows for the others (codec regression) could save "
                f"{found.sum_bits:.2f} bits a weight at 30 dB"
            )
        facts.append(f"knowing the octave of a row's scale saves {found.class_bits:.3f}")
        if found.duplicates:
            facts.append(f"{found.duplicates:,} rows equal an earlier one")
    why = ""
    if tensor.suggestion:
        trial = tensor.suggestion.trial
        why = (
            f"<p>Suggested: <b>{escape(trial.setting())}</b>, {trial.bits_per_weight:.2f} bits a weight. "
            f"{escape(_sentence(tensor.suggestion.why))}</p>"
        )
    return (
        f'<h2 id="{anchor}">{escape(tensor.name)}</h2><p>{escape(_sentence("; ".join(facts)))}</p>{why}'
        f"<figure>{svg}</figure>{_fits(tensor)}"
    )


def _fits(tensor: TensorProfile) -> str:
    if not tensor.fits:
        return ""
    rows = [
        [
            f"<b>{escape(fit.family)}</b>" if fit.family == tensor.best_fit else escape(fit.family),
            _short(fit.location),
            _short(fit.scale),
            _short(fit.shape),
            f"{fit.log_likelihood:.4f}".replace("-", "−"),
            f"{fit.bits:.4f}",
            f"{fit.ks:.4f}",
        ]
        for fit in tensor.fits
    ]
    headings = ("fit", "location", "scale", "shape", "log likelihood a weight", "bits a weight", "KS distance")
    note = "Fitted to the weights that are not 0; bits with weights in units of their standard deviation."
    return _table(headings, rows, text=("fit",)) + f'<p class="note">{note}</p>'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[str]) -> str:
    """A table of cells that are HTML already."""
    kinds = [' class="text name"' if h == "tensor" else ' class="text"' if h in text else "" for h in headings]
    head = "".join(f"<th{kind}>{escape(h)}</th>" for h, kind in zip(headings, kinds, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")
