"""bench/tflm.py: single layers in TensorFlow Lite Micro beside exports of ours."""

import pytest
import torch
from torch import nn

from bench import tflm
from bench.environment import is_made
from bench.tflm import Layer, Row


def test_document_has_what_was_measured():
    rows = {"layer, 16 values": [Row("TFLM, int8", 20.06, 17_536, 256, 1_232), Row("ours", 20.1, 8_809, 896, 944)]}
    text = tflm.document(rows)
    assert "## Layer, 16 values\n" in text
    assert "| TFLM, int8 | 20.1 | 17,536 | 256 | 1,232 |\n| ours | 20.1 | 8,809 | 896 | 944 |\n" in text
    assert tflm.TFLM in text
    assert "{" not in text


def test_the_document_is_of_this_version():
    committed = tflm.DOCUMENT.read_text(encoding="utf-8")
    assert committed.startswith(tflm.document({}))
    assert committed.count("\n## ") == 8
    assert committed.count("\n| TFLM, look-up table of ") == 8


@pytest.mark.skipif(
    not is_made(tflm.PACKAGE), reason="the environment with tflite-micro is not made: python -m bench.tflm"
)
@pytest.mark.parametrize(
    ("module", "shape"),
    [(nn.Linear(40, 24), (40,)), (nn.Conv2d(8, 12, 3, padding=1), (8, 6, 5)), (nn.Conv2d(8, 12, 3), (8, 6, 5))],
    ids=["linear", "same", "valid"],
)
def test_interpreter_and_export_agree(module, shape):
    torch.manual_seed(0)
    module.reset_parameters()
    (rows,) = tflm.measure([Layer("layer", module, shape)], [3]).values()  # raises where outputs differ
    plain, table, *ours = rows
    weights = module.weight.numel()
    assert table.file < plain.file
    assert table.ram >= plain.ram + weights - 16  # the whole tensor; buffers are aligned to 16 bytes
    assert len({row.snr for row in (plain, table, *ours[:4])}) == 1
    assert ours[-1].snr >= plain.snr - 0.05
    assert ours[1].file < ours[0].file
