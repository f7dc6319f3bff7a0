"""The inference kernels against numpy, on the host under sanitizers: random shapes, weights and settings."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
from pathlib import Path

import nn_cases as nc
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuralcodec

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
    command += ["-DCASE_CELLS", "-DCASE_F32", "-ffp-contract=off", *INCLUDES, "-o", str(out), *map(str, sources), "-lm"]
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
def test_conv(program: Path, *, window: nc.Window, coding: str, tile: int, checks: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    enough(window, coding)
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    w = nc.make_weights(shape, coding, tile, rng)
    x = random_int8(rng, window.in_h, window.in_w, window.in_c)
    requant = nc.make_requant(window.out_c, 64.0 * 64 * w.levels.shape[1] ** 0.5, rng)
    # With room for patches, and without.
    check(program, *(nc.conv_case("conv", window, w, requant, x, checks=checks, spare=n) for n in (0, 4000)))


@given(window=windows(depthwise=True), coding=codings, tile=st.integers(1, 300), checks=st.booleans(), seed=seeds)
def test_depthwise(program: Path, *, window: nc.Window, coding: str, tile: int, checks: bool, seed: int) -> None:
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
    program: Path, *, rows: int, cols: int, batch: int, coding: str, tile: int, checks: bool, seed: int
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


@given(st.integers(1, 40), st.integers(1, 7), seeds)
def test_layers_without_weights(program: Path, size: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [nc.add_case(rng, size), nc.rescale_case(rng, size), nc.softmax_case(rng, count, size)]
    cases += [nc.mul_case(rng, count, size, 1), nc.mul_case(rng, 1, count, size), nc.mul_case(rng, 2, size, count)]
    cases += [nc.mul_case(rng, 1, size, 1), nc.lookup_case(rng, size)]
    cases.append(nc.log_softmax_case(rng, count, size))
    for floats in (False, True):
        cases += [nc.concat_case(rng, count, size, floats), nc.flatten_case(rng, count, size, floats)]
    check(program, *cases)


def test_requantization_at_its_ends(program: Path) -> None:
    """Every shift, with sums and multipliers at the ends of their ranges, through a layer of one weight."""
    rng = np.random.default_rng(0)
    cases = []
    for shift in range(-31, 31):
        for multiplier in (0, 1 << 30, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31))):
            ends = [0, 1, -1, 2**31 - 1, -(2**31), 1 << 30, -(1 << 30), 3 << 29, -(3 << 29)]
            bias = np.array([*ends, *rng.integers(-(2**31), 2**31, 8), *(1 << rng.integers(0, 31, 8))])
            requant = nc.Requant(bias, np.array([multiplier]), np.array([shift]), 0, 3, -128, 127)
            w = nc.Weights(np.zeros((len(bias), 1), np.int8))
            cases.append(nc.linear_case(w, requant, np.zeros((1, 1), np.int8)))
    check(program, *cases)


def test_shifts_to_the_left_saturate(program: Path) -> None:
    """Scales of outputs far finer than those of inputs: all but 0 goes to its end, and to none beyond it."""
    rng = np.random.default_rng(1)
    window = nc.Window(9, 8, 5, 4, 4, 5, 3, 2, 2, 2, 1, 1)
    cases = []
    for by in range(31):
        x = random_int8(rng, 9, 8, 5)
        cases += [nc.add_case(rng, 60, by), nc.add_case(rng, 60, by + 20), nc.rescale_case(rng, 60, by)]
        cases += [nc.mul_case(rng, 2, 20, 1, by), nc.mul_case(rng, 1, 20, 2, by + 12)]
        cases += [nc.concat_case(rng, 3, 20, shift_by=by), nc.pool_case("average_pool", window, x, rng, by)]
    check(program, *cases)


@given(
    kind=st.sampled_from(["lstm", "gru"]),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 20)),
    coding=st.sampled_from(["plain", *nc.CODINGS]),
    tile=st.integers(1, 500),
    fraction=st.integers(0, 15),
    headroom=st.sampled_from([0, 0, 1, 2, 5, 12]),
    seed=seeds,
)
def test_cells(  # noqa: PLR0917
    program: Path, kind: str, sizes: tuple[int, int], coding: str, tile: int, fraction: int, headroom: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs, hidden = sizes
    gates = 4 if kind == "lstm" else 3
    if coding not in ("plain", "raw", "lossless"):
        hidden = max(hidden, 10)
        inputs = max(inputs, 10)
    w = nc.make_tensors([(gates * hidden, inputs), (gates * hidden, hidden)], coding, tile, rng)
    check(program, nc.cell_case(kind, w, 3, fraction, rng, headroom))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gates_far_beyond_their_range(program: Path, kind: str) -> None:
    """Multipliers that shift to the left by any number of bits: parts saturate, with either sign."""
    for extra in range(14, 40):
        rng = np.random.default_rng(extra)
        rows = (4 if kind == "lstm" else 3) * 5
        case = nc.cell_case(
            kind, nc.make_tensors([(rows, 7), (rows, 5)], "plain", 1, rng), 3, 11, rng, extra % 4, extra
        )
        assert case.blobs["shift"].max() > 0
        check(program, case)


def test_cells_with_too_much_headroom(program: Path) -> None:
    rng = np.random.default_rng(4)
    weights = nc.make_tensors([(20, 7), (20, 5)], "plain", 1, rng)
    check(program, with_status(nc.cell_case("lstm", weights, 1, 11, rng, 13), nc.ARG))


# ---- Floats ----


def check_floats(program: Path, *cases: nc.Case) -> None:
    """That each is right but for the rounding of sums."""
    for case, got in zip(cases, run(program, *cases), strict=True):
        if isinstance(case.expected, int):
            assert got == case.expected
        else:
            assert isinstance(got, bytes), f"status {got}"
            np.testing.assert_allclose(np.frombuffer(got, np.float32), case.expected.reshape(-1), rtol=1e-4, atol=1e-4)


float_codings = st.sampled_from(["plain", *nc.FLOAT_CODINGS])


@given(
    window=windows(),
    channelwise=windows(depthwise=True),
    depthwise=st.booleans(),
    coding=float_codings,
    tile=st.integers(1, 300),
    seed=seeds,
)
def test_windows_of_floats(
    program: Path, *, window: nc.Window, channelwise: nc.Window, depthwise: bool, coding: str, tile: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    window = channelwise if depthwise else window
    if coding == "columns":
        coding = "raw"
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    (w,) = nc.make_floats([shape], coding, tile, rng)
    check_floats(program, nc.conv_f32_case(window, w, rng))
    window.groups, window.out_c = 1, window.in_c
    check_floats(program, *(nc.pool_f32_case(kind, window, rng) for kind in ("max_pool", "average_pool")))


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 60)),
    batch=st.integers(1, 3),
    coding=float_codings,
    tile=st.integers(1, 300),
    seed=seeds,
)
def test_linear_layers_of_floats(
    program: Path, *, shape: tuple[int, int], batch: int, coding: str, tile: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    (w,) = nc.make_floats([shape], coding, tile, rng)
    check_floats(program, nc.linear_f32_case(w, batch, rng), *nc.elementwise_f32_cases(rng, batch, shape[1]))


@given(
    kind=st.sampled_from(["lstm", "gru"]),
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 15)),
    coding=float_codings,
    tile=st.integers(1, 300),
    seed=seeds,
)
def test_cells_of_floats(
    program: Path, *, kind: str, sizes: tuple[int, int], coding: str, tile: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = (4 if kind == "lstm" else 3) * sizes[1]
    w = nc.make_floats([(rows, sizes[0]), (rows, sizes[1])], coding, tile, rng)
    check_floats(program, nc.cell_f32_case(kind, w, 3, rng))


# ---- Bad input ----


def conv(coding: str = "huffman", kind: str = "conv") -> nc.Case:
    """A convolution that is fine."""
    rng = np.random.default_rng(1)
    groups = 32 if kind == "depthwise" else 1
    window = nc.Window(5, 5, 32, 5, 5, 32, 3, 3, 1, 1, 1, 1, 1, 1, groups)
    w = nc.make_weights((32, 32 // groups, 3, 3), coding, 100, rng)
    return nc.conv_case(kind, window, w, nc.make_requant(32, 1e5, rng), random_int8(rng, 5, 5, 32))


def linear(coding: str = "huffman", tile: int = 100) -> nc.Case:
    rng = np.random.default_rng(2)
    w = nc.make_weights((20, 40), coding, tile, rng)
    return nc.linear_case(w, nc.make_requant(20, 1e5, rng), random_int8(rng, 1, 40))


LAYERS = [
    conv,
    functools.partial(conv, "kmeans.fixed"),
    functools.partial(conv, kind="depthwise"),
    functools.partial(conv, "plain"),
    linear,
    functools.partial(linear, tile=16),
    functools.partial(linear, "columns"),
]


def with_status(case: nc.Case, status: int, **blobs: object) -> nc.Case:
    case.expected = status
    case.blobs.update(blobs)
    return case


@pytest.mark.parametrize("layer", LAYERS)
def test_too_little_scratch(program: Path, layer: functools.partial[nc.Case]) -> None:
    """One byte is missing: said, and nothing is written outside. What is documented suffices."""
    check(program, layer())
    for missing in (1, 4, 50, 10_000):
        case = layer()
        if case.fields[0] > 0:
            case.fields[0] = max(0, case.fields[0] - missing)
            check(program, with_status(case, nc.WORKSPACE))


@pytest.mark.parametrize("layer", [conv, linear])
def test_too_little_room_for_tables(program: Path, layer: functools.partial[nc.Case]) -> None:
    case = layer()
    case.fields[1] -= 4
    check(program, with_status(case, nc.WORKSPACE))


@pytest.mark.parametrize("layer", [conv, functools.partial(conv, kind="depthwise"), linear])
def test_another_tensor(program: Path, layer: functools.partial[nc.Case]) -> None:
    """The layer's shape is fine, but the stream's tensor has another one; or there is no such tensor."""
    rng = np.random.default_rng(3)
    other = nc.make_weights((30, 20), "huffman", 100, rng)
    check(program, with_status(layer(), nc.CORRUPT, stream=other.stream))
    case = layer()
    case.fields[3] = 1
    check(program, with_status(case, nc.ARG))


@pytest.mark.parametrize(
    "layer", [conv, functools.partial(conv, "kmeans.fixed"), linear, functools.partial(linear, tile=16)]
)
def test_damage_is_found_by_the_checks(program: Path, layer: functools.partial[nc.Case]) -> None:
    """Each bit of the payload's last bytes, one at a time: the checksum differs, or the codes do not end well."""
    cases = []
    for bit in range(80):
        case = layer()
        damaged = bytearray(case.blobs["stream"])
        damaged[-1 - bit // 8] ^= 1 << bit % 8
        case.blobs["stream"] = bytes(damaged)
        cases.append(case)
    for got in run(program, *cases):
        assert got in (nc.CHECKSUM, nc.CORRUPT)


def test_wrong_checks(program: Path) -> None:
    for layer in (conv, linear):
        case = layer()
        checks = case.blobs["checks"].copy()
        checks[-1] ^= 1
        check(program, with_status(case, nc.CHECKSUM, checks=checks))


def test_what_has_no_int8_levels(program: Path) -> None:
    """Floats, indices with float centroids, and levels of 16 bits."""
    source = {"w": torch.randn(20, 40, generator=torch.Generator().manual_seed(0))}
    wide = neuralcodec.encode(source, codec="trellis", scan="rows", coding="contexts", relative_step=1e-3)
    assert wide.levels("w")[0].dtype == torch.int16
    floats = neuralcodec.encode(source, codec="raw")
    indices = neuralcodec.encode(source, codec="kmeans", clusters=16, centroids="fp32", coding="fixed")
    for cm in (wide, floats, indices):
        case = linear()
        case.fields[0] = case.fields[1] = 100_000
        check(program, with_status(case, nc.UNSUPPORTED, stream=cm.to_bytes()))


def test_convolution_refuses_columns(program: Path) -> None:
    case = conv()
    case.fields[0] = case.fields[1] = 100_000
    w = nc.make_weights((32, 32, 3, 3), "columns", 100, np.random.default_rng(0))
    check(program, with_status(case, nc.UNSUPPORTED, stream=w.stream))


def test_bad_shapes(program: Path) -> None:
    """A field that must not be 0, groups that do not divide the channels, weights of another shape."""
    for place in (*range(8, 20), 22, 4, 5):
        for kind in ("conv", "depthwise"):
            case = conv(kind=kind)
            case.fields[place] = 0
            check(program, with_status(case, nc.ARG))
    for place, value in ((22, 3), (10, 31), (13, 31), (14, 4), (4, 31), (5, 200_000)):
        case = conv()
        case.fields[place] = value
        check(program, with_status(case, nc.ARG))
    case = conv(kind="depthwise")
    case.fields[22] = 16
    check(program, with_status(case, nc.ARG))
    case = linear()
    case.fields[8] = 0
    check(program, with_status(case, nc.ARG))
