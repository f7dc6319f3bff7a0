"""The C decoder as firmware builds it, on this machine: what an export's header says suffices for all of its tiles."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from samples import weights

import neuralcodec

DECODER = Path(__file__).resolve().parents[1] / "firmware_decoder"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

PROGRAM = r"""
#include <stdio.h>
#include "ncd.h"
#include "model.h"

static uint32_t workspace[MODEL_WORKSPACE / 4];
static float tile[MODEL_TILE + MODEL_TILE_BYTES + 1];

/* Prints the status of the model, then of each tensor, and after that of one its weights, at their places. */
int main(void)
{
    ncd_model m;
    ncd_tensor t;
    uint32_t n, i, r, c, row, col, rows, cols;
    ncd_status s = ncd_model_open(&m, model, MODEL_SIZE);
    printf("%d\n", s);
    for (n = 0; s == NCD_OK && n < m.n_tensors; ++n) {
        ncd_status opened = ncd_tensor_open(&m, n, &t);
        if (opened == NCD_OK)
            opened = ncd_tensor_prepare(&t, workspace, sizeof workspace);
        for (i = 0; opened == NCD_OK && i < t.tiles; ++i) {
            opened = t.mode == 0 || t.mode == 3
                ? ncd_decode_tile_f32(&t, i, tile, sizeof tile / sizeof *tile, workspace)
                : ncd_decode_tile_bytes(&t, i, (uint8_t *)tile, sizeof tile, workspace);
            if (opened != NCD_OK)
                break;
            ncd_tile_place(&t, i, &row, &col, &rows, &cols);
            for (r = 0; r < rows; ++r)
                for (c = 0; c < cols; ++c)
                    printf("%u %u %u %a\n", n, t.columns ? col + c : row + r, t.columns ? row + r : col + c,
                           tile[r * cols + c]);
        }
        printf("%u %d\n", n, opened);
    }
    return 0;
}
"""


FLAGS = ["-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-I", str(DECODER / "include")]


def built(folder, *macros):
    """Objects of the decoder, and the flags that they were compiled with."""
    flags = [*FLAGS, *macros]
    subprocess.run(["gcc", *flags, "-c", *sorted((DECODER / "src").glob("*.c"))], cwd=folder, check=True)
    return [*flags, *sorted(folder.glob("*.o"))]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return built(tmp_path_factory.mktemp("everything"), "-DNCD_ENABLE_GENERATIVE=1", "-DNCD_FULL_CHECK=0")


def decoded(cm, folder, decoder):
    """The status of the model, and by tensor: its status and its weights as the program has placed them."""
    neuralcodec.export_c(cm, folder / "model.c")
    (folder / "main.c").write_text(PROGRAM)
    subprocess.run(
        ["gcc", *decoder, "-I", folder, folder / "main.c", folder / "model.c", "-o", folder / "main"], check=True
    )
    printed = subprocess.run([folder / "main"], capture_output=True, check=True, text=True).stdout
    status, *lines = printed.splitlines()
    entries = list(cm.entries)
    found = {e.spec.name: torch.full((e.spec.rows, e.spec.cols), torch.nan) for e in entries}
    of = {}
    for line in lines:
        number, *rest = line.split()
        name = entries[int(number)].spec.name
        if len(rest) == 1:
            of[name] = int(rest[0]), found[name]
        else:
            found[name][int(rest[0]), int(rest[1])] = float.fromhex(rest[2])
    return int(status), of


CODECS = [
    ("trellis", {"scan": "rows"}),
    ("trellis", {"scan": "columns"}),
    *[("trellis", {"coding": coding}) for coding in ("light", "rans", "prefix")],
    ("huffman", {}),
    ("huffman", {"lossless": True}),
    ("kmeans", {"coding": "huffman", "centroids": "int8"}),
    ("kmeans", {"coding": "rans", "centroids": "int8"}),
    ("autoencoder", {}),
    ("generative", {}),
    ("regression", {"regressor": "rows"}),
]


@pytest.mark.parametrize(("codec", "options"), CODECS)
def test_what_the_header_of_an_export_says_is_enough(codec, options, everything, tmp_path):
    cm = neuralcodec.encode({"v": weights(40, 24), "w": weights(30, 70)}, codec, tile=512, **options)
    status, of = decoded(cm, tmp_path, everything)
    assert status == 0
    for name in cm:
        assert of[name][0] == 0
        assert torch.equal(of[name][1], cm.decode(name))


def test_a_model_opens_without_a_codec_of_some_of_its_tensors(tmp_path):
    state = {"s": weights(30, 70), "v": weights(40, 24), "w": weights(30, 70)}
    cm = neuralcodec.encode(state, "trellis", overrides={"s": {"codec": "huffman"}})
    assert cm.shared_bytes
    status, of = decoded(cm, tmp_path, built(tmp_path, "-DNCD_ENABLE_TRELLIS=0", "-DNCD_ENABLE_REGRESSION=0"))
    assert status == 0
    assert of["s"][0] == 0
    assert torch.equal(of["s"][1], cm.decode("s"))
    unsupported = -4
    assert [of[name][0] for name in "vw"] == [unsupported] * 2
