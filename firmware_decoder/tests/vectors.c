/* Decodes whole streams from files and prints what came of each, one line a file:
 *
 *     ok CRC          crc32 of all decoded levels (lossy tensors; two bytes each where they have 16 bits), indices (float
 *                     codebooks) or element bytes, in order of tensors and tiles
 *     error NAME      the status that stopped it, NCD_ERR_...
 *
 * The exit code is 1 where decoding in another way gives something else, which stderr tells.
 *
 * With --tensors a line `tensor INDEX CRC` for each untied tensor comes before. Checks run in the order of
 * docs/format.md section 8. Every buffer has the exact size that the interface asks for, so that a sanitizer sees any
 * access outside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ncd.h"

static const char *status_name(ncd_status status)
{
    switch (status) {
    case NCD_OK: return "NCD_OK";
    case NCD_ERR_ARG: return "NCD_ERR_ARG";
    case NCD_ERR_TRUNCATED: return "NCD_ERR_TRUNCATED";
    case NCD_ERR_CORRUPT: return "NCD_ERR_CORRUPT";
    case NCD_ERR_UNSUPPORTED: return "NCD_ERR_UNSUPPORTED";
    case NCD_ERR_CAPACITY: return "NCD_ERR_CAPACITY";
    case NCD_ERR_WORKSPACE: return "NCD_ERR_WORKSPACE";
    case NCD_ERR_CHECKSUM: return "NCD_ERR_CHECKSUM";
    }
    return "?";
}

static int disagreements;

/* What should be the same is not. */
static void disagree(uint32_t tile, const char *what)
{
    fprintf(stderr, "tile %lu: %s\n", (unsigned long)tile, what);
    disagreements = 1;
}

static void *allocate(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return p;
}

#if NCD_ENABLE_KMEANS
/* Whether indices, looked up in the codebooks, give the levels. Leaves the workspace prepared for indices. */
static int same_levels(const ncd_tensor *t, void *workspace, size_t size)
{
    int8_t *const levels = (int8_t *)allocate(t->tile_size);
    uint8_t *const indices = (uint8_t *)allocate(t->tile_size);
    uint32_t row, col, rows, cols, tile, i, count;
    const uint8_t *book;
    int same = 1;
    for (tile = 0; same && tile < t->tiles; ++tile) {
        same = ncd_tensor_prepare(t, workspace, size) == NCD_OK &&
               ncd_decode_tile_i8(t, tile, levels, t->tile_size, workspace) == NCD_OK &&
               ncd_tensor_prepare_indices(t, workspace, size) == NCD_OK &&
               ncd_decode_tile_indices(t, tile, indices, t->tile_size, workspace) == NCD_OK &&
               ncd_tile_place(t, tile, &row, &col, &rows, &cols) == NCD_OK;
        for (i = 0; same && i < rows * cols; ++i)
            same = ncd_codebook(t, row + i / cols, &book, &count) == NCD_OK && indices[i] < count &&
                   book[indices[i]] == (uint8_t)levels[i];
    }
    free(levels);
    free(indices);
    return same;
}
#endif

#if NCD_HAS_COLUMNS
/* Levels of 16 bits as bytes, the lower one first. */
static ncd_status decode_wide(const ncd_tensor *t, uint32_t tile, uint8_t *out, size_t n, const void *workspace)
{
    int16_t *const levels = (int16_t *)allocate(2 * n);
    const ncd_status status = ncd_decode_tile_i16(t, tile, levels, n, workspace);
    size_t i;
    for (i = 0; status == NCD_OK && i < n; ++i) {
        out[2 * i] = (uint8_t)((uint16_t)levels[i] & 255u);
        out[2 * i + 1] = (uint8_t)((uint16_t)levels[i] >> 8);
    }
    free(levels);
    return status;
}
#endif

/* A tile, or all from the first one on, to levels of so many bytes. */
static ncd_status decode_one(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t n, size_t bytes, const void *workspace)
{
#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
    if (bytes == 2)
        return ncd_decode_tile_i16(t, tile, (int16_t *)(void *)dst, n, workspace);
#endif
    return bytes == 1 ? ncd_decode_tile_i8(t, tile, (int8_t *)dst, n, workspace) : NCD_ERR_ARG;
}

static ncd_status decode_some(const ncd_tensor *t, uint32_t first, uint8_t *dst, size_t n, size_t bytes, const void *workspace)
{
#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
    if (bytes == 2)
        return ncd_decode_tiles_i16(t, first, t->tiles, (int16_t *)(void *)dst, n, workspace);
#endif
    return bytes == 1 ? ncd_decode_tiles_i8(t, first, t->tiles, (int8_t *)dst, n, workspace) : NCD_ERR_ARG;
}

/* Whether tiles that are decoded together are those that are decoded one by one: all at once, and all but the first. */
static int same_together(const ncd_tensor *t, size_t bytes, const void *workspace)
{
    const size_t n = (size_t)t->rows * t->cols;
    uint8_t *const one = (uint8_t *)allocate(bytes * n), *const all = (uint8_t *)allocate(bytes * n);
    ncd_status status = NCD_OK, together;
    size_t at = 0, first = 0;
    uint32_t row, col, rows, cols, tile;
    int same;
    for (tile = 0; status == NCD_OK && tile < t->tiles; ++tile) {
        status = decode_one(t, tile, one + bytes * at, n - at, bytes, workspace);
        if (status == NCD_OK)
            status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
        if (status == NCD_OK)
            at += (size_t)rows * cols;
        if (tile == 0)
            first = at;
    }
    together = decode_some(t, 0, all, n, bytes, workspace);
    same = (together == NCD_OK) == (status == NCD_OK);
    if (status == NCD_OK) {
        same = same && memcmp(one, all, bytes * n) == 0 && decode_some(t, 0, all, n - 1, bytes, workspace) != NCD_OK &&
               decode_some(t, 1, all, n - first, bytes, workspace) == NCD_OK &&
               memcmp(one + bytes * first, all, bytes * (n - first)) == 0;
    }
    free(one);
    free(all);
    return same;
}

#if NCD_HAS_COLUMNS
#define DECODE_LEVELS(t, tile, dst, workspace)                                                                  \
    ((t)->mode == 3 ? ncd_decode_tile_i16(t, tile, (int16_t *)(void *)(dst), (t)->tile_size, workspace)         \
                    : ncd_decode_tile_i8(t, tile, (int8_t *)(dst), (t)->tile_size, workspace))
#else
#define DECODE_LEVELS(t, tile, dst, workspace) ncd_decode_tile_i8(t, tile, (int8_t *)(dst), (t)->tile_size, workspace)
#endif

/* Whether a workspace of `size` bytes, less than the full one, gives the same status and the same levels, tile by tile;
 * where the stored rows are damaged, which only those tiles tell that need them, whether it stays in its bounds. */
static int same_with_less(const ncd_tensor *t, const void *full, ncd_status prepared, size_t size)
{
    const size_t bytes = t->mode == 3 ? 2u * (size_t)t->tile_size : t->tile_size;
    void *const less = allocate(size);
    uint8_t *const one = (uint8_t *)allocate(bytes), *const other = (uint8_t *)allocate(bytes);
    const ncd_status status = ncd_tensor_prepare(t, less, size);
    uint32_t tile;
    int same = prepared != NCD_OK || status == NCD_OK;
    for (tile = 0; same && status == NCD_OK && tile < t->tiles; ++tile) {
        ncd_status got;
        memset(one, 0, bytes);
        memset(other, 0, bytes);
        got = DECODE_LEVELS(t, tile, one, less);
        if (prepared == NCD_OK)
            same = DECODE_LEVELS(t, tile, other, full) == got && (got != NCD_OK || memcmp(one, other, bytes) == 0);
    }
    free(less);
    free(one);
    free(other);
    return same;
}

/* The same of the least size, of one in between, and of the largest that is not full. */
static int same_with_all_sizes(const ncd_tensor *t, const void *full, ncd_status prepared)
{
    const size_t least = ncd_tensor_least_workspace(t), most = ncd_tensor_workspace(t) - 1u;
    void *const memory = allocate(least);
    const int refused = ncd_tensor_prepare(t, memory, least - 1u) == NCD_ERR_WORKSPACE;
    free(memory);
    return refused && same_with_less(t, full, prepared, least) &&
           same_with_less(t, full, prepared, (least + most) / 2u) && same_with_less(t, full, prepared, most);
}

/* Decodes all tiles of an opened tensor and adds their bytes to the crc. */
static ncd_status decode_tensor(const ncd_tensor *t, uint32_t *crc)
{
    const size_t workspace_size = ncd_tensor_workspace(t);
    const int levels = t->mode == 0 && t->tiles > 0, indices = t->mode == 2, wide = t->mode == 3;
    void *const workspace = workspace_size ? allocate(workspace_size) : NULL;
    ncd_status status = ncd_tensor_prepare(t, workspace, workspace_size);
    uint32_t tile;
    if (ncd_tensor_least_workspace(t) < workspace_size && !same_with_all_sizes(t, workspace, status))
        disagree(0, "a smaller workspace gives something else");
    for (tile = 0; status == NCD_OK && tile < t->tiles; ++tile) {
        uint32_t row, col, rows, cols;
        status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
        if (status == NCD_OK) {
            const size_t n = (size_t)rows * cols, size = levels || indices ? n : wide ? 2 * n : n * t->elem_size;
            uint8_t *const out = (uint8_t *)allocate(size);
            status = levels    ? ncd_decode_tile_i8(t, tile, (int8_t *)out, n, workspace)
#if NCD_ENABLE_KMEANS
                     : indices ? ncd_decode_tile_indices(t, tile, out, n, workspace)
#endif
#if NCD_HAS_COLUMNS
                     : wide ? decode_wide(t, tile, out, n, workspace)
#endif
                               : ncd_decode_tile_bytes(t, tile, out, size, workspace);
            if (status == NCD_OK)
                *crc = ncd_crc32(*crc, out, size);
#if NCD_ENABLE_FLOAT
            if (levels || indices || wide) { /* the floats must come out wherever the levels do */
                float *const f = (float *)allocate(n * sizeof *f);
                if (ncd_decode_tile_f32(t, tile, f, n, workspace) != status)
                    disagree(tile, "levels and floats disagree");
                free(f);
            }
#endif
#if NCD_HAS_COLUMNS
            if (levels) { /* and the same levels with 16 bits */
                int16_t *const widened = (int16_t *)allocate(2 * n);
                size_t i;
                if (ncd_decode_tile_i16(t, tile, widened, n, workspace) != status)
                    disagree(tile, "levels of 8 and 16 bits disagree");
                for (i = 0; status == NCD_OK && i < n; ++i)
                    if (widened[i] != ((const int8_t *)out)[i])
                        disagree(tile, "levels of 8 and 16 bits differ");
                free(widened);
            }
#endif
            free(out);
        }
    }
    if (levels && !same_together(t, 1, workspace))
        disagree(0, "those that are decoded together differ");
#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
    if ((levels || wide) && !same_together(t, 2, workspace))
        disagree(0, "those of 16 bits that are decoded together differ");
#endif
#if NCD_ENABLE_KMEANS
    if (status == NCD_OK && levels && t->codec == NCD_CODEC_KMEANS && !same_levels(t, workspace, workspace_size))
        disagree(0, "levels and indices disagree");
#endif
    free(workspace);
    return status;
}

static ncd_status decode_stream(const uint8_t *blob, size_t size, int each, uint32_t *crc)
{
    ncd_model m;
    ncd_record r;
    uint32_t i;
    ncd_status status = ncd_model_open(&m, blob, size);
    r.next = 0;
    for (i = 0; status == NCD_OK && i < m.n_tensors; ++i) {
        ncd_tensor t;
        uint32_t own = 0;
        status = ncd_record_next(&m, &r);
        if (status != NCD_OK || r.codec == NCD_CODEC_TIED)
            continue;
        if (ncd_crc32(0, blob + r.payload_offset, r.payload_size) != r.payload_crc) {
            status = NCD_ERR_CHECKSUM;
            continue;
        }
        status = ncd_tensor_bind(&m, &r, blob + r.payload_offset, &t);
        if (status == NCD_OK)
            status = ncd_tensor_check(&t);
        if (status == NCD_OK && each) {
            status = decode_tensor(&t, &own);
            if (status == NCD_OK)
                printf("tensor %lu %08lx\n", (unsigned long)i, (unsigned long)own);
        }
        if (status == NCD_OK)
            status = decode_tensor(&t, crc);
    }
    return status;
}

static int read_file(const char *path, uint8_t **blob, size_t *size)
{
    FILE *f = fopen(path, "rb");
    long end = -1;
    if (f && fseek(f, 0, SEEK_END) == 0)
        end = ftell(f);
    if (end < 0 || fseek(f, 0, SEEK_SET) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        return 0;
    }
    *size = (size_t)end;
    *blob = (uint8_t *)allocate(*size);
    end = fread(*blob, 1, *size, f) == *size;
    fclose(f);
    return (int)end;
}

int main(int argc, char **argv)
{
    int i, each = 0;
    for (i = 1; i < argc; ++i) {
        uint8_t *blob;
        size_t size;
        uint32_t crc = 0;
        ncd_status status;
        if (strcmp(argv[i], "--tensors") == 0) {
            each = 1;
            continue;
        }
        if (!read_file(argv[i], &blob, &size))
            return 2;
        status = decode_stream(blob, size, each, &crc);
        if (status == NCD_OK)
            printf("ok %08lx\n", (unsigned long)crc);
        else
            printf("error %s\n", status_name(status));
        free(blob);
    }
    return disagreements;
}
