"""The golden vectors, through every decoder there is. Only tests/vectors/make_vectors.py writes them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuralcodec import reference
from neuralcodec.errors import BitstreamError, NeuralCodecError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "vectors"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
VECTORS = MANIFEST["valid"] + MANIFEST["invalid"]


@dataclass
class Outcome:
    """What a decoder made of a vector; ``tensors`` and ``elements`` stay None where it does not tell."""

    error: str | None = None
    crc32: str | None = None
    tensors: int | None = None
    elements: list[str | None] | None = None


def outcome_of(decode, path: Path) -> Outcome:
    """Runs a decoder in Python, which gives for each tensor its output and its element bytes, or None if it is tied."""
    try:
        tensors = decode(path)
    except BitstreamError as error:
        return Outcome(error=type(error).__name__.removesuffix("Error").upper())
    return Outcome(
        crc32=f"{zlib.crc32(b''.join(tensor[0] for tensor in tensors if tensor)):08x}",
        tensors=len(tensors),
        elements=[hashlib.sha256(tensor[1]).hexdigest() if tensor else None for tensor in tensors],
    )


def with_reference(path: Path):
    stream = reference.read_stream(path.read_bytes()) if path.suffix == ".ncd" else reference.read_file(path)
    tensors = []
    for tensor in stream.tensors:
        if tensor.target is not None:
            tensors.append(None)
            continue
        elements = reference.decode_bytes(tensor)
        if reference.has_levels(tensor):
            size, tiles = reference.size_of_level(tensor), range(reference.number_of_tiles(tensor))
            levels = [level for i in tiles for level in reference.decode_tile_levels(tensor, i)]
            output = b"".join(level.to_bytes(size, "little", signed=True) for level in levels)
        else:
            output = bytes(reference.decode_indices(tensor)) if reference.has_indices(tensor) else elements
        tensors.append((output, elements))
    return tensors


def with_extension(path: Path):
    from neuralcodec import load
    from neuralcodec.stream.reader import StreamReader

    if path.suffix == ".ncd":
        data = path.read_bytes()
        reader = StreamReader(lambda offset, size: data[offset : offset + size], len(data))
    else:
        reader = load(path)._reader
    tensors = []
    for entry in reader.entries:
        if entry.tied_to is not None:
            tensors.append(None)
            continue
        elements = reader.decode(entry).data.tobytes()
        tensors.append((output_of(reader, entry, elements), elements))
    return tensors


def output_of(reader, entry, elements: bytes) -> bytes:
    if reader.is_lossless(entry):
        return elements
    try:
        levels = reader.levels(entry)[0]
        return (levels.T if reader.is_down_columns(entry) else levels).contiguous().reshape(-1).numpy().tobytes()
    except NeuralCodecError:
        return reader.indices(entry)[0].numpy().tobytes()


def reference_decoder(path: Path) -> Outcome:
    return outcome_of(with_reference, path)


def extension_decoder(path: Path) -> Outcome:
    return outcome_of(with_extension, path)


@pytest.fixture(scope="session")
def c_program(tmp_path_factory) -> str:
    """firmware_decoder/tests/vectors.c: $NCD_VECTORS, or built here."""
    return os.environ.get("NCD_VECTORS") or build(tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="session")
def lean_c_program(tmp_path_factory) -> str:
    """The same as microcontrollers have it."""
    return build(tmp_path_factory.mktemp("lean"), "-DNCD_FULL_CHECK=0", "-DNCD_HUFFMAN_LOOKUP_BITS=8")


def build(folder: Path, *options: str) -> str:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    program = folder / "vectors"
    decoder = ROOT / "firmware_decoder"
    sources = [*sorted((decoder / "src").glob("*.c")), decoder / "tests" / "vectors.c"]
    command = [compiler, "-std=c99", "-O1", "-ffp-contract=off", *options, f"-I{decoder / 'include'}"]
    subprocess.run([*command, *map(str, sources), "-o", str(program), "-lm"], check=True)
    return str(program)


def c_decoder(program: str, path: Path, folder: Path) -> Outcome:
    """The stream alone is what firmware sees of a file."""
    if path.suffix != ".ncd":
        data = path.read_bytes()
        path = folder / "inner.ncd"
        path.write_bytes(data[8 + int.from_bytes(data[:8], "little") :])
    done = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    word, what = done.stdout.split()
    if word == "ok":
        return Outcome(crc32=what)
    assert word == "error"
    return Outcome(error=what.removeprefix("NCD_ERR_"))


@pytest.fixture(params=["reference", "extension", "c", "lean"])
def decoder(request, tmp_path):
    """A decoder: a function from a path to an outcome."""
    if request.param == "reference":
        decode = reference_decoder
    elif request.param == "extension":
        pytest.importorskip("neuralcodec._native")
        decode = extension_decoder
    else:
        program = request.getfixturevalue("c_program" if request.param == "c" else "lean_c_program")

        def decode(path):
            return c_decoder(program, path, tmp_path)

    decode_name = request.param

    def run(entry) -> Outcome:
        return decode(FOLDER / entry["file"])

    run.name = decode_name
    return run


def by_name(entry):
    return entry["file"].split("/")[1]


@pytest.mark.parametrize("entry", MANIFEST["valid"], ids=by_name)
def test_valid(decoder, entry):
    outcome = decoder(entry)
    assert outcome.error is None
    assert outcome.crc32 == entry["crc32"]
    if outcome.elements is not None:
        assert outcome.tensors == entry["tensors"]
        assert outcome.elements == entry["elements"]


STREAMS = [entry for entry in MANIFEST["invalid"] if entry["file"].endswith(".ncd")]
FILES = [entry for entry in MANIFEST["invalid"] if entry not in STREAMS]


@pytest.mark.parametrize("entry", FILES, ids=by_name)
@pytest.mark.parametrize("decoder", ["reference", "extension"], indirect=True)  # firmware does not see files
def test_invalid_file(decoder, entry):
    assert decoder(entry).error == entry["error"]


@pytest.mark.parametrize("entry", STREAMS, ids=by_name)
def test_invalid_stream(decoder, entry):
    outcome = decoder(entry)
    may_accept = entry.get("may_accept")
    if decoder.name == "lean" and may_accept == "lean":
        return  # it must stay safe, no more
    if outcome.error is None and may_accept in (("firmware", "any") if decoder.name in ("c", "lean") else ("any",)):
        return
    assert outcome.error == entry["error"]


def test_manifest_lists_the_files():
    on_disk = {p.relative_to(FOLDER).as_posix() for kind in ("valid", "invalid") for p in (FOLDER / kind).iterdir()}
    listed = [entry["file"] for entry in VECTORS]
    assert len(listed) == len(set(listed))
    assert on_disk == set(listed)


def test_files_are_what_they_were():
    for entry in VECTORS:
        assert hashlib.sha256((FOLDER / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]


def test_files_are_small():
    assert sum((FOLDER / entry["file"]).stat().st_size for entry in VECTORS) < 300_000


def test_script_describes_the_files():
    """Of neuralcodec it takes the second decoder's model of codec 6 and no more, and it would write nothing."""
    script = FOLDER / "make_vectors.py"
    done = subprocess.run(
        [sys.executable, "-I", str(script), "--check"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_script_keeps_a_vector_that_differs(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from make_vectors import Vector, write

    empty, names = (Vector(f"valid/{name}.ncd", name.encode(), {"crc32": "00000000"}) for name in ("empty", "names"))
    gone = tmp_path / "valid" / "gone.ncd"
    assert write([empty], tmp_path) == 0
    victim = tmp_path / empty.file
    victim.write_bytes(b"other")
    manifest = (tmp_path / "manifest.json").read_bytes()
    gone.write_bytes(b"")
    capsys.readouterr()
    assert write([empty, names], tmp_path) == 1
    assert "valid/empty.ncd: differs\nvalid/gone.ncd: is described no more\n" in capsys.readouterr().err
    assert victim.read_bytes() == b"other"
    assert not (tmp_path / names.file).exists()
    gone.unlink()
    assert write([empty, names], tmp_path, [empty.file], check=True) == 1
    assert (tmp_path / "manifest.json").read_bytes() == manifest
    assert write([empty, names], tmp_path, [empty.file]) == 0
    assert victim.read_bytes() == empty.data
    assert (tmp_path / names.file).read_bytes() == names.data
    assert write([empty, names], tmp_path, check=True) == 0
