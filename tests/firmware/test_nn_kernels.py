"""The inference kernels against numpy, on the host under sanitizers: random shapes, weights and settings."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import nn_cases as nc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_decoder"
PROBE = Path(__file__).parent / "probes" / "nn"
INCLUDES = [f"-I{FIRMWARE}/include", f"-I{FIRMWARE}/nn/include"]
WARN = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs cases under AddressSanitizer and UndefinedBehaviorSanitizer."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc")
    out = tmp_path_factory.mktemp("nn") / "cases"
    sources = [*FIRMWARE.glob("src/*.c"), *FIRMWARE.glob("nn/src/*.c"), *PROBE.glob("*.c")]
    command = ["cc", "-std=c99", "-g", "-O1", *WARN, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += ["-ffp-contract=off", *INCLUDES, "-o", str(out), *map(str, sources), "-lm"]
    subprocess.run(command, check=True)
    return out


def run(program: Path, *cases: nc.Case) -> list[int | bytes]:
    """Statuses or outputs."""
    sent = b"".join(struct.pack("<I", len(data)) + data for data in (case.data() for case in cases))
    done = subprocess.run([program], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return nc.host_outputs(done.stdout)


def check(program: Path, *cases: nc.Case) -> None:
    """That each gives exactly what it must."""
    for case, got in zip(cases, run(program, *cases), strict=True):
        if isinstance(case.expected, int):
            assert got == case.expected
        else:
            assert isinstance(got, bytes), f"status {got}"
            np.testing.assert_array_equal(np.frombuffer(got, case.expected.dtype), case.expected.reshape(-1))


seeds = st.integers(0, 2**32 - 1)
codings = st.sampled_from(["plain", *(c for c in nc.CODINGS if c != "columns")])


def random_int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """All values, with runs of the least and the greatest."""
    if rng.integers(5) == 0:
        return np.full(shape, rng.choice([-128, 127]), np.int8)
    return rng.integers(-128, 128, shape).astype(np.int8)


@st.composite
def windows(draw: st.DrawFn, depthwise: bool = False) -> nc.Window:
    """Any shape whose output exists; padding may be larger than the kernel."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 2), (2, 1), (3, 2)]))
    size = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    pad = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    after = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    out = [
        max(1, (s + p + a - (k - 1) * d - 1) // t + 1)
        for s, p, a, k, d, t in zip(size, pad, after, kernel, dilation, stride, strict=True)
    ]
    groups = draw(st.integers(1, 11)) if depthwise else draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = 1 if depthwise else draw(st.sampled_from([1, 2, 3, 4, 7, 16, 17]))
    times = draw(st.sampled_from([1, 1, 1, 2])) if depthwise else draw(st.integers(1, 9))
    return nc.Window(
        size[0], size[1], groups * channels, out[0], out[1], groups * times, *kernel, *stride, *dilation, *pad, groups
    )


def enough(window: nc.Window, coding: str) -> nc.Window:
    """With output channels enough for a lossy coding."""
    cols = window.taps * window.in_c // window.groups
    if coding not in ("plain", "raw", "lossless"):
        while window.out_c * cols < nc.MIN_WEIGHTS:
            window.out_c += window.groups
    return window


@given(window=windows(), coding=codings, tile=st.integers(1, 300), checks=st.booleans(), seed=seeds)
def test_conv(program: Path, window: nc.Window, coding: str, tile: int, checks: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    enough(window, coding)
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    w = nc.make_weights(shape, coding, tile, rng)
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    requant = nc.make_requant(window.out_c, 64.0 * 64 * w.levels.shape[1] ** 0.5, rng)
    check(program, nc.conv_case("conv", window, w, requant, x, checks=checks))


@given(window=windows(depthwise=True), coding=codings, tile=st.integers(1, 300), checks=st.booleans(), seed=seeds)
def test_depthwise(program: Path, window: nc.Window, coding: str, tile: int, checks: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if coding not in ("plain", "raw", "lossless"):
        times = window.out_c // window.groups
        window.groups += -(-nc.MIN_WEIGHTS // (window.taps * times))
        window.in_c, window.out_c = window.groups, window.groups * times
    w = nc.make_weights((window.out_c, 1, window.kernel_h, window.kernel_w), coding, tile, rng)
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    requant = nc.make_requant(window.out_c, 64.0 * 64 * window.taps**0.5, rng)
    check(program, *(nc.conv_case(kind, window, w, requant, x, checks=checks) for kind in ("depthwise", "conv")))


@given(
    rows=st.integers(1, 40),
    cols=st.integers(1, 300),
    batch=st.integers(1, 3),
    coding=st.sampled_from(["plain", *nc.CODINGS]),
    tile=st.integers(1, 700),
    checks=st.booleans(),
    seed=seeds,
)
def test_linear(
    program: Path, rows: int, cols: int, batch: int, coding: str, tile: int, checks: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    if coding not in ("plain", "raw", "lossless"):
        rows = max(rows, -(-nc.MIN_WEIGHTS // cols))
    w = nc.make_weights((rows, cols), coding, tile, rng)
    requant = nc.make_requant(rows, 64.0 * 64 * cols**0.5, rng)
    check(program, nc.linear_case(w, requant, random_int8(rng, batch, cols), checks=checks))


@given(window=windows(depthwise=True), kind=st.sampled_from(["max_pool", "average_pool"]), seed=seeds)
def test_pools(program: Path, window: nc.Window, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    window.groups, window.out_c = 1, window.in_c
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    check(program, nc.pool_case(kind, window, x, rng))
