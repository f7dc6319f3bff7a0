"""Gets networks and environments ready, several at a time: fetches, trains, scores original weights, installs."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.queues import Queue

from bench import environment, fetch, run, training
from bench.method import Method
from bench.network import Network, networks


@dataclass(frozen=True)
class Lacking:
    """Why networks and methods cannot be had here, by name."""

    networks: dict[str, str]
    methods: dict[str, str]


Tell = Callable[[str, int], None]
"""Told what is being done, and how much of it is done."""


def prepare(wanted: Sequence[Network], using: Sequence[Method], jobs: int, tell: Tell) -> Lacking:
    """Loads networks and scores their original weights, ``jobs`` at a time, and meanwhile makes environments.

    Afterwards all of this comes from the cache.

    Args:
        wanted: networks; training one takes a core some minutes.
        using: methods.
        jobs: processes for networks, and as many threads for environments.
        tell: told what is being done.
    """
    lacking = Lacking({n.name: reason for n in wanted if (reason := n.missing()) is not None}, {})
    names = [n.name for n in wanted if n.name not in lacking.networks]
    context = multiprocessing.get_context("spawn")
    heard: Queue[tuple[str, str]] = context.Queue()
    doing = dict.fromkeys(names, "")
    with ThreadPoolExecutor(jobs) as threads, context.Pool(max(1, min(jobs, len(names))), _begin, (heard,)) as pool:
        checked = {m.name: threads.submit(environment.missing, m) for m in using}
        loaded = {name: pool.apply_async(_load, (name,)) for name in names}
        while doing or checked:
            try:
                name, text = heard.get(timeout=0.2)
                doing[name] = text
            except queue.Empty:
                pass
            for name in [name for name in doing if loaded[name].ready()]:
                del doing[name]
                if (reason := loaded[name].get()) is not None:
                    lacking.networks[name] = reason
            for name in [name for name, each in checked.items() if each.done()]:
                if (reason := checked.pop(name).result()) is not None:
                    lacking.methods[name] = reason
            now = [text for text in doing.values() if text] + [f"environment of {name}" for name in list(checked)[:1]]
            tell(", ".join(now) or "networks", len(names) - len(doing) + len(using) - len(checked))
    return lacking


def _begin(heard: Queue[tuple[str, str]]) -> None:
    """A process of the pool: the one that started it hears of training, and ends it when it is itself interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    training.listener = lambda name, text: heard.put((name, text))


def _load(name: str) -> str | None:
    try:
        run.baseline(run.load(networks()[name]))
    except fetch.FetchError as error:
        return str(error)
    except run.BaselineError:
        pass  # who asked finds it out from the record, and stops
    return None
