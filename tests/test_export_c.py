"""What is exported for firmware compiles and is the stream."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from samples import weights

import neuralcodec
from neuralcodec import PlanError
from neuralcodec.c_names import as_identifier

DECODER = Path(__file__).resolve().parents[1] / "firmware_decoder"


@pytest.fixture
def cm():
    return neuralcodec.encode({"a.b": weights(20, 20), "a_b": weights(3), "*/ evil": weights(2)}, "huffman")


def test_bare_stream(cm, tmp_path):
    neuralcodec.export_c(cm, tmp_path / "m.bin")
    assert (tmp_path / "m.bin").read_bytes() == cm.to_bytes(names=False)
    neuralcodec.export_c(cm, tmp_path / "named.bin", names=True)
    assert (tmp_path / "named.bin").read_bytes() == cm.to_bytes()
    assert len(cm.to_bytes()) > len(cm.to_bytes(names=False))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_pair_compiles_and_holds_the_stream(cm, tmp_path):
    assert neuralcodec.export_c(cm, tmp_path / "my-model.c") == (tmp_path / "my-model.c", tmp_path / "my-model.h")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "my-model.h"\n'
        "typedef char tile_of_levels[MY_MODEL_TILE == 400 ? 1 : -1];"
        "typedef char tile_of_others[MY_MODEL_TILE_BYTES == 12 && MY_MODEL_TABLES == 1 ? 1 : -1];"
        "int main(void) { fwrite(my_model, 1, MY_MODEL_SIZE, stdout);"
        " return MY_MODEL_EVIL + 10 * MY_MODEL_A_B + 100 * MY_MODEL_A_B_2; }\n"
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    subprocess.run(["gcc", *flags, "main.c", "my-model.c", "-o", "main"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=False)
    assert done.stdout == cm.to_bytes(names=False)
    assert done.returncode == 0 + 10 + 200  # "*/ evil", "a.b", "a_b" in this order


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_room_for_tables_and_slots(tmp_path):
    state = {"a": weights(20, 20), "b": weights(20, 20)}
    for options, wanted in (
        ({"codec": "huffman"}, "MODEL_TABLES * NCD_HUFFMAN_WORKSPACE"),
        ({"codec": "kmeans", "coding": "rans"}, "4 + (4 << 8)"),
        ({"codec": "kmeans", "coding": "fixed"}, "4"),
    ):
        neuralcodec.export_c(neuralcodec.encode(state, **options), tmp_path / "model.c")
        (tmp_path / "main.c").write_text(
            '#include "ncd.h"\n#include "model.h"\n'
            "static char room[MODEL_WORKSPACE];\n"
            f"int main(void) {{ return sizeof room == {wanted} ? 0 : 1; }}\n"
        )
        include = Path(__file__).resolve().parents[1] / "firmware_decoder" / "include"
        subprocess.run(["gcc", "-std=c99", "-Wall", "-I", include, "main.c", "-o", "main"], cwd=tmp_path, check=True)
        assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_a_bad_symbol_is_refused(cm, tmp_path):
    with pytest.raises(PlanError, match="not a C identifier"):
        neuralcodec.export_c(cm, tmp_path / "m.c", name="3d; int x")
    with pytest.raises(PlanError, match="'class' has a meaning in C or C"):
        neuralcodec.export_c(cm, tmp_path / "m.c", name="class")
    with pytest.raises(PlanError, match=r"name= is of C symbols, and 'm\.bin' has none"):
        neuralcodec.export_c(cm, tmp_path / "m.bin", name="net")
    with pytest.raises(PlanError, match="'ncd_nn' has a meaning"):
        neuralcodec.export_c(cm, tmp_path / "m.c", name="ncd_nn")
    for name in ("ncd", "stdint"):
        with pytest.raises(PlanError, match=rf"{name}\.h is the name of a header"):
            neuralcodec.export_c(cm, tmp_path / f"{name}.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_files_named_like_words_of_c(tmp_path):
    cm = neuralcodec.encode({"max": weights(20, 20), "tables": weights(3), "size": weights(2)}, "huffman")
    include = Path(__file__).resolve().parents[1] / "firmware_decoder" / "include"
    names = (
        "int",
        "double",
        "static",
        "uint8_t",
        "main",
        "if",
        "class",
        "size_t",
        "ncd_model",
        "ncd_trellis",
        "ncd_has",
        "linux",
        "log",
        "memcpy",
        "index",
    )
    for name in (*names, "size", "uint8"):  # whose macros are not to be those of <stdint.h>
        source, header = neuralcodec.export_c(cm, tmp_path / f"{name}.c")
        assert (source.name, header.name) == (f"{name}.c", f"{name}.h")
        symbol = f"{as_identifier(name)}_weights" if name in names else as_identifier(name)
        user = f'#include <ncd.h>\n#include "../{name}.h"\nconst uint8_t *const used = {symbol};\n'
        (tmp_path / "user").mkdir(exist_ok=True)
        for compiler, ending in (("gcc", "c"), ("g++", "cpp")):
            path = tmp_path / "user" / f"user.{ending}"
            path.write_text(user)
            command = [compiler, "-Wall", "-Wextra", "-Werror", "-I", include, "-c", "-o", tmp_path / "x.o"]
            for each in (path, source):
                subprocess.run([*command, each], check=True)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("prepared", [False, True])
def test_exports_are_used_together(tmp_path, prepared):
    """A name that is a macro of one is not the guard of another; and no array is empty."""
    for name, tensor in (("a", "b.h"), ("a_b", "h"), ("a_b_h", "w")):
        cm = neuralcodec.encode({tensor: weights(20, 20)}, "huffman", lossless=name == "a")
        neuralcodec.export_c(cm, tmp_path / f"{name}.c", prepared=prepared)
    names = ("A", "A_B", "A_B_H")
    (tmp_path / "main.c").write_text(
        '#include <ncd.h>\n#include "a.h"\n#include "a_b.h"\n#include "a_b_h.h"\n'
        + "".join(f"static char {n}_levels[{n}_TILE], {n}_bytes[{n}_TILE_BYTES];\n" for n in names)
        + f"int main(void) {{ return (int)({' + '.join(f'sizeof {n}_levels + sizeof {n}_bytes' for n in names)}) +"
        + " (a == (void *)a_b) + (a_b == (void *)a_b_h) + A_B_H + A_B_H_W; }\n"
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", DECODER / "include"]
    sources = ["main.c", "a.c", "a_b.c", "a_b_h.c"]
    subprocess.run(["gcc", *flags, *sources, "-o", "main"], cwd=tmp_path, check=True)


def test_a_failure_leaves_both_old_files(cm, tmp_path, monkeypatch):
    neuralcodec.export_c(neuralcodec.encode({"old": weights(3)}), tmp_path / "m.c")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        yield "half of a line"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["neuralcodec.export_c"], "_source_lines", full)
    with pytest.raises(OSError, match="No space"):
        neuralcodec.export_c(cm, tmp_path / "m.c")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
