"""Codec trellis on every board: a real network and each coding, as both decoders of the host decode them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import emulator
import pytest
import torch
from host import crc_by_extension, in_order

import neuralcodec
from neuralcodec import Target, reference

pytestmark = pytest.mark.firmware


@pytest.fixture(scope="session")
def default(silero_path: Path) -> neuralcodec.CompressedModel:
    """As encode() does it; some of its tensors have levels of 16 bits."""
    return neuralcodec.encode(silero_path)


@pytest.fixture(scope="session")
def default_crc(default: neuralcodec.CompressedModel) -> int:
    """Of what the plain Python decoder gives; takes seconds, once."""
    crc = 0
    for tensor in reference.read_stream(default.to_bytes()).tensors:
        if tensor.target is not None:
            continue
        if reference.has_levels(tensor):
            kind = default.levels(tensor.name)[0].dtype
            levels = torch.tensor(reference.decode_levels(tensor), dtype=torch.int32).to(kind)
            crc = zlib.crc32(in_order(default, tensor.name, levels), crc)
        else:
            crc = zlib.crc32(reference.decode_bytes(tensor), crc)
    return crc


@pytest.fixture(scope="session")
def mixed() -> neuralcodec.CompressedModel:
    """Tensors of bell-shaped weights, one for each coding, scan and width of levels."""
    states, overrides = {}, {}
    for i, coding in enumerate(("contexts", "rans", "prefix", "light")):
        for states_, step in ((4, 0.5), (256, 0.1), (1, 0.3), (8, 0.002)):
            name = f"{coding}.{states_}"
            states[name] = torch.randn(31, 67, generator=torch.Generator().manual_seed(100 * i + states_))
            scan = "columns" if states_ == 4 else "rows"
            overrides[name] = {"coding": coding, "states": states_, "relative_step": step, "scan": scan}
    return neuralcodec.encode(states, tile=300, overrides=overrides)


def decode_on(board: str, cm: neuralcodec.CompressedModel, out: Path, defines: Sequence[str] = ()) -> emulator.Result:
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out, defines=defines))
    assert result.exit_code == 0, result.output
    assert 0 < result.number("stack_bytes") <= 512
    return result


def test_a_real_network(board: str, out: Path, default: neuralcodec.CompressedModel, default_crc: int) -> None:
    assert default_crc == crc_by_extension(default)
    # The smallest flash has no room for codecs that the model does not use.
    without = [f"-DNCD_ENABLE_{codec}=0" for codec in ("AUTOENCODER", "REGRESSION")] if board == "m0" else []
    result = decode_on(board, default, out, without)
    assert result.number("crc32") == default_crc
    assert result.number("trellis.weights") > 300_000


def test_every_coding(board: str, out: Path, mixed: neuralcodec.CompressedModel) -> None:
    result = decode_on(board, mixed, out)
    assert result.number("crc32") == crc_by_extension(mixed)
    assert result.number("trellis.weights") == 16 * 31 * 67


@pytest.mark.parametrize("board", ["m0", "m4"], indirect=True)
@pytest.mark.parametrize(
    ("coding", "limits"),
    [("contexts", (85, 49)), ("light", (22, 16)), ("rans", (22, 16)), ("prefix", (22, 12))],
    ids=["c", "l", "r", "p"],
)
def test_instructions_a_weight(board: str, out: Path, coding: str, limits: tuple[float, float]) -> None:
    """As fast as docs say: Gaussian weights at 3 bits."""
    source = torch.randn(128, 1024, generator=torch.Generator().manual_seed(0))
    cm = neuralcodec.encode({"w": source}, coding=coding, target=Target(bits_per_weight=3), states=8)
    result = decode_on(board, cm, out)
    assert result.number("trellis.per_weight_x100") <= 100 * limits[board == "m4"]


@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
@pytest.mark.parametrize("board", ["m4"], indirect=True)
def test_the_room_that_is_exported_suffices(board: str, out: Path, coding: str) -> None:
    source = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    cm = neuralcodec.encode({"w": source}, coding=coding, relative_step=0.3)
    result = decode_on(board, cm, out)
    assert result.number("table_bytes") == cm.demand().slots


@pytest.mark.parametrize(("states", "wide"), [(16, False), (32, True)])
@pytest.mark.parametrize("board", ["m0", "m4"], indirect=True)
def test_prefix_codes_of_few_states_take_half_the_table(board: str, out: Path, states: int, wide: bool) -> None:
    source = {"w": torch.randn(64, 256, generator=torch.Generator().manual_seed(0))}
    cm = neuralcodec.encode(source, coding="prefix", states=states, relative_step=0.3)
    (blob := out / "prefix.ncd").write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.number("crc32") == crc_by_extension(cm)
    assert result.number("table_bytes") == (24 + 2 * 1024 if wide else 24 + 2 * 512)
    without = emulator.run(board, emulator.build(board, blob, out, defines=("-DNCD_TRELLIS_WIDE_CODES=0",)))
    if wide:
        assert without.exit_code, without.output
        assert without.values["error.status"] == "-4"
    else:
        assert without.number("crc32") == crc_by_extension(cm)


@pytest.mark.parametrize("coding", ["contexts", "light", "prefix"])
@pytest.mark.parametrize("board", ["m0", "m4", "rv32"], indirect=True)
def test_rows_that_are_left_out_take_little_time(board: str, out: Path, coding: str) -> None:
    source = torch.randn(128, 512, generator=torch.Generator().manual_seed(0))
    source[torch.arange(128) // 4 % 4 != 1] = 0
    found, whole = (
        neuralcodec.encode({"w": source}, coding=coding, relative_step=0.5, skip=skip, scan="rows")
        for skip in (True, False)
    )
    result = decode_on(board, found, out)
    assert result.number("crc32") == crc_by_extension(found)
    usual = decode_on(board, whole, out).number("trellis.per_weight_x100")
    assert result.number("trellis.per_weight_x100") < 0.75 * usual
    (blob := out / "model.ncd").write_bytes(found.to_bytes(names=False))
    without = emulator.run(board, emulator.build(board, blob, out, defines=("-DNCD_TRELLIS_SKIP=0",)))
    assert without.values["error.status"] == "-4"


CODINGS = ("contexts", "light", "rans", "prefix")
ONLY = {kept: tuple(f"-DNCD_TRELLIS_{other.upper()}=0" for other in CODINGS if other != kept) for kept in CODINGS}
"""Macros for decoders of one coding."""

MORE = {"contexts": {"rans"}}
"""What such a decoder can do besides."""


@pytest.mark.parametrize("compiled", ONLY)
@pytest.mark.parametrize("board", ["m0", "m4"], indirect=True)
def test_a_decoder_of_one_coding(board: str, out: Path, compiled: str) -> None:
    """It decodes what it is for and refuses the rest."""
    for coding in ONLY if board == "m4" else (compiled,):
        source = {"w": torch.randn(64, 256, generator=torch.Generator().manual_seed(0))}
        cm = neuralcodec.encode(source, coding=coding, relative_step=0.3)
        (blob := out / f"{coding}.ncd").write_bytes(cm.to_bytes(names=False))
        image = emulator.build(board, blob, out, defines=ONLY[compiled])
        result = emulator.run(board, image)
        if coding == compiled or coding in MORE.get(compiled, ()):
            assert result.exit_code == 0, result.output
            assert result.number("crc32") == crc_by_extension(cm)
        else:
            assert result.exit_code, result.output
            assert result.values["error.status"] == "-4"


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("board", ["m0", "m4"], indirect=True)
def test_light_without_open_ends_takes_the_same_time_at_any_rate(board: str, out: Path, bits: int) -> None:
    """Weights some of which lie far out, for which tables have open ends else."""
    generator = torch.Generator().manual_seed(0)
    bell = torch.randn(128, 512, generator=generator)
    source = torch.where(torch.rand(bell.shape, generator=generator) < 0.01, 4 * bell, bell)
    cm = neuralcodec.encode({"w": source}, coding="light", open_ends=False, target=Target(bits_per_weight=bits))
    result = decode_on(board, cm, out)
    assert result.number("crc32") == crc_by_extension(cm)
    assert result.number("trellis.per_weight_x100") <= (2200 if board == "m0" else 1450)
