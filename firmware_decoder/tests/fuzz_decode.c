/* libFuzzer target: everything that reads a stream, on any bytes.
 *
 * The build defines FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION (libFuzzer's custom), which makes the decoder ignore
 * checksums so that changed bytes reach the parsers behind them. Outputs and workspaces are allocated at their exact
 * size for AddressSanitizer. */
#include <stdlib.h>
#include <string.h>

#include "ncd.h"

enum { TENSORS = 8, TILES = 12, RECORDS = 4096, SLOW_TILES = 2, SLOW_SIZE = 2048, TOGETHER = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void *allocate(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    require(p != NULL);
    return p;
}

static void decode_tile(const ncd_tensor *t, uint32_t tile, const void *workspace)
{
    uint32_t row, col, rows, cols;
    require(ncd_tile_place(t, tile, &row, &col, &rows, &cols) == NCD_OK);
    require((uint64_t)row + rows <= t->rows && (uint64_t)col + cols <= t->cols && rows > 0 && cols > 0);
    {
        const size_t n = (size_t)rows * cols;
        int8_t *const levels = (int8_t *)allocate(n);
        uint8_t *const bytes = (uint8_t *)allocate(n * t->elem_size);
        require(n <= t->tile_size);
        require(ncd_decode_tile_i8(t, tile, levels, n - 1, workspace) != NCD_OK);
        if (ncd_decode_tile_i8(t, tile, levels, n, workspace) == NCD_OK && n > 0)
            require(t->mode == 0 || t->dtype == NCD_I8);
        (void)ncd_decode_tile_bytes(t, tile, bytes, n * t->elem_size, workspace);
#if NCD_HAS_COLUMNS
        {
            int16_t *const wide = (int16_t *)allocate(2 * n);
            (void)ncd_decode_tile_i16(t, tile, wide, n, workspace);
            free(wide);
        }
#endif
#if NCD_ENABLE_FLOAT
        {
            float *const floats = (float *)allocate(n * sizeof *floats);
            (void)ncd_decode_tile_f32(t, tile, floats, n, workspace);
            free(floats);
        }
#endif
#if NCD_ENABLE_KMEANS
        if (t->codec == NCD_CODEC_KMEANS && ncd_decode_tile_indices(t, tile, bytes, n, workspace) == NCD_OK) {
            const uint8_t *book;
            uint32_t count, i;
            require(ncd_codebook(t, row, &book, &count) == NCD_OK);
            for (i = 0; i < n; ++i)
                require(bytes[i] < count);
        }
#endif
        free(levels);
        free(bytes);
    }
}

#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
/* The same of levels of 16 bits, which are those that tiles give one by one. */
static void decode_wide_tiles(const ncd_tensor *t, uint32_t first, uint32_t last, size_t n, const void *workspace)
{
    int16_t *const one = (int16_t *)allocate(2 * n), *const all = (int16_t *)allocate(2 * n);
    const ncd_status together = ncd_decode_tiles_i16(t, first, last, all, n, workspace);
    ncd_status status = NCD_OK;
    uint32_t row, col, rows, cols, tile;
    size_t at = 0;
    for (tile = first; tile < last && status == NCD_OK; ++tile) {
        require(ncd_tile_place(t, tile, &row, &col, &rows, &cols) == NCD_OK);
        status = ncd_decode_tile_i16(t, tile, one + at, n - at, workspace);
        at += (size_t)rows * cols;
    }
    require((together == NCD_OK) == (status == NCD_OK));
    require(status != NCD_OK || memcmp(one, all, 2 * n) == 0);
    free(one);
    free(all);
}
#endif

/* Some tiles together, with room for just these: they are those that tiles give one by one. */
static void decode_tiles(const ncd_tensor *t, uint32_t first, const void *workspace)
{
    const uint32_t most = t->codec == NCD_CODEC_TRELLIS ? TOGETHER : 5, last = t->tiles - first < most ? t->tiles : first + most;
    uint32_t row, col, rows, cols, tile;
    size_t n = 0, at = 0;
    int8_t *one, *all;
    ncd_status status = NCD_OK, together;
    for (tile = first; tile < last; ++tile) {
        require(ncd_tile_place(t, tile, &row, &col, &rows, &cols) == NCD_OK);
        n += (size_t)rows * cols;
    }
    one = (int8_t *)allocate(n);
    all = (int8_t *)allocate(n);
    together = ncd_decode_tiles_i8(t, first, last, all, n, workspace);
    for (tile = first; tile < last && status == NCD_OK; ++tile) {
        require(ncd_tile_place(t, tile, &row, &col, &rows, &cols) == NCD_OK);
        status = ncd_decode_tile_i8(t, tile, one + at, n - at, workspace);
        at += (size_t)rows * cols;
    }
    require((together == NCD_OK) == (status == NCD_OK));
    require(status != NCD_OK || memcmp(one, all, n) == 0);
    free(one);
    free(all);
#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
    decode_wide_tiles(t, first, last, n, workspace);
#endif
}

/* Levels of a tile, as bytes. */
static ncd_status decode_levels(const ncd_tensor *t, uint32_t tile, void *levels, const void *workspace)
{
#if NCD_HAS_COLUMNS
    if (t->mode == 3)
        return ncd_decode_tile_i16(t, tile, (int16_t *)levels, t->tile_size, workspace);
#endif
    return ncd_decode_tile_i8(t, tile, (int8_t *)levels, t->tile_size, workspace);
}

/* A tensor of codec regression by a workspace that is less than the full one, which, if it could be prepared, gives the
 * same. */
static void decode_with_less(const ncd_tensor *t, const void *full, size_t size)
{
    const size_t bytes = t->mode == 3 ? 2u * (size_t)t->tile_size : t->tile_size;
    const uint32_t step = t->tiles > TILES ? t->tiles / TILES : 1;
    void *const less = allocate(size);
    uint8_t *const one = (uint8_t *)allocate(bytes), *const other = (uint8_t *)allocate(bytes);
    const ncd_status prepared = ncd_tensor_prepare(t, less, size);
    uint32_t i, tile = 0;
    require(prepared == NCD_OK || (prepared == NCD_ERR_CORRUPT && !full));
    for (i = 0; prepared == NCD_OK && i < TILES && tile < t->tiles; ++i) {
        ncd_status status;
        memset(one, 0, bytes);
        memset(other, 0, bytes);
        status = decode_levels(t, tile, one, less);
        require(status == NCD_OK || status == NCD_ERR_CORRUPT);
        if (full) {
            require(decode_levels(t, tile, other, full) == status);
            require(status != NCD_OK || memcmp(one, other, bytes) == 0);
        }
        tile = t->tiles - tile > step ? tile + step : t->tiles;
    }
    free(less);
    free(one);
    free(other);
}

static void decode_tensor(const ncd_tensor *t)
{
    const size_t workspace_size = ncd_tensor_workspace(t);
    void *const workspace = workspace_size ? allocate(workspace_size) : NULL;
    const uint32_t step = t->tiles > TILES ? t->tiles / TILES : 1;
    /* Codec 6 takes a microsecond for a level, which may have no bits; all of its code is in a few short tiles. */
    const int is_slow = t->codec == NCD_CODEC_GENERATIVE;
    const uint32_t most = !is_slow ? TILES : t->tile_size > SLOW_SIZE ? 0 : SLOW_TILES;
    uint32_t i, tile = 0;
    {
        const ncd_status status = ncd_tensor_prepare(t, workspace, workspace_size);
        require(status == NCD_OK || (t->codec == NCD_CODEC_REGRESSION && status == NCD_ERR_CORRUPT));
        if (ncd_tensor_least_workspace(t) < workspace_size) {
            const void *const full = status == NCD_OK ? workspace : NULL;
            decode_with_less(t, full, ncd_tensor_least_workspace(t));
            decode_with_less(t, full, (ncd_tensor_least_workspace(t) + workspace_size) / 2u);
        }
        if (status != NCD_OK) { /* a tile of what it nests; nothing can be decoded then */
            free(workspace);
            return;
        }
    }
    for (i = 0; i < most && tile < t->tiles; ++i) {
        decode_tile(t, tile, workspace);
        decode_tiles(t, tile, workspace);
        tile = i + 2 == TILES || t->tiles - tile <= step ? t->tiles - (tile + 1 < t->tiles ? 1u : 0u) : tile + step;
    }
#if NCD_ENABLE_KMEANS
    if (t->codec == NCD_CODEC_KMEANS && t->tiles > 0) {
        require(ncd_tensor_prepare_indices(t, workspace, workspace_size) == NCD_OK);
        decode_tile(t, 0, workspace);
    }
#endif
    (void)ncd_tensor_check(t);
    free(workspace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *const blob = (uint8_t *)allocate(size);
    ncd_model m;
    memcpy(blob, data, size);
    if (size >= 12 && data[0] == 'N') { /* a change of length should not end at once */
        memcpy(blob, "NCDM\1", 5);
        blob[5] &= 1;
        blob[6] = blob[7] = 0;
    }
    if (ncd_model_open(&m, blob, size) == NCD_OK && m.n_tensors > 0) {
        ncd_record r;
        ncd_tensor t;
        uint32_t i, index;
        char *name = (char *)allocate(65536);
        const uint32_t step = m.n_tensors > TENSORS ? m.n_tensors / TENSORS : 1;
        r.next = 0;
        /* Every name must be found, and at its own index. */
        for (i = 0; i < m.n_tensors && i < RECORDS; ++i) {
            require(ncd_record_next(&m, &r) == NCD_OK && r.index == i);
            if (NCD_FULL_CHECK && m.has_names) {
                require((size_t)r.name_prefix + r.name_suffix_size <= 65535);
                if (r.name_suffix_size)
                    memcpy(name + r.name_prefix, r.name_suffix, r.name_suffix_size);
                name[r.name_prefix + r.name_suffix_size] = 0;
                if (i < 64 && strlen(name) == (size_t)r.name_prefix + r.name_suffix_size)
                    require(ncd_tensor_find(&m, name, &index) == NCD_OK && index == i);
            }
        }
        free(name);
        (void)ncd_tensor_find(&m, "fc.weight", &index);
        for (i = 0; i < m.n_tensors && i / step < TENSORS; i += step) {
            const ncd_status status = ncd_tensor_open(&m, i, &t);
            require(status != NCD_ERR_ARG && status != NCD_ERR_TRUNCATED);
            if (status == NCD_OK)
                decode_tensor(&t);
        }
    }
    free(blob);
    return 0;
}
