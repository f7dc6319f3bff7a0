"""The command line of the benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, TypeVar

import numpy
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import fetch, run, sources, sweep
from bench.folders import ROOT, cache
from bench.method import Method, methods
from bench.network import Network, networks
from bench.records import Record, Skip
from bench.report import markdown, page, plots, tables
from bench.report.results import MethodFacts, NetworkFacts, Results, text_of

app = typer.Typer(
    help="Compares codecs on trained networks: whole-file bytes, fidelity, task metric, speed, memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True)

FORMAT = 2
"""Of the file of results."""

ENCODER = "neuralcodec, hash of what encodes"
"""What the file says of the sources that it was measured with."""

ROUNDS = 3
"""Repetitions of timings, if nobody says how many."""

T = TypeVar("T", Network, Method)
Names = Annotated[list[str] | None, typer.Option(help="Only this one; may be given again.")]
Full = Annotated[bool, typer.Option("--full", help="All networks and the long sweeps, not the quick ones.")]


@app.command("list")
def list_() -> None:
    """Shows networks and methods, and what is missing here to run them."""
    table = Table("network", "", "metric", "expected", "part of", "missing here", title="networks")
    for network in networks().values():
        expected = f"{network.expected:.2f} ± {network.margin:.2f} {network.unit}" if network.evaluate else ""
        part = "bench" if network.quick else "bench-full"
        table.add_row(network.name, network.title, network.metric, expected, part, network.missing() or "")
    out.print(table)
    table = Table("method", "", "kind", "settings", "environment", title="methods")
    for method in methods().values():
        own = method.requirements[0] if method.requirements else "the benchmark's"
        table.add_row(method.name, method.title, method.kind, f"{len(method.quick)} / {len(method.full)}", own)
    out.print(table)


@app.command("run")
def run_(
    *,
    network: Names = None,
    method: Names = None,
    full: Full = False,
    rounds: Annotated[int, typer.Option(min=0, help="Repetitions of the timings; 0 leaves them out.")] = ROUNDS,
    retime: Annotated[
        bool, typer.Option("--retime", help="Takes timings anew; let nothing else run meanwhile.")
    ] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Measures nothing: takes the records that are there.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time, but for timings.")] = os.cpu_count() or 1,
) -> None:
    """Measures; what has been measured before is not measured again. Then `python -m bench report`."""
    if sources.is_outdated():
        err.print("the extension was built from other sources: scripts/setup.sh builds it anew")
        raise typer.Exit(1)
    chosen = _chosen(networks(), network, "network") if network else {n.name: n for n in networks().values()}
    if not network and not full:
        chosen = {name: n for name, n in chosen.items() if n.quick}
    using = _chosen(methods(), method, "method") if method else methods()
    options = sweep.Options(full, kept, rounds, retime, jobs)
    with _progress() as tell:
        results = sweep.measure(list(chosen.values()), list(using.values()), options, tell)
    path = cache() / "results.json"
    _save(results, path)
    failed = len(results.failures())
    for skip in results.skips:
        what = ", ".join(filter(None, (skip.network, skip.method)))
        err.print(f"skipped: {what}: {skip.reason}", highlight=False, soft_wrap=True)
    for record in results.failures():
        what = f"{record.network}, {record.method} {text_of(record.setting)}"
        err.print(f"failed: {what}: {record.error}", highlight=False, soft_wrap=True)
    err.print(
        f"{len(results.records) - failed} records, {failed} failures, {len(results.skips)} skips in {path}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def report(
    to: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")] = ROOT / "build" / "bench",
    readme: Annotated[bool, typer.Option("--readme", help="Also writes the README's tables and picture.")] = False,
) -> None:
    """Writes tables, plots and an HTML page of the last run."""
    source = cache() / "results.json"
    if not source.exists():
        err.print("there are no results yet: python -m bench run")
        raise typer.Exit(1)
    try:
        results, made = _load(source)
    except (ValueError, KeyError, TypeError) as error:
        err.print(f"{source} is damaged or of another version ({error}); measure again: python -m bench run")
        raise typer.Exit(1) from error
    if made.get(ENCODER) != _encoder():
        err.print("measured with other sources of neuralcodec than are here; python -m bench run measures anew")
    to.mkdir(parents=True, exist_ok=True)
    listed = tables.all_tables(results)
    drawn = plots.figures(results)
    for name, figure in drawn.items():
        plots.save(figure, to / f"rate-{name}.png")
    html = page.page(results, listed, {name: plots.svg(figure) for name, figure in drawn.items()}, made)
    (to / "index.html").write_text(html, encoding="utf-8")
    (to / "tables.md").write_text(markdown.document(listed, made), encoding="utf-8")
    (to / "results.json").write_bytes(source.read_bytes())
    if readme:
        _write_readme(results, markdown.document(listed, made))
    err.print(f"{len(listed)} tables, {len(drawn)} plots: {to / 'index.html'}", highlight=False, soft_wrap=True)


def main() -> None:
    """Runs the command line; foreseeable errors are one line."""
    try:
        app()
    except (run.BaselineError, fetch.FetchError) as error:
        err.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(1)


def _chosen(known: dict[str, T], names: list[str], what: str) -> dict[str, T]:
    for name in names:
        if name not in known:
            err.print(f"no {what} {name!r}; there are {', '.join(known)}", highlight=False, soft_wrap=True)
            raise typer.Exit(2)
    return {name: known[name] for name in known if name in names}


@contextlib.contextmanager
def _progress() -> Iterator[sweep.Tell]:
    """A bar for each stage; where there is no terminal, a line at every twentieth of it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        bars: dict[str, TaskID] = {}
        said: set[tuple[str, int]] = set()

        def tell(stage: str, text: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task("", total=total)
            progress.update(bars[stage], description=f"{stage}: {text}", completed=done, total=total)
            if not err.is_terminal and (stage, 20 * done // total) not in said:
                said.add((stage, 20 * done // total))
                err.print(f"{stage} {done}/{total}: {text}", highlight=False, soft_wrap=True)

        yield tell


def _save(results: Results, path: Path) -> None:
    made = {
        "fetch, train, measure": _command(tuple(sys.argv[1:])),
        "write this page": "python -m bench report",
        "machine": f"{run.machine()}, {platform.system()}",
        "Python": f"{platform.python_version()}, torch {torch.__version__}, numpy {numpy.__version__}",
        **_elsewhere(results),
        ENCODER: _encoder(),
        **{f"{r.method}, version": r.made["version"] for r in results.records if r.kind == "coded" and not r.error},
        "emulated cores": next((r.made["version"] for r in results.records if r.kind == "firmware"), "not run"),
    }
    text = json.dumps({"format": FORMAT, "made": made, **asdict(results)}, indent=1)
    part = path.with_suffix(f".{os.getpid()}.part")  # another run may end at the same time
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def _encoder() -> str:
    return sources.encoder_hash(None)[:16]


def _elsewhere(results: Results) -> dict[str, str]:
    """Other machines, and how many records of which kinds were measured there; timings are compared on one only."""
    here, others = run.machine(), dict[str, Counter[str]]()
    for record in results.records:
        if (where := record.made.get("machine", here)) != here:
            others.setdefault(where, Counter())[record.kind] += 1
    return {
        f"records of {where}": ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        for where, kinds in others.items()
    }


def _command(arguments: tuple[str, ...]) -> str:
    """What measures the records that are there; --kept only says that it has done so before, in parts."""
    said = " ".join(each for each in arguments if each != "--kept").removesuffix(f" --rounds {ROUNDS}")
    parts = " (in parts)" if "--kept" in arguments else ""
    return {"run": "make bench", "run --full": "make bench-full"}.get(said, f"python -m bench {said}") + parts


def _load(path: Path) -> tuple[Results, dict[str, str]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise ValueError(f"format {data.get('format')}, not {FORMAT}")
    results = Results(
        [NetworkFacts(**each) for each in data["networks"]],
        [MethodFacts(**each) for each in data["methods"]],
        [Record(**each) for each in data["records"]],
        [Skip(**each) for each in data["skips"]],
    )
    return results, data["made"]


def _is_variant(name: str, names: set[str]) -> bool:
    return "_" in name and name.split("_", maxsplit=1)[0] in names


PICTURED = ("resnet-fashion", "silero-vad", "crepe-tiny", "lenet5")
"""The first of these that has curves is the README's picture."""


def _write_readme(results: Results, document: str) -> None:
    # Variants of a lossy method are for the page of all tables, but for what they come to beside the standard.
    names = {method.name for method in results.methods}
    few = replace(results, methods=[m for m in results.methods if m.kind != "lossy" or not _is_variant(m.name, names)])
    chosen = [tables.beside_anchor(results)]
    chosen += [table(few) for table in (tables.no_loss, tables.rate_differences, tables.lossless)]
    text = "\n".join(markdown.markdown(table, heading="###") for table in chosen if table.rows)
    folder = ROOT / "docs" / "benchmark"
    folder.mkdir(exist_ok=True)
    (folder / "tables.md").write_text(document, encoding="utf-8")
    text += "\n[All tables](docs/benchmark/tables.md): every setting of every network, versions.\n"
    pictured = ([n for n in few.networks if n.name == name] for name in PICTURED)
    shown = next((drawn for of in pictured for drawn in plots.figures(replace(few, networks=of)).values()), None)
    if shown is not None:
        paths = plots.save(shown, folder / "rate.png")
        text = f"![rate and accuracy]({paths[0].relative_to(ROOT).as_posix()})\n\n{text}"
    if not markdown.put(text, ROOT / "README.md"):
        err.print("README.md lacks the lines between which the tables go")
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
