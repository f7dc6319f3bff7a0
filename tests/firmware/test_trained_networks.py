"""The benchmark's networks, their weights compressed, on every emulated core: takes minutes, and fetches data."""

from __future__ import annotations

import emulator
import pytest
from rich.console import Console

from bench.deployed import deployed
from bench.firmware_networks import CHOICES, measure
from bench.network import networks

pytestmark = [pytest.mark.firmware, pytest.mark.slow]

INPUTS = 100
SILENT = Console(quiet=True)


def boards() -> list[str]:
    found = [board for board in emulator.BOARDS if emulator.available(board) is None]
    if not found:
        pytest.skip(f"no board: {emulator.available(next(iter(emulator.BOARDS)))}")
    return found


def needed(name: str) -> None:
    reason = networks()[name].missing()
    if reason is not None:
        pytest.skip(f"{name}: {reason}")


def coding(title: str):
    return next(choice for choice in CHOICES if choice.title == title)


@pytest.mark.parametrize("name", list(deployed()))
def test_outputs_are_those_of_the_host_on_every_core(name):
    needed(name)
    wanted = boards()
    (_, on_cores, *_), same = measure(name, wanted, [coding("kmeans, 16 of int8")], INPUTS, SILENT)
    assert same
    ran = {row[0] for row in on_cores.rows if row[-1] == f"{INPUTS} of {INPUTS}"}
    too_small = {row[0] for row in on_cores.rows if row[2].endswith("too small")}
    assert ran | too_small == {emulator.BOARDS[board].core for board in wanted}
    assert ran
    assert all(row[-1] in {f"{INPUTS} of {INPUTS}", "–"} for row in on_cores.rows)


def test_a_coding_for_each_layer_keeps_accuracy_at_half_the_flash_and_a_tenth_more_instructions():
    needed("mobilenet-fashion")
    if emulator.available("m4") is not None:
        pytest.skip(f"m4: {emulator.available('m4')}")
    choice = coding("chosen for the Cortex-M4, huffman")
    (on_host, on_cores, *_), same = measure("mobilenet-fashion", ["m4"], [choice], INPUTS, SILENT)
    assert same
    (row,) = (row for row in on_host.rows if row[0] == choice.title)
    assert float(row[2].rstrip(" %")) <= 50
    assert int(row[4].replace(",", "")) <= 2048  # RAM beside activations
    assert float(row[5].rstrip(" %")) >= networks()["mobilenet-fashion"].expected - 0.5
    (row,) = (row for row in on_cores.rows if row[1] == choice.title)
    assert float(row[3]) <= 1.10
