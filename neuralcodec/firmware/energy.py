"""An estimate of the energy of one inference, from instructions and bytes of flash that are read.

It is an estimate from figures of a data sheet, and no measurement. Instructions are taken for cycles; a line of flash
that weights are read from costs its wait states, in which the core takes the same current. What peripherals and sleep
take is left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Energy of instructions and of flash reads.

    Attributes:
        name: part and source of the figures.
        amperes_per_hertz: supply current while running from flash, over the clock.
        volts: supply voltage of that figure.
        cycles_per_instruction: what an instruction counts.
        flash_line_bytes: what a read of the flash brings.
        flash_wait_cycles: what such a read takes beyond its instruction.
    """

    name: str
    amperes_per_hertz: float
    volts: float
    cycles_per_instruction: float
    flash_line_bytes: int
    flash_wait_cycles: int

    def joules(self, instructions: int, flash_bytes: int) -> float:
        """The estimate.

        Args:
            instructions: of an inference.
            flash_bytes: bytes of weights that it reads.
        """
        lines = -(-flash_bytes // self.flash_line_bytes)
        cycles = instructions * self.cycles_per_instruction + lines * self.flash_wait_cycles
        return cycles * self.amperes_per_hertz * self.volts


STM32L412 = EnergyModel(
    name="STM32L412xx (Cortex-M4, 80 MHz): 79 µA/MHz in run mode, as documentation of its boards quotes the data "
    "sheet; assumed: 3.0 V, lines of 8 bytes of flash, 4 wait states, one cycle an instruction",
    amperes_per_hertz=79e-12,
    volts=3.0,
    cycles_per_instruction=1.0,
    flash_line_bytes=8,
    flash_wait_cycles=4,
)
