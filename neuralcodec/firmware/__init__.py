"""Networks for microcontrollers whose weights stay compressed: traced, quantized, planned, and written as C sources."""

from neuralcodec.firmware.codings import Codings, choose_codings
from neuralcodec.firmware.export import export_firmware
from neuralcodec.firmware.fold import fold_batch_norm
from neuralcodec.firmware.report import ExportReport
from neuralcodec.firmware.simulate import Simulation, simulate

__all__ = ["Codings", "ExportReport", "Simulation", "choose_codings", "export_firmware", "fold_batch_norm", "simulate"]
