"""One HTML page with all tables and plots, and nothing to load from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from bench.report.results import Results
from bench.report.tables import Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #1a1a1a; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc; padding-bottom: .2em; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: .8em 0; }
th, td { border-bottom: 1px solid #e2e2e2; padding: .25em .7em; vertical-align: top; }
th:not(.number), td:not(.number) { text-align: left; }
.number { text-align: right; } td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
th { position: sticky; top: 0; background: #f4f4f4; }
.note { color: #555; font-size: 13px; max-width: 70em; } svg { max-width: 100%; height: auto; }
code { background: #f4f4f4; padding: .1em .3em; } nav a { margin-right: 1em; }
"""


def page(results: Results, tables: Sequence[Table], plots: Mapping[str, str], made: Mapping[str, str]) -> str:
    """The page's text.

    Args:
        results: what it is about.
        tables: in order; those of a network bear its title.
        plots: an <svg> for each network name.
        made: how the results came about: label and text.
    """
    by_title = {network.title: network for network in results.networks}
    parts = [f"<p>{escape(SUMMARY)}</p>", _how(made)]
    links = []
    for i, table in enumerate(tables):
        links.append(f'<a href="#t{i}">{escape(table.title)}</a>')
        parts.append(f'<h2 id="t{i}">{escape(table.title)}</h2>')
        network = by_title.get(table.title)
        if network is not None and network.name in plots:
            parts.append(f"<figure>{_own_ids(plots[network.name], i)}</figure>")
        parts.append(_table(table))
    parts.append("<h2>Methods</h2>" + _methods(results))
    body = "\n".join([f"<nav>{' '.join(links)}</nav>", *parts])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>neuralcodec benchmark</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body><h1>neuralcodec benchmark</h1>\n{body}\n</body></html>\n"
    )


SUMMARY = (
    "Every method gets the same trained float32 weights and gives one whole file, all bytes counted; the file is "
    "decoded again, compared with the weights, and the network is scored on its task with them. A method "
    "that loses is shown losing. The dotted line in the plots is the Shannon bound of independent Gaussian weights "
    "with the variance of each tensor; weights that are not so, for instance with rows of different scale, can be "
    "coded in fewer bits. The plots of a metric show the surroundings of the original; lines go on outside."
)


def _how(made: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td><code>{escape(v)}</code></td></tr>" for k, v in made.items())
    return f'<h2>How to reproduce it</h2><div class="scroll"><table>{rows}</table></div>'


def _methods(results: Results) -> str:
    rows = "".join(f"<tr><td>{escape(m.title)}</td><td>{escape(m.advice)}</td></tr>" for m in results.methods)
    return f'<div class="scroll"><table><tr><th>method</th><th>used as</th></tr>{rows}</table></div>'


def _table(table: Table) -> str:
    kinds = [' class="number"' if table.is_number(i) else "" for i in range(len(table.headings))]
    head = "".join(f"<th{kind}>{escape(h)}</th>" for h, kind in zip(table.headings, kinds, strict=True))
    rows = "".join(
        "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in table.rows
    )
    body = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f'{body}<p class="note">{escape(table.note)}</p>'


def _cell(text: str, kind: str) -> str:
    """What stands between asterisks is bold, as in Markdown."""
    marked = re.sub(r"[*]{2}(.+?)[*]{2}", r"<b>\1</b>", escape(text))
    return f"<td{kind}>{marked}</td>"


def _own_ids(svg: str, i: int) -> str:
    """Ids are unique in a page; two figures may have used the same."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="f{i}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#f{i}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#f{i}-\1"', svg)
