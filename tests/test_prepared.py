"""Tensors that an export has opened and prepared decode to the same weights, and damaged data never lead outside."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from samples import weights

import neuralcodec
from neuralcodec import PlanError
from neuralcodec.errors import BitstreamError

DECODER = Path(__file__).resolve().parents[1] / "firmware_decoder"

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

static uint32_t workspace[MODEL_WORKSPACE / 4];

/* Prints of each tensor its status and elements, level by level or byte by byte, in the order of its tiles. */
int main(void)
{
    uint32_t n, i, k, row, col, rows, cols;
    for (n = 0; n < MODEL_TENSORS; ++n) {
        const ncd_tensor *t = &model[n];
        ncd_status status = ncd_tensor_check(t);
        if (status == NCD_OK)
            status = ncd_tensor_prepare(t, workspace, ncd_tensor_workspace(t));
        for (i = 0; status == NCD_OK && i < t->tiles; ++i) {
            /* of the very size, so that a sanitizer sees what is written behind it */
            const uint32_t size = (ncd_tile_place(t, i, &row, &col, &rows, &cols), rows * cols);
            const uint32_t bytes = t->mode == 1 ? size * t->elem_size : size;
            int16_t *const words = malloc(size * sizeof *words);
            uint8_t *const room = malloc(bytes);
            if (t->mode == 3)
                status = ncd_decode_tile_i16(t, i, words, size, workspace);
            else if (t->mode == 1)
                status = ncd_decode_tile_bytes(t, i, room, bytes, workspace);
            else
                status = ncd_decode_tile_i8(t, i, (int8_t *)room, bytes, workspace);
            for (k = 0; status == NCD_OK && k < (t->mode == 3 ? size : bytes); ++k)
                printf("%d ", t->mode == 3 ? words[k] : t->mode == 1 ? room[k] : (int8_t)room[k]);
            if (t->codec == NCD_CODEC_TRELLIS && status == NCD_OK) /* what is asked for wrongly */
                if (ncd_decode_tile_i8(t, t->tiles, (int8_t *)room, bytes, NULL) != NCD_ERR_ARG ||
                    (t->mode == 0 && ncd_decode_tile_i8(t, i, (int8_t *)room, bytes - 1, NULL) != NCD_ERR_CAPACITY))
                    status = 99;
            free(words);
            free(room);
        }
        printf("\n%d\n", status);
    }
    return 0;
}
"""

FLAGS = ["-std=c99", "-w", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-DNCD_TRELLIS_PREPARED=1"]

HOSTS = {
    "words": ("-O1", "-DNCD_TRELLIS_BYTE_LOADS=0"),
    "bytes": ("-O1", "-DNCD_TRELLIS_BYTE_LOADS=1"),
    "small": ("-Os", "-DNCD_FULL_CHECK=0"),
}
"""What differs between processors and levels of optimization; at -Os one function decodes a tile."""


CODECS_LEFT_OUT = tuple(f"-DNCD_ENABLE_{codec}=0" for codec in ("AUTOENCODER", "GENERATIVE", "REGRESSION"))
"""They cannot be prepared, and take long to compile."""

MODULES = (
    *("check", "crc32", "huffman", "kmeans", "model", "rans", "raw", "table", "tensor", "tiles", "trellis_tile"),
    *("bytes", "trellis", "trellis_model"),
)


def decoder(folder, options):
    """Compiles the decoder, and gives the options that it was compiled with and its objects."""
    sources = [DECODER / "src" / f"{module}.c" for module in MODULES]
    options = [*FLAGS, *CODECS_LEFT_OUT, "-DNCD_ENABLE_FLOAT=0", *options, "-I", DECODER / "include"]
    subprocess.run(["gcc", *options, "-c", *sources], cwd=folder, check=True)
    return [*options, *(folder / f"{module}.o" for module in MODULES)]


@pytest.fixture(scope="module", params=HOSTS)
def host(request, tmp_path_factory):
    """A decoder of all that can be prepared."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    return decoder(tmp_path_factory.mktemp(request.param), HOSTS[request.param])


def run(folder, built):
    """Links the exported model in a folder, and main.c, with a decoder; gives what the program prints."""
    subprocess.run(["gcc", *built, "model.c", "main.c", "-o", "main"], cwd=folder, check=True)
    return subprocess.run([folder / "main"], capture_output=True, text=True, check=False)


def expected(cm):
    """What it prints if all is well."""
    lines = []
    for entry in cm.entries:
        name = entry.tied_to or entry.spec.name
        if cm.is_lossless(name):
            values = list(cm.decode_elements(name).data.tobytes())
        else:
            levels = cm.levels(name)[0].reshape(entry.spec.rows, entry.spec.cols)
            values = (levels.T if cm.is_down_columns(name) else levels).flatten().tolist()
        lines += ["".join(f"{value} " for value in values), "0"]
    return lines


def smallest(folder):
    """The options that the header names."""
    return re.findall(r"-DNCD_\w+=[01]", (folder / "model.h").read_text(encoding="utf-8").split("*/")[0])


def everything():
    """Tensors of every coding, scan and width of levels, rows that are left out, and tensors of other codecs."""
    state, overrides = {}, {}
    for i, coding in enumerate(("contexts", "rans", "prefix", "light")):
        for states, step, scan in ((8, 0.5, "rows"), (64, 0.1, "columns"), (1, 0.3, "rows"), (8, 0.002, "rows")):
            name = f"{coding}.{states}.{step}"
            state[name] = weights(31, 67, seed=100 * i + states)
            overrides[name] = {"coding": coding, "states": states, "relative_step": step, "scan": scan}
        name = f"{coding}.rows"
        state[name] = weights(64, 80, seed=i)
        state[name][torch.arange(64) % 4 != 1] = 0
        overrides[name] = {"coding": coding, "relative_step": 0.4, "scan": "rows"}
    state |= {"outlier": weights(40, 40), "zeros": torch.zeros(12, 9), "empty": torch.zeros(0, 3), "bias": weights(7)}
    state["outlier"][3, 4] = 3.0
    overrides["outlier"] = {"coding": "light", "relative_step": 0.3}
    for codec, options in (("huffman", {"bits": 4}), ("kmeans", {"coding": "rans", "centroids": "int8"})):
        state[codec], overrides[codec] = weights(30, 40), {"codec": codec, **options}
    state["exact"], overrides["exact"] = weights(20, 30), {"codec": "huffman", "lossless": True}
    state["again"] = state["huffman"]
    return neuralcodec.encode(state, "trellis", tile=300, overrides=overrides)


def test_they_decode_to_the_same_levels(host, tmp_path):
    cm = everything()
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    (tmp_path / "main.c").write_text(PROGRAM)
    done = run(tmp_path, host)
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected(cm)


@needs_gcc
@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
def test_the_smallest_decoder_is_enough(coding, tmp_path):
    state = {"w": weights(40, 70), "v": weights(40, 30, seed=1)}
    cm = neuralcodec.encode(state, "trellis", coding=coding, relative_step=0.3, levels="int8", tile=300)
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    options = smallest(tmp_path)
    assert "-DNCD_TRELLIS_PREPARED=1" in options
    assert "-DNCD_TRELLIS_WIDE=0" in options
    assert f"-DNCD_TRELLIS_{coding.upper()}=0" not in options
    (tmp_path / "main.c").write_text(PROGRAM)
    done = run(tmp_path, decoder(tmp_path, [*HOSTS["small"], *options]))
    assert done.stdout.splitlines() == expected(cm)


@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
def test_damaged_data_give_errors(host, coding, tmp_path):
    """Bits flipped at 300 places of the data, checksums aside: sanitizers stop at any access outside."""
    state = {"w": weights(60, 70), "outlier": weights(40, 30, seed=1)}
    state["outlier"][3, 4] = 3.0
    state["w"][torch.arange(60) % 4 == 1] = 0
    cm = neuralcodec.encode(state, "trellis", coding=coding, relative_step=0.4, tile=300, scan="rows")
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    source = (tmp_path / "model.c").read_text(encoding="utf-8")
    damage = """
void damage(uint32_t seed);
void damage(uint32_t seed)
{
    model_data[seed * 2654435761u % sizeof model_data] ^= (uint8_t)(1u << seed % 8);
}
"""
    source = source.replace("static const uint8_t model_data", "static uint8_t model_data") + damage
    (tmp_path / "model.c").write_text(source)
    program = PROGRAM.replace("int main(void)", "extern void damage(uint32_t seed);\nstatic int all(void)")
    program = program.replace("ncd_tensor_check(t)", "NCD_OK")
    program += (
        "int main(void)\n{\n    uint32_t i;\n    for (i = 1; i < 300; ++i) {\n        damage(i);\n        all();\n"
    )
    program += "        damage(i);\n    }\n    return all();\n}\n"
    (tmp_path / "main.c").write_text(program)
    done = run(tmp_path, host)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-4:] == expected(cm)
    codes = {int(line) for line in lines[1::2]}
    assert codes <= {0, -3}
    assert -3 in codes


@needs_gcc
def test_a_decoder_that_lacks_something_does_not_compile(tmp_path):
    cm = neuralcodec.encode({"w": weights(40, 70)}, "trellis", coding="light", relative_step=0.3)
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    compiler = ["gcc", "-std=c99", "-I", DECODER / "include", "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"]
    for options, named in (([], "PREPARED"), (["-DNCD_TRELLIS_PREPARED=1", "-DNCD_TRELLIS_LIGHT=0"], "LIGHT")):
        done = subprocess.run([*compiler, *options], capture_output=True, text=True, check=False)
        assert done.returncode
        assert f"need NCD_TRELLIS_{named}=1" in done.stderr


@needs_gcc
def test_planes_are_those_of_an_element(tmp_path):
    """However many of them are coded: the decoder looks at all."""
    w = weights(40, 70)
    cm = neuralcodec.encode({"w": w}, "huffman", lossless=True)
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    compiler = ["gcc", "-std=c99", "-I", DECODER / "include", "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"]
    subprocess.run([*compiler, "-DNCD_MAX_PLANES=4"], check=True)
    done = subprocess.run([*compiler, "-DNCD_MAX_PLANES=3"], capture_output=True, text=True, check=False)
    assert "NCD_MAX_PLANES is too small" in done.stderr


@needs_gcc
def test_zeros_need_no_coding(tmp_path):
    cm = neuralcodec.encode({"w": torch.zeros(40, 70)}, "trellis", small=None)
    neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    options = smallest(tmp_path)
    assert "-DNCD_TRELLIS_PREPARED=1" in options
    assert "-DNCD_TRELLIS_LIGHT=0" in options
    (tmp_path / "main.c").write_text(PROGRAM)
    done = run(tmp_path, decoder(tmp_path, [*HOSTS["small"], *options]))
    assert done.stdout.splitlines() == expected(cm)


@pytest.mark.parametrize("place", [0, 1, 9])
def test_a_damaged_model_is_named(place, tmp_path):
    cm = neuralcodec.encode({"w": weights(40, 70), "v": weights(40, 30)}, "trellis")
    neuralcodec.save(cm, tmp_path / "m.safetensors")
    data = bytearray((tmp_path / "m.safetensors").read_bytes())
    data[data.index(cm.payload("v")) + place] ^= 4
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(BitstreamError, match="'v'"):
        neuralcodec.export_c(neuralcodec.load(tmp_path / "m.safetensors"), tmp_path / "model.c", prepared=True)
    assert not (tmp_path / "model.c").exists()


@needs_gcc
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_source_and_header_compile_without_a_warning(tmp_path):
    neuralcodec.export_c(everything(), tmp_path / "model.c", prepared=True)
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-DNCD_TRELLIS_PREPARED=1"]
    include = ["-I", DECODER / "include", "-c", "-o", tmp_path / "x.o"]
    subprocess.run(["gcc", "-std=c99", *strict, *include, tmp_path / "model.c"], check=True)
    (tmp_path / "user.cpp").write_text('#include "model.h"\nconst ncd_tensor *const used = &model[MODEL_BIAS];\n')
    subprocess.run(["g++", "-std=c++11", *strict, *include, tmp_path / "user.cpp"], check=True)


def test_what_cannot_be_prepared_is_named(tmp_path):
    cm = neuralcodec.encode(
        {"w": weights(40, 70), "odd one": weights(20, 30)}, overrides={"odd one": {"codec": "autoencoder"}}
    )
    with pytest.raises(PlanError, match="'odd one' is of codec autoencoder"):
        neuralcodec.export_c(cm, tmp_path / "model.c", prepared=True)
    with pytest.raises(PlanError, match=r"ends in \.c, not 'model\.bin'"):
        neuralcodec.export_c(cm, tmp_path / "model.bin", prepared=True)
    with pytest.raises(PlanError, match="no tensors"):
        neuralcodec.export_c(neuralcodec.encode({}), tmp_path / "model.c", prepared=True)
    with pytest.raises(PlanError, match="leave one of the two out"):
        neuralcodec.export_c(cm, tmp_path / "model.c", names=True, prepared=True)
    assert not list(tmp_path.iterdir())


def test_an_export_is_the_same_each_time(tmp_path):
    cm = everything()
    files = []
    for name in "ab":
        (tmp_path / name).mkdir()
        files.append([path.read_bytes() for path in neuralcodec.export_c(cm, tmp_path / name / "m.c", prepared=True)])
    assert files[0] == files[1]
