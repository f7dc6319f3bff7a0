"""The inference kernels on emulated boards: DSP extension, MVE and plain C give the same as numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import emulator
import nn_cases as nc
import numpy as np
import pytest

pytestmark = pytest.mark.firmware

PROBES = Path(__file__).parent / "probes"

VARIANTS = [("m0", None), ("rv32", None), ("m4", 1), ("m4", 0), ("m33", 1), ("m55", 2), ("m55", 1), ("m55", 0)]
"""Boards and NCD_NN_KERNELS, None: left to the compiler."""


def windows(rng: np.random.Generator, depthwise: bool) -> Iterator[nc.Window]:
    """Small ones: the smallest board has 16 KB."""
    for channels in (1, 3, 4, 8, 17, 37):
        kernel = [int(v) for v in rng.integers(1, 5, 2)]
        stride = [int(v) for v in rng.integers(1, 3, 2)]
        dilation = [int(v) for v in rng.integers(1, 3, 2)]
        size = [int(v) for v in rng.integers(5, 9, 2)]
        pad = [int(v) for v in rng.integers(0, 3, 2)]
        spans = zip(size, pad, kernel, dilation, stride, strict=True)
        out = [max(1, (s + 2 * p - (k - 1) * d - 1) // t + 1) for s, p, k, d, t in spans]
        groups = channels if depthwise else int(rng.choice([1, 1, channels]))
        out_c = channels if depthwise else groups * int(rng.integers(1, 9))
        yield nc.Window(*size, channels, *out, out_c, *kernel, *stride, *dilation, *pad, groups)
    if depthwise:  # 3x3 has a kernel of its own; in, out, padding
        for shape in ("7 5 7 5 1 1", "5 40 5 40 1 1", "40 3 40 1 1 0", "1 1 5 4 3 2", "4 6 2 4 0 0", "5 5 8 9 1 4"):
            h, w, out_h, out_w, pad_h, pad_w = map(int, shape.split())
            for times in (1, 2):
                yield nc.Window(h, w, 5, out_h, out_w, 5 * times, 3, 3, 1, 1, 1, 1, pad_h, pad_w, 5)


def make_cases() -> list[nc.Case]:
    """Layers of all kinds; tails of all lengths in the dot products."""
    rng = np.random.default_rng(5)
    cases = []
    for kind in ("conv", "depthwise"):
        for window in windows(rng, kind == "depthwise"):
            coding = str(rng.choice(["plain", "raw", "lossless"]))
            shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
            w = nc.make_weights(shape, coding, int(rng.integers(1, 200)), rng)
            x = rng.integers(-128, 128, (window.in_h, window.in_w, window.in_c)).astype(np.int8)
            requant = nc.make_requant(window.out_c, 64.0 * 64 * w.levels.shape[1] ** 0.5, rng)
            cases.append(nc.conv_case(kind, window, w, requant, x))
    for cols in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 67):
        w = nc.make_weights((9, cols), "plain", 1, rng)
        for x in (np.full((2, cols), -128), np.full((2, cols), 127), rng.integers(-128, 128, (2, cols))):
            requant = nc.make_requant(9, 64.0 * 64 * cols**0.5, rng)
            cases.append(nc.linear_case(w, requant, x.astype(np.int8)))
    least = nc.Weights(np.full((9, 40), -128, np.int8))
    cases.append(nc.linear_case(least, nc.make_requant(9, 64.0 * 64 * 40, rng), np.full((1, 40), -128, np.int8)))
    for coding in nc.CODINGS:
        w = nc.make_weights((8, 40), coding, 100, rng)
        x = rng.integers(-128, 128, (1, 40)).astype(np.int8)
        cases.append(nc.linear_case(w, nc.make_requant(8, 64.0 * 64 * 40**0.5, rng), x))
    for kind in ("max_pool", "average_pool"):
        window = nc.Window(7, 6, 5, 4, 3, 5, 3, 2, 2, 2, 1, 1, 1, 0)
        cases.append(nc.pool_case(kind, window, rng.integers(-128, 128, (7, 6, 5)).astype(np.int8), rng))
    cases += [nc.add_case(rng, 50), nc.rescale_case(rng, 50), nc.softmax_case(rng, 2, 12)]
    cases += [
        nc.mul_case(rng, 4, 9, 1),
        nc.mul_case(rng, 2, 3, 8),
        nc.lookup_case(rng, 40),
        nc.log_softmax_case(rng, 2, 12),
    ]
    cases += [nc.concat_case(rng, 5, 7), nc.flatten_case(rng, 6, 5)]
    for kind, gates in (("lstm", 4), ("gru", 3)):
        cases.append(nc.cell_case(kind, nc.make_tensors([(gates * 9, 13), (gates * 9, 9)], "raw", 64, rng), 4, 11, rng))
    # Scales that want shifts to the left, which saturate.
    w = nc.make_weights((9, 21), "plain", 1, rng)
    bias = np.array([0, 1, -1, 2**31 - 1, -(2**31), 1 << 20, -(1 << 20), 1 << 30, -(1 << 30)])
    for shift in (0, 1, 9, 30):
        requant = nc.Requant(bias, np.array([3 << 29]), np.array([shift]), 0, 100, -128, 127)
        cases.append(nc.linear_case(nc.Weights(w.levels * 0), requant, np.zeros((1, 21), np.int8)))
    for by in (1, 12, 30):
        cases += [nc.add_case(rng, 50, by), nc.rescale_case(rng, 50, by), nc.concat_case(rng, 5, 7, shift_by=by)]
        cases.append(nc.mul_case(rng, 3, 9, 2, by))
        cases.append(nc.pool_case("average_pool", window, rng.integers(-128, 128, (7, 6, 5)).astype(np.int8), rng, by))
        for kind, gates in (("lstm", 4), ("gru", 3)):
            weights = nc.make_tensors([(gates * 5, 6), (gates * 5, 5)], "plain", 1, rng)
            cases.append(nc.cell_case(kind, weights, 3, 11, rng, by // 4, by))
    return [case for case in cases if case.fields.get(1, 0) <= 3000]


def make_float_cases() -> list[nc.Case]:
    """Layers of floats."""
    rng = np.random.default_rng(6)
    cases = nc.elementwise_f32_cases(rng, 2, 9)
    window = nc.Window(6, 5, 3, 3, 5, 4, 3, 2, 2, 1, 1, 1, 1, 1)
    cases.append(nc.conv_f32_case(window, nc.make_floats([(4, 3, 3, 2)], "raw", 20, rng)[0], rng))
    cases.append(nc.linear_f32_case(nc.make_floats([(16, 20)], "huffman", 50, rng)[0], 2, rng))
    cases += [nc.pool_f32_case(kind, window, rng) for kind in ("max_pool", "average_pool")]
    for kind, gates in (("lstm", 4), ("gru", 3)):
        w = nc.make_floats([(gates * 9, 13), (gates * 9, 9)], "kmeans.fixed", 64, rng)
        cases.append(nc.cell_f32_case(kind, w, 2, rng))
    return cases


@pytest.fixture(scope="session")
def cases() -> list[nc.Case]:
    return make_cases()


def run(board: str, folder: Path, cases: list[nc.Case], *defines: str) -> None:
    """On a board, in pieces that fit its flash; each case must give what it must."""
    if (reason := emulator.available(board)) is not None:
        pytest.skip(f"board {board}: {reason}")
    blob = folder / "cases.bin"
    blob.write_bytes(b"".join(case.board_data() for case in cases))
    image = emulator.build(board, blob, folder, "nn", defines=defines, examples=PROBES, nn=True)
    result = emulator.run(board, image)
    assert result.exit_code == 0, result.output
    wrong = [line for line in result.output.splitlines() if "." in line]
    assert not wrong, wrong
    assert len(result.values) == len(cases)


@pytest.mark.parametrize(("board", "kernels"), VARIANTS, ids=str)
def test_int8_kernels(board: str, kernels: int | None, cases: list[nc.Case], tmp_path: Path) -> None:
    chosen = () if kernels is None else (f"-DNCD_NN_KERNELS={kernels}",)
    run(board, tmp_path, cases, "-DCASE_CELLS", *chosen)


@pytest.mark.parametrize("board", ["m4", "m7", "rv32"])
def test_float_kernels(board: str, tmp_path: Path) -> None:
    run(board, tmp_path, make_float_cases(), "-DCASE_F32", "-DARENA_BYTES=20000")
