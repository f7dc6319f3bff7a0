"""The C decoder as firmware builds it, on this machine: what an export's header says suffices for all of its tiles."""

import os
import re
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


WORKSPACES = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "ncd.h"
#include "model.h"

/* Slots for an update, and what differs in the highest bits of an address only. */
static const size_t places[] = {0, 1u << 23, 3u << 23, 1u << 29, 1u << 30, 1u << 31};
enum { PLACES = sizeof places / sizeof *places };

static ncd_status tile(const ncd_tensor *t, uint8_t *to, const void *workspace)
{
    if (t->mode == 3)
        return ncd_decode_tile_i16(t, 0, (int16_t *)(void *)to, t->tile_size, workspace);
    if (t->mode == 0)
        return ncd_decode_tile_i8(t, 0, (int8_t *)to, t->tile_size, workspace);
    return ncd_decode_tile_bytes(t, 0, to, (size_t)t->tile_size * t->elem_size, workspace);
}

/* Each tensor at each place with the workspace of each of the others. */
int main(void)
{
    const size_t all = places[PLACES - 1] + MODEL_SIZE;
    uint8_t *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ncd_tensor *t;
    ncd_model m;
    uint32_t i, j, n = 0, refused = 0;
    if (at == MAP_FAILED)
        return 2;
    for (i = 0; i < PLACES; ++i) {
        memcpy(at + places[i], model, MODEL_SIZE);
        if (ncd_model_open(&m, at + places[i], MODEL_SIZE) != NCD_OK)
            return 3;
        if (i == 0)
            t = malloc(PLACES * m.n_tensors * sizeof *t);
        for (j = 0; j < m.n_tensors; ++j)
            if (ncd_tensor_open(&m, j, &t[n++]) != NCD_OK)
                return 4;
    }
    for (i = 0; i < n; ++i) {
        const size_t size = ncd_tensor_workspace(&t[i]);
        uint8_t *right = malloc(t[i].tile_size * 8u), *other = malloc(t[i].tile_size * 8u);
        void *own = malloc(size);
        if (ncd_tensor_prepare(&t[i], own, size) != NCD_OK || tile(&t[i], right, own) != NCD_OK)
            return 5;
        for (j = 0; j < n; ++j) {
            const size_t theirs = ncd_tensor_workspace(&t[j]);
            void *workspace = malloc(theirs);
            ncd_status status;
            if (j == i || size == 0 || theirs == 0)
                continue;
            if (ncd_tensor_prepare(&t[j], workspace, theirs) != NCD_OK)
                return 6;
            memset(other, 0, t[i].tile_size * 8u);
            status = tile(&t[i], other, workspace);
            if (status == NCD_ERR_WORKSPACE)
                ++refused;
            else if (i / m.n_tensors != j / m.n_tensors) /* another stream's tables */
                return 7;
            else if (status != NCD_OK || memcmp(right, other, t[i].mode == 3 ? 2 : 1) != 0) /* not shared ones either */
                return 8;
            free(workspace);
        }
        free(own);
        free(right);
        free(other);
    }
    printf("%u", refused);
    return 0;
}
"""


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


def first_snippet(page):
    return re.search(r"```c\n(.*?\n)```", page.read_text(encoding="utf-8"), re.S)[1]


README = DECODER.parent / "README.md"
SNIPPETS = [
    (DECODER / "README.md", "run(model, MODEL_SIZE)"),
    (README, "layer()"),
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["decoder", "project"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("trellis", {}),
        ("trellis", {"relative_step": 0.003}),
        ("trellis", {"coding": "prefix"}),
        ("huffman", {}),
        ("huffman", {"lossless": True}),
        ("kmeans", {"coding": "rans", "centroids": "int8"}),
        ("regression", {"regressor": "rows"}),
        ("generative", {}),
    ],
)
def test_the_first_snippet_of_a_page_is_for_every_model(snippet, codec, options, everything, tmp_path):
    """Of levels; one of bytes compiles and gives NCD_ERR_ARG."""
    cm = neuralcodec.encode({"fc.weight": weights(30, 70)}, codec, **options)
    neuralcodec.export_c(cm, tmp_path / "model.c", names=True)
    page, call = snippet
    (tmp_path / "main.c").write_text(f"{first_snippet(page)}\nint main(void) {{ return -{call}; }}\n")
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", tmp_path]
    sources = [tmp_path / "main.c", tmp_path / "model.c"]
    subprocess.run(["gcc", *everything, *strict, *sources, "-o", tmp_path / "main"], check=True)
    done = subprocess.run([tmp_path / "main"], check=False)
    assert done.returncode == (1 if options.get("lossless") else 0)


TABLES = [
    *[option for option in CODECS if option[0] != "generative"],
    ("huffman", {"bits": 7}),
    ("kmeans", {"coding": "huffman", "centroids": "int8", "shared": True}),
    ("kmeans", {"coding": "rans", "centroids": "int8", "shared": True}),
]


@pytest.mark.parametrize(("codec", "options"), TABLES)
def test_a_workspace_of_another_tensor_is_noticed(codec, options, everything, tmp_path):
    """Also where addresses differ in a few bits; and one of codec autoencoder that is too small is not written to."""
    state = {"small": weights(16, 12), "v": weights(40, 24), "w": weights(30, 70)}
    neuralcodec.export_c(neuralcodec.encode(state, codec, tile=512, **options), tmp_path / "model.c")
    (tmp_path / "main.c").write_text(WORKSPACES)
    sources = [tmp_path / "main.c", tmp_path / "model.c"]
    subprocess.run(["gcc", *everything, "-D_GNU_SOURCE", "-I", tmp_path, *sources, "-o", tmp_path / "main"], check=True)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6 * 5  # of one tensor at all places


@pytest.fixture(scope="module")
def one_program(tmp_path_factory):
    """All functions of the decoder can be inlined in the program, where memory has the program's types."""
    folder = tmp_path_factory.mktemp("one_program")
    flags = ["-std=c99", "-O2", "-flto", "-fstrict-aliasing", "-DNCD_ENABLE_GENERATIVE=0", "-DNCD_FULL_CHECK=0"]
    flags += ["-I", str(DECODER / "include")]
    subprocess.run(["gcc", *flags, "-c", *sorted((DECODER / "src").glob("*.c"))], cwd=folder, check=True)
    return [*flags, *sorted(folder.glob("*.o"))]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("trellis", {"scan": "columns"}),
        ("trellis", {"relative_step": 0.003, "coding": "contexts"}),
        ("regression", {"regressor": "rows"}),
        ("autoencoder", {}),
    ],
)
def test_optimized_as_one_program(codec, options, one_program, tmp_path):
    """Levels lie in floats that they become, and tables in words: other types than the program's."""
    cm = neuralcodec.encode({"v": weights(40, 24), "w": weights(30, 70)}, codec, tile=512, **options)
    _, of = decoded(cm, tmp_path, one_program)
    assert all(of[name][0] == 0 and torch.equal(of[name][1], cm.decode(name)) for name in cm)


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
