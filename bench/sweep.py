"""A run of the benchmark: every network with every setting of every method, then timings, then emulated cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from bench import fidelity, firmware, prepare, run, runner
from bench.method import Method, Setting
from bench.network import Network
from bench.records import Record, Skip
from bench.report.results import MethodFacts, NetworkFacts, Results

CLOSELY = 2
"""Networks that a quick run times and takes to emulated cores: the largest ones, where that says most."""

Tell = Callable[[str, str, int, int], None]
"""Told the stage, what is being done in it, and how much of how much is done."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how.

    Attributes:
        full: the long sweeps, and all networks timed and on emulated cores; else the two largest.
        kept: measure nothing; take the records that are there.
        rounds: repetitions of the timings; 0 for none.
        retime: take timings anew.
        jobs: processes at a time while nothing is timed.
    """

    full: bool
    kept: bool
    rounds: int
    retime: bool
    jobs: int


def settings(network: Network, method: Method, full: bool) -> tuple[Setting, ...]:
    """The method's sweep for a network."""
    return method.full if full and not network.slow else method.quick


def measure(wanted: Sequence[Network], using: Sequence[Method], options: Options, tell: Tell) -> Results:
    """Measures all, or finds the records of it.

    Raises:
        BaselineError: original weights do not score what they should.
    """
    total = len(wanted) + len(using)
    lacking = prepare.prepare(wanted, using, options.jobs, lambda text, done: tell("preparing", text, done, total))
    skips = [Skip("", name, reason) for name, reason in sorted(lacking.methods.items())]
    skips += [Skip(name, "", reason) for name, reason in sorted(lacking.networks.items())]
    if (reason := firmware.missing()) is not None:
        skips.append(Skip("", "emulated microcontrollers", reason))
    usable = [method for method in using if method.name not in lacking.methods]
    networks = [run.load(network) for network in wanted if network.name not in lacking.networks]
    found = [run.baseline(loaded) for loaded in networks]

    coded = _coded(networks, usable, options, tell)
    closely = coded if options.full else sorted(coded, key=lambda each: -fidelity.weights(each[0].state))[:CLOSELY]
    timed = [(n, [(m, r) for m in usable if (r := run.to_time(m, each)) is not None]) for n, each in closely]
    for done, (loaded, choices) in enumerate(timed if options.rounds else []):

        def told(text: str, done: int = done) -> None:
            tell("timing", text, done, len(timed))

        found += run.timings(loaded, choices, options.rounds, told, again=options.retime, kept=options.kept)
        tell("timing", "", done + 1, len(timed))
    found += [record for _, each in coded for record in each]
    for loaded, each in coded:
        wanted_of = {m.name: len(settings(loaded.network, m, options.full)) for m in usable}
        for name, count in wanted_of.items():
            if lacks := count - sum(record.method == name for record in each):
                reason = f"{lacks} of {count} settings have no record: not measured, or they cannot be met"
                skips.append(Skip(loaded.network.name, name, reason))
    if firmware.missing() is None:
        todo = []
        for loaded, choices in timed:
            of_decoder = [(loaded, m, r) for m, r in choices if firmware.can_decode(m)]
            fitting = [each for each in of_decoder if firmware.fits(each[2].values)]
            if large := len(of_decoder) - len(fitting):
                reason = f"emulated microcontrollers: {large} streams are of more than {firmware.FLASH_BYTES:,} bytes"
                skips.append(Skip(loaded.network.name, "", reason))
            todo += fitting
        found += _on_firmware(todo, options, tell)
    return Results(
        [NetworkFacts(n.name, n.title, n.metric, n.unit, n.higher_is_better, n.origin) for n in wanted],
        [MethodFacts(m.name, m.title, m.kind, m.advice, m.hull, m.least_error) for m in using],
        found,
        skips,
    )


def _coded(
    networks: Sequence[run.Loaded], methods: Sequence[Method], options: Options, tell: Tell
) -> list[tuple[run.Loaded, list[Record]]]:
    """Records of all settings by network, in their order; several are measured at a time."""
    todo = [(n, m, s) for n in networks for m in methods for s in settings(n.network, m, options.full)]
    given_up: dict[tuple[str, str], str] = {}

    def measured(loaded: run.Loaded, method: Method, setting: Setting) -> Record | None:
        if options.kept:
            return run.kept(loaded, method, setting)
        pair = (loaded.network.name, method.name)
        if pair in given_up:
            return run.failed(loaded.network, method, setting, f"not tried: {given_up[pair]} with another setting")
        try:
            return run.coded(loaded, method, setting)
        except runner.TooLongError as error:
            given_up[pair] = str(error)
            return run.failed(loaded.network, method, setting, str(error))

    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(measured, *each) for each in todo]
        names = {future: f"{n.network.name}, {m.name}" for future, (n, m, _) in zip(waiting, todo, strict=True)}
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                tell("measuring", names[future], done, len(todo))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    records = list(zip(todo, (future.result() for future in waiting), strict=True))
    return [(n, [record for (of, _, _), record in records if of is n and record is not None]) for n in networks]


def _on_firmware(todo: Sequence[tuple[run.Loaded, Method, Record]], options: Options, tell: Tell) -> list[Record]:
    found = []
    for done, (loaded, method, record) in enumerate(todo):
        tell("emulated cores", f"{loaded.network.name}, {method.name}", done, len(todo))
        cost = run.on_firmware(loaded, method, record.setting, kept=options.kept)
        tell("emulated cores", f"{loaded.network.name}, {method.name}", done + 1, len(todo))
        if cost is not None:
            found.append(cost)
    return found
