"""An estimate of the energy of one inference, from instructions and bytes of flash that are read.

It is an estimate from figures of a data sheet, and no measurement: instructions are taken for cycles, what peripherals
and sleep take is left out, and flash reads of the weights count beside the figure for running from flash.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Energy of instructions and of flash reads.

    Attributes:
        name: part and source of the figures.
        current_a_per_hz: supply current while running from flash, over the clock.
        volts: supply voltage of that figure.
        cycles_per_instruction: what an instruction counts.
        flash_joules_per_byte: of a byte of weights read from flash, beyond what running from flash takes.
    """

    name: str
    current_a_per_hz: float
    volts: float
    cycles_per_instruction: float = 1.0
    flash_joules_per_byte: float = 0.0

    def joules(self, instructions: int, flash_bytes: int) -> float:
        """The estimate."""
        cycles = instructions * self.cycles_per_instruction
        return cycles * self.current_a_per_hz * self.volts + flash_bytes * self.flash_joules_per_byte


STM32L476 = EnergyModel(
    name="STM32L476xx, data sheet DS10198: 100 µA/MHz in run mode (LDO), taken at 3.3 V, one cycle an instruction",
    current_a_per_hz=100e-12,
    volts=3.3,
)
