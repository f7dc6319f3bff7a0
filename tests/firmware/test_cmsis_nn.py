"""The adapter to CMSIS-NN against numpy, on a host under sanitizers.

CMSIS-NN is not here: plain loops with the meaning that its documentation gives stand in for it, once as on a core with
MVE, whose kernels take sums from a buffer.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nn_cases as nc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_nn_kernels import FIRMWARE, INCLUDES, PROBE, WARN, check, codings, enough, random_int8, seeds, windows

STAND_IN = Path(__file__).parent / "cmsis_nn"
ADAPTER = FIRMWARE / "nn" / "adapters"
RENAMED = {"linear": "ncd_nn_run_linear_s8", "conv": "ncd_nn_run_conv_s8", "depthwise": "ncd_nn_run_depthwise_s8"}


@pytest.fixture(scope="module", params=[[], ["-DSTAND_IN_MVE"]], ids=["plain", "mve"])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs cases through the adapter, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc")
    folder = tmp_path_factory.mktemp("cmsis_nn")
    compiler = ["cc", "-std=c99", "-g", "-O1", *WARN, "-Wpedantic", "-fsanitize=address,undefined"]
    compiler += ["-fno-sanitize-recover=all", "-ffp-contract=off", *INCLUDES, f"-I{STAND_IN}", f"-I{ADAPTER}"]
    # The cases' layers are the adapter's: only there are the kernels' names others.
    names = [f"-D{name}=exact_{kind}" for kind, name in RENAMED.items()]
    case = folder / "case.o"
    subprocess.run([*compiler, *names, "-c", str(PROBE / "case.c"), "-o", str(case)], check=True)
    sources = [*FIRMWARE.glob("src/*.c"), *FIRMWARE.glob("nn/src/*.c"), PROBE / "main.c", ADAPTER / "cmsis_nn.c"]
    sources += [*STAND_IN.glob("*.c"), case]
    out = folder / "cases"
    subprocess.run([*compiler, *request.param, *map(str, sources), "-o", str(out), "-lm"], check=True)
    return out


@pytest.mark.parametrize(
    "compiler",
    [
        "cc -x c++ -std=c++11",
        "arm-none-eabi-gcc -std=c99 -mcpu=cortex-m0 -mthumb",
        "arm-none-eabi-gcc -mcpu=cortex-m55",
    ],
)
def test_it_compiles_as_the_kernels_do(tmp_path: Path, compiler: str) -> None:
    command = [*compiler.split(), "-O2", *WARN, "-Wpedantic", "-ffreestanding", *INCLUDES, f"-I{STAND_IN}"]
    if shutil.which(command[0]) is None:
        pytest.skip(f"not installed: {command[0]}")
    source, made = ADAPTER / "cmsis_nn.c", tmp_path / "cmsis_nn.o"
    done = subprocess.run([*command, "-c", str(source), "-o", str(made)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_size > 0


@given(
    rows=st.integers(1, 40),
    cols=st.integers(1, 300),
    coding=st.sampled_from(["plain", *nc.CODINGS]),
    tile=st.integers(1, 700),
    seed=seeds,
)
def test_linear(adapter: Path, rows: int, cols: int, coding: str, tile: int, seed: int) -> None:  # noqa: PLR0917
    rng = np.random.default_rng(seed)
    batch = int(rng.integers(1, 4))
    if coding not in ("plain", "raw", "lossless"):
        rows = max(rows, -(-nc.MIN_WEIGHTS // cols))
    w = nc.make_weights((rows, cols), coding, tile, rng)
    case = nc.linear_case(w, nc.make_requant(rows, 64.0 * 64 * cols**0.5, rng), random_int8(rng, batch, cols))
    if coding == "columns":
        case.expected = nc.UNSUPPORTED
    check(adapter, case)


@given(window=windows(), coding=codings, tile=st.integers(1, 300), seed=seeds)
def test_conv(adapter: Path, window: nc.Window, coding: str, tile: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spare = int(rng.integers(40))  # says how many channels at a time; see exact.c
    enough(window, coding)
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    w = nc.make_weights(shape, coding, tile, rng)
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    requant = nc.make_requant(window.out_c, 64.0 * 64 * w.levels.shape[1] ** 0.5, rng)
    case = nc.conv_case("conv", window, w, requant, x, spare=spare)
    if window.groups > 1:
        case.expected = nc.UNSUPPORTED
    check(adapter, case)


@given(window=windows(depthwise=True), coding=codings, tile=st.integers(1, 300), seed=seeds)
def test_depthwise(adapter: Path, window: nc.Window, coding: str, tile: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if coding not in ("plain", "raw", "lossless"):
        times = window.out_c // window.groups
        window.groups += -(-nc.MIN_WEIGHTS // (window.taps * times))
        window.in_c, window.out_c = window.groups, window.groups * times
    w = nc.make_weights((window.out_c, 1, window.kernel_h, window.kernel_w), coding, tile, rng)
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    requant = nc.make_requant(window.out_c, 64.0 * 64 * window.taps**0.5, rng)
    check(adapter, nc.conv_case("depthwise", window, w, requant, x))


@pytest.mark.parametrize("coding", ["huffman", "kmeans.fixed", "raw"])
@pytest.mark.parametrize("tile", [20, 200])
def test_pointwise(adapter: Path, coding: str, tile: int) -> None:
    """CMSIS-NN's kernel for 1x1 goes through all rows of the input that it is given, whatever the output's size."""
    rng = np.random.default_rng(3)
    window = nc.Window(6, 7, 40, 6, 7, 24, 1, 1)
    w = nc.make_weights((24, 40, 1, 1), coding, tile, rng)
    x, requant = random_int8(rng, 6, 7, 40), nc.make_requant(24, 1e5, rng)
    check(adapter, *(nc.conv_case("conv", window, w, requant, x, spare=spare) for spare in range(6)))


@pytest.mark.parametrize("pad", [0, 2, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_rows_that_read_nothing(adapter: Path, pad: int, dilation: int) -> None:
    """With more padding than the kernel is high, above and below."""
    rng = np.random.default_rng(4)
    window = nc.Window(3, 4, 8, 3 + 2 * pad, 4, 16, 3, 3, 1, 1, dilation, 1, pad, 1)
    w = nc.make_weights((16, 8, 3, 3), "huffman", 100, rng)
    x, requant = random_int8(rng, 3, 4, 8), nc.make_requant(16, 1e5, rng)
    check(adapter, *(nc.conv_case("conv", window, w, requant, x, spare=spare) for spare in range(6)))


def test_errors_come_through(adapter: Path) -> None:
    rng = np.random.default_rng(1)
    window = nc.Window(5, 5, 32, 5, 5, 32, 3, 3, 1, 1, 1, 1, 1, 1)
    w = nc.make_weights((32, 32, 3, 3), "huffman", 100, rng)
    x = random_int8(rng, 5, 5, 32)
    cases = [nc.conv_case("conv", window, w, nc.make_requant(32, 1e5, rng), x) for _ in range(3)]
    w2 = nc.make_weights((20, 40), "huffman", 100, rng)
    cases += [nc.linear_case(w2, nc.make_requant(20, 1e5, rng), random_int8(rng, 1, 40)) for _ in range(2)]
    cases[1].blobs["checks"] = cases[1].blobs["checks"] ^ np.uint16(1)
    cases[1].expected = nc.CHECKSUM
    cases[2].fields[4] = 31  # rows of the layer, but not of the tensor
    cases[2].expected = nc.ARG
    cases[4].fields[8] = 0  # no vectors
    cases[4].expected = nc.ARG
    check(adapter, *cases)
