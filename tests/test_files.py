"""Files: damage is noticed and named, and nothing is lost while one is written."""

import json
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from samples import weights

import neuralcodec
from neuralcodec import BitstreamError, ChecksumError, CorruptError, TruncatedError, UnsupportedError
from neuralcodec.container import check_output
from neuralcodec.container import reader as container_reader
from neuralcodec.stream.store import PayloadStore


@pytest.fixture
def model():
    return {
        "a.weight": weights(40, 60),
        "a.bias": weights(40),
        "b.weight": weights(30, 50, seed=1, dtype=torch.bfloat16),
        "steps": torch.tensor(7),
    }


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "m.safetensors"
    neuralcodec.save(neuralcodec.encode(model, tile=256), path)
    return path


def outcome(path):
    """The decoded bytes, or the error."""
    try:
        decoded = neuralcodec.decode(path)
    except BitstreamError as error:
        return error
    return {n: t.reshape(-1).view(torch.uint8).numpy().tobytes() for n, t in decoded.items()}


def test_every_truncation_is_an_error(saved, tmp_path):
    data = saved.read_bytes()
    for size in [*range(0, 400), *range(400, len(data), 37), len(data) - 1]:
        short = tmp_path / "short.safetensors"
        short.write_bytes(data[:size])
        assert isinstance(outcome(short), BitstreamError), size


def test_a_byte_too_many_is_an_error(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    assert isinstance(outcome(saved), BitstreamError)


def test_no_flipped_bit_gives_a_wrong_answer(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    truth = outcome(saved)
    rng = np.random.default_rng(1)
    places = [*range(0, min(8 * 700, 8 * len(data)), 3), *rng.integers(0, 8 * len(data), 700)]
    flipped = tmp_path / "flipped.safetensors"
    for place in places:
        data[place // 8] ^= 1 << (place % 8)
        flipped.write_bytes(data)
        seen = outcome(flipped)
        assert isinstance(seen, BitstreamError) or seen == truth, place
        data[place // 8] ^= 1 << (place % 8)


def test_damage_names_the_tensor_and_the_offset(saved):
    data = bytearray(saved.read_bytes())
    data[-1] ^= 0xFF  # in the payload of the last tensor
    saved.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"tensor 'steps', offset \d+") as caught:
        neuralcodec.decode(saved)
    assert caught.value.tensor == "steps"
    assert 0 < caught.value.offset < len(data)
    cm = neuralcodec.load(saved)
    assert cm.decode("a.weight").shape == (40, 60)  # the others are still there
    with pytest.raises(ChecksumError):
        cm.decode_tile("steps", 0)
    with pytest.raises(ChecksumError):
        neuralcodec.load(saved, lazy=False)


def test_files_that_are_not_ours(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"")
    with pytest.raises(TruncatedError):
        neuralcodec.load(path)
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(CorruptError, match="not a safetensors file"):
        neuralcodec.load(path)
    save_file({"w": torch.ones(3)}, path)
    with pytest.raises(CorruptError, match="not one that neuralcodec wrote"):
        neuralcodec.load(path)
    with pytest.raises(FileNotFoundError):
        neuralcodec.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        neuralcodec.load(tmp_path)


def test_a_newer_version_is_refused(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    stream = data.index(b"NCDM")
    data[stream + 4] = 2
    saved.write_bytes(data)
    with pytest.raises(UnsupportedError, match="version"):
        neuralcodec.load(saved)
    text = json.loads(data[8:stream])
    text["__metadata__"]["neuralcodec"] = "2 12345678"
    head = json.dumps(text).encode()
    saved.write_bytes(struct.pack("<Q", len(head)) + head + data[stream:])
    with pytest.raises(UnsupportedError, match="upgrade"):
        neuralcodec.load(saved)


def test_a_huge_claim_costs_no_memory(tmp_path):
    """A header that promises far more than its payload can hold is refused before anything is allocated."""
    sys.path.insert(0, str(tmp_path.parent))
    cm = neuralcodec.encode({"w": weights(40, 60)})
    stream = bytearray(cm.to_bytes())
    place = stream.index(bytes([1, 2, 40, 60]))  # dtype f32, two dimensions
    import zlib

    grown = stream[: place + 2] + b"\xff\xff\xff\x7f" + b"\xff\x7f" + stream[place + 4 :]
    (size,) = struct.unpack("<I", grown[8:12])
    grown[8:12] = struct.pack("<I", size + 4)
    crc = zlib.crc32(bytes(grown[16 : size + 4]), zlib.crc32(bytes(grown[:12])))
    grown[12:16] = struct.pack("<I", crc)
    save_file(
        {"neuralcodec": torch.frombuffer(bytearray(grown), dtype=torch.uint8)},
        tmp_path / "x",
        {"neuralcodec": "1 a3830348"},
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((CorruptError, ChecksumError)):
        neuralcodec.decode(tmp_path / "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_an_opened_file_survives_its_replacement(saved, model):
    cm = neuralcodec.load(saved)
    neuralcodec.save(neuralcodec.encode({"other": weights(300, 300)}), saved)
    assert torch.equal(cm.decode("a.bias"), model["a.bias"])
    neuralcodec.save(cm, saved)  # over the file that is now there
    assert torch.equal(neuralcodec.decode(saved)["a.bias"], model["a.bias"])


def test_saving_a_loaded_model_gives_the_same_bytes(saved, tmp_path):
    neuralcodec.save(neuralcodec.load(saved), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


SAVE_BIG = """
    import os, resource, signal, sys
    import numpy as np
    import neuralcodec
    from neuralcodec.container import writer
    cm = neuralcodec.encode({"w": np.random.default_rng(0).standard_normal((500, 500)).astype("f4")}, lossless=True)
"""


def run(code, path):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=False
    )


def test_a_full_disk_leaves_the_old_file(saved):
    before = saved.read_bytes()
    # A limit on file sizes fails writes as a full disk does.
    done = run(
        SAVE_BIG
        + """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        neuralcodec.save(cm, sys.argv[1])
    except OSError as error:
        print("refused:", error)
    """,
        saved,
    )
    assert "refused:" in done.stdout, done
    assert str(saved) in done.stdout  # and not the temporary file
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # and no litter


def test_a_kill_during_save_leaves_the_old_file(saved):
    before = saved.read_bytes()
    done = run(
        SAVE_BIG
        + """
    pieces = list(cm.chunks())
    def dies():
        yield pieces[0]
        os.kill(os.getpid(), signal.SIGKILL)
    writer.save_stream(__import__("pathlib").Path(sys.argv[1]), dies(), cm.stream_size, 1, {})
    """,
        saved,
    )
    assert done.returncode == -signal.SIGKILL, done
    assert saved.read_bytes() == before


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(saved, tmp_path):
    os.chmod(saved, 0o640)
    link = tmp_path / "link"
    link.symlink_to(saved)
    neuralcodec.save(neuralcodec.encode({"w": weights(3)}), link)
    assert link.is_symlink()
    assert saved.stat().st_mode & 0o777 == 0o640
    assert set(neuralcodec.decode(saved)) == {"w"}


def test_a_pipe_stays_a_pipe(saved, tmp_path):
    pipe, cm = tmp_path / "pipe", neuralcodec.load(saved)
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with ThreadPoolExecutor() as pool:
            read = pool.submit(pipe.read_bytes)
            neuralcodec.save(cm, path)
            assert read.result(60) == saved.read_bytes()
        assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_device_stays_a_device(saved, tmp_path):
    cm, null, full = neuralcodec.load(saved), tmp_path / "null", tmp_path / "full"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        null.open("wb").close()
    except OSError:
        pytest.skip("devices cannot be made here")
    neuralcodec.save(cm, null)
    with pytest.raises(OSError, match=f"No space left on device: '{full}'"):
        neuralcodec.save(cm, full)
    assert null.is_char_device()
    assert full.is_char_device()


def test_errors_name_the_output(saved, tmp_path):
    cm = neuralcodec.load(saved)
    for path, error in (
        (tmp_path / "missing" / "x", FileNotFoundError),
        (saved / "x", NotADirectoryError),
        (tmp_path, IsADirectoryError),
        (tmp_path / ("x" * 300), OSError),
    ):
        for write in (partial(neuralcodec.save, cm), partial(neuralcodec.decode_to_file, cm), check_output):
            with pytest.raises(error) as caught:
                write(path)
            assert str(caught.value.filename) == str(path)
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]


def test_long_names_can_be_written(saved, tmp_path):
    long = tmp_path / ("x" * 250)
    neuralcodec.save(neuralcodec.load(saved), long)
    assert long.read_bytes() == saved.read_bytes()


def test_offsets_that_are_not_two_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    neuralcodec.save(neuralcodec.encode({"w": torch.ones(20, 30)}), path)
    data = path.read_bytes()
    at = data.index(b'"data_offsets":[0,') + len(b'"data_offsets":[0')
    path.write_bytes(data[:at] + b"." + data[at + 1 :])
    with pytest.raises(neuralcodec.CorruptError, match="the stream must be a U8 tensor"):
        neuralcodec.load(path)


def test_a_file_that_changes_while_it_is_encoded(model, tmp_path):
    """Not two checkpoints in one."""
    source, other = tmp_path / "source", tmp_path / "other"
    for change in ("replaced", "written to", "gone"):
        save_file(model, source)
        save_file({name: tensor + 1 for name, tensor in model.items()}, other)

        def progress(name, done, total, change=change):
            if change == "replaced":
                other.replace(source)
            elif change == "gone":
                source.unlink()
            else:
                source.write_bytes(other.read_bytes())
                os.utime(source, ns=(0, 0))

        with pytest.raises(neuralcodec.SourceError, match="changed or replaced while it was read"):
            neuralcodec.encode(source, progress=progress if change != "replaced" else once(progress))


def once(function):
    """Calls it the first time only."""
    called = []
    return lambda *arguments: called.append(function(*arguments)) if not called else None


def test_a_file_that_is_replaced_while_it_is_opened(saved, model, monkeypatch):
    """What is read is of one file."""
    small = neuralcodec.encode({"a.bias": model["a.bias"]})
    before = saved.read_bytes()
    read_header = container_reader._read_header

    def replaced(*arguments):
        neuralcodec.save(small, saved)
        return read_header(*arguments)

    monkeypatch.setattr(container_reader, "_read_header", replaced)
    cm = neuralcodec.load(saved)
    assert before.endswith(cm.to_bytes())
    monkeypatch.undo()
    assert neuralcodec.load(saved).to_bytes() == small.to_bytes()


def test_metadata_that_no_file_can_hold(model, tmp_path):
    cm = neuralcodec.encode(model)
    for key, value in (("epoch", 3), (3, "epoch"), ("neuralcodec", "3"), ("epoch", "\ud800"), ("\udfff", "3")):
        with pytest.raises(neuralcodec.SourceError, match="metadata"):
            neuralcodec.save(cm.with_metadata({key: value}), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    neuralcodec.save(cm.with_metadata({"epoch": "3"}), tmp_path / "x")
    assert neuralcodec.load(tmp_path / "x").metadata == {"epoch": "3"}


def test_payloads_leave_no_open_file_behind():
    store = PayloadStore(in_memory=10)
    store.add(bytes(100))
    file = store._file
    assert not file.closed
    del store
    assert file.closed
