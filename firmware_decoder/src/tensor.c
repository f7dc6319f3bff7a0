/* Tensors: from a record to tiles of levels or bytes. */
#include "tiles.h"

ncd_status ncd_tensor_set(const ncd_record *r, const uint8_t *payload, ncd_tensor *t)
{
    if (r->codec != NCD_CODEC_RAW && !(NCD_ENABLE_HUFFMAN && r->codec == NCD_CODEC_HUFFMAN) &&
        !(NCD_ENABLE_KMEANS && r->codec == NCD_CODEC_KMEANS) &&
        !(NCD_ENABLE_TRELLIS && r->codec == NCD_CODEC_TRELLIS) &&
        !(NCD_ENABLE_GENERATIVE && r->codec == NCD_CODEC_GENERATIVE) &&
        !(NCD_ENABLE_AUTOENCODER && r->codec == NCD_CODEC_AUTOENCODER) &&
        !(NCD_ENABLE_REGRESSION && r->codec == NCD_CODEC_REGRESSION))
        return NCD_ERR_UNSUPPORTED;
    NCD_FILL(t, 0, sizeof *t);
    t->payload = payload;
    t->end = payload + r->payload_size;
    t->payload_crc = r->payload_crc;
    t->rows = r->rows;
    t->cols = r->cols;
    t->codec = r->codec;
    t->dtype = r->dtype;
    t->elem_size = (uint8_t)(1u << ncd_size_log2(r->dtype));
    t->mode = NCD_MODE_LOSSLESS;
    return NCD_OK;
}

#if NCD_HAS_COLUMNS || NCD_ENABLE_REGRESSION
ncd_status ncd_tensor_read_levels(ncd_tensor *t, ncd_cursor *c, uint32_t mode)
{
    ncd_status status;
    if (t->dtype > NCD_F64)
        return NCD_ERR_CORRUPT;
    t->mode = mode & NCD_LEVELS_WIDE ? NCD_MODE_WIDE : NCD_MODE_LEVELS;
#if NCD_HAS_COLUMNS
    if (mode & NCD_LEVELS_COLUMNS) {
        const uint32_t rows = t->rows;
        t->columns = 1;
        t->rows = t->cols;
        t->cols = rows;
    }
#endif
    status = ncd_tiles_cut(t, ncd_get_varint32(c));
    t->step_bits = ncd_get_u32(c);
    if (status == NCD_OK && t->step_bits - 1u >= 0x7F7FFFFFu)
        status = NCD_ERR_CORRUPT; /* the step is finite and positive */
    return status;
}
#endif

NCD_CODED ncd_status ncd_coded_bind(const ncd_model *m, ncd_tensor *t)
{
    (void)m;
#if NCD_ENABLE_HUFFMAN
    if (t->codec == NCD_CODEC_HUFFMAN)
        return ncd_huffman_bind(m, t);
#endif
#if NCD_ENABLE_KMEANS
    if (t->codec == NCD_CODEC_KMEANS)
        return ncd_kmeans_bind(m, t);
#endif
#if NCD_ENABLE_TRELLIS
    if (t->codec == NCD_CODEC_TRELLIS)
        return NCD_TRELLIS_PREPARED ? NCD_ERR_UNSUPPORTED : ncd_trellis_bind(m, t);
#endif
#if NCD_ENABLE_GENERATIVE
    if (t->codec == NCD_CODEC_GENERATIVE)
        return ncd_generative_bind(m, t);
#endif
    return ncd_raw_bind(t);
}

ncd_status ncd_tensor_read(const ncd_model *m, ncd_tensor *t)
{
    if (t->rows == 0 || t->cols == 0)
        return t->payload == t->end ? NCD_OK : NCD_ERR_CORRUPT;
#if NCD_ENABLE_REGRESSION
    if (t->codec == NCD_CODEC_REGRESSION)
        return ncd_regression_bind(m, t);
#endif
#if NCD_ENABLE_AUTOENCODER
    if (t->codec == NCD_CODEC_AUTOENCODER)
        return ncd_autoencoder_bind(m, t);
#endif
    return ncd_coded_bind(m, t);
}

ncd_status ncd_tensor_bind(const ncd_model *m, const ncd_record *r, const uint8_t *payload, ncd_tensor *t)
{
    ncd_status status;
    if (!NCD_GIVEN(m) || !NCD_GIVEN(r) || !NCD_GIVEN(t) || !NCD_GIVEN(payload))
        return NCD_ERR_ARG;
    status = ncd_tensor_set(r, payload, t);
    return status == NCD_OK ? ncd_tensor_read(m, t) : status;
}

ncd_status ncd_tensor_check(const ncd_tensor *t)
{
    if (!NCD_GIVEN(t))
        return NCD_ERR_ARG;
    return ncd_crc32(0, t->payload, (size_t)(t->end - t->payload)) == t->payload_crc ? NCD_OK : NCD_ERR_CHECKSUM;
}

/* ---- Workspace: a look-up for each code table that is not constant, one after the other ---- */

#if NCD_ENABLE_HUFFMAN
static int has_lookup(const uint8_t *table)
{
    return table && ncd_table_min(table) != 0;
}
#endif

NCD_CODED size_t ncd_coded_workspace(const ncd_tensor *t)
{
    size_t size = 0;
#if NCD_ENABLE_HUFFMAN
    uint32_t i;
#endif
#if NCD_ENABLE_KMEANS
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_KMEANS)
        return ncd_kmeans_workspace(t);
#endif
#if NCD_ENABLE_TRELLIS
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_TRELLIS)
        return t->model_workspace;
#endif
#if NCD_ENABLE_GENERATIVE
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_GENERATIVE)
        return t->model_workspace;
#endif
#if NCD_ENABLE_HUFFMAN
    for (i = 0; NCD_GIVEN(t) && i < NCD_TABLES; ++i)
        if (has_lookup(t->tables[i]))
            size += NCD_HUFFMAN_WORKSPACE;
#endif
    (void)t;
    return size;
}

size_t ncd_tensor_workspace(const ncd_tensor *t)
{
#if NCD_ENABLE_REGRESSION
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_REGRESSION)
        return t->regression_workspace;
#endif
#if NCD_ENABLE_AUTOENCODER
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_AUTOENCODER)
        return ncd_autoencoder_workspace(t);
#endif
    return ncd_coded_workspace(t);
}

size_t ncd_tensor_least_workspace(const ncd_tensor *t)
{
#if NCD_ENABLE_REGRESSION
    if (NCD_GIVEN(t) && t->codec == NCD_CODEC_REGRESSION)
        return t->regression_least;
#endif
    return ncd_tensor_workspace(t);
}

NCD_CODED ncd_status ncd_coded_prepare(const ncd_tensor *t, void *workspace, size_t size)
{
    uint32_t *lookup = (uint32_t *)workspace;
    uint32_t i;
#if NCD_ENABLE_KMEANS
    if (t->codec == NCD_CODEC_KMEANS) {
        const size_t wanted = ncd_kmeans_workspace(t);
        if (wanted == 0)
            return NCD_OK;
        if (!ncd_holds(lookup, size, wanted))
            return NCD_ERR_WORKSPACE;
        ncd_kmeans_prepare(t, lookup);
        return NCD_OK;
    }
#endif
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_PREPARED
    if (t->codec == NCD_CODEC_TRELLIS)
        return NCD_OK;
#elif NCD_ENABLE_TRELLIS
    if (t->codec == NCD_CODEC_TRELLIS) {
        if (t->model_workspace == 0)
            return NCD_OK;
        if (!ncd_holds(lookup, size, t->model_workspace))
            return NCD_ERR_WORKSPACE;
        ncd_trellis_prepare(t, lookup);
        return NCD_OK;
    }
#endif
#if NCD_ENABLE_GENERATIVE
    if (t->codec == NCD_CODEC_GENERATIVE) {
        if (t->model_workspace == 0)
            return NCD_OK;
        if (!ncd_holds(lookup, size, t->model_workspace))
            return NCD_ERR_WORKSPACE;
        ncd_generative_prepare(t, lookup);
        return NCD_OK;
    }
#endif
#if NCD_ENABLE_HUFFMAN
    for (i = 0; i < NCD_TABLES; ++i) {
        if (!has_lookup(t->tables[i]))
            continue;
        if (!ncd_holds(lookup, size, NCD_HUFFMAN_WORKSPACE))
            return NCD_ERR_WORKSPACE;
        ncd_table_build(t->tables[i], lookup);
        lookup += NCD_HUFFMAN_WORKSPACE / 4;
        size -= NCD_HUFFMAN_WORKSPACE;
    }
#else
    (void)t;
    (void)lookup;
    (void)i;
    (void)size;
#endif
    return NCD_OK;
}

ncd_status ncd_tensor_prepare(const ncd_tensor *t, void *workspace, size_t size)
{
    if (!NCD_GIVEN(t))
        return NCD_ERR_ARG;
    NCD_RETYPE();
#if NCD_ENABLE_REGRESSION
    if (t->codec == NCD_CODEC_REGRESSION) {
        if (t->regression_workspace == 0)
            return NCD_OK;
        if (!ncd_holds(workspace, size, t->regression_least))
            return NCD_ERR_WORKSPACE;
        return ncd_regression_prepare(t, (uint32_t *)workspace, size);
    }
#endif
#if NCD_ENABLE_AUTOENCODER
    if (t->codec == NCD_CODEC_AUTOENCODER) {
        const size_t wanted = ncd_autoencoder_workspace(t);
        if (wanted == 0)
            return NCD_OK;
        if (!ncd_holds(workspace, size, wanted))
            return NCD_ERR_WORKSPACE;
        ncd_autoencoder_prepare(t, (uint32_t *)workspace);
        return NCD_OK;
    }
#endif
    return ncd_coded_prepare(t, workspace, size);
}

/* ---- Tiles ---- */

/* Levels, indices or bytes of a tile of n weights, for which there is room. Inline: with the place at hand, which raw wants, a
 * decoder without regression saves code and stack. With it the place is found where raw wants it: others need not wait for
 * it. */
NCD_INLINE ncd_status coded_tile(const ncd_tensor *t, uint32_t tile, uint32_t row, uint32_t col, uint8_t *dst, uint32_t n,
                                 const uint32_t *workspace)
{
#if NCD_ENABLE_KMEANS
    if (t->codec == NCD_CODEC_KMEANS)
        return ncd_kmeans_tile(t, tile, dst, workspace);
#endif
#if NCD_ENABLE_TRELLIS && !NCD_TRELLIS_PREPARED
    if (t->codec == NCD_CODEC_TRELLIS)
        return ncd_trellis_tile(t, tile, dst, n, workspace);
#endif
#if NCD_ENABLE_GENERATIVE
    if (t->codec == NCD_CODEC_GENERATIVE)
        return ncd_generative_tile(t, tile, dst, n, workspace);
#endif
#if NCD_ENABLE_HUFFMAN
    if (t->codec == NCD_CODEC_HUFFMAN) {
#if NCD_ENABLE_LOSSLESS
        if (t->mode != NCD_MODE_LEVELS)
            return ncd_huffman_lossless(t, tile, dst, n, workspace);
#endif
        return ncd_huffman_levels(t, tile, dst, n, workspace);
    }
#endif
    (void)tile;
    (void)workspace;
#if NCD_ENABLE_REGRESSION
    {
        uint32_t rows, cols;
        const ncd_status status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
        if (status != NCD_OK)
            return status;
    }
#endif
    ncd_raw_bytes(t, row, col, n, dst);
    return NCD_OK;
}

#if NCD_ENABLE_REGRESSION
ncd_status ncd_coded_tile(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace)
{
    return coded_tile(t, tile, 0, 0, dst, n, workspace);
}
#endif

static NCD_NOINLINE ncd_status decode_tile(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                           const void *workspace)
{
    uint32_t row, col, rows, cols, n;
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_PREPARED
    if (t->codec == NCD_CODEC_TRELLIS)
        return ncd_trellis_prepared(t, tile, dst, capacity);
    if (tile >= t->tiles)
        return NCD_ERR_ARG;
    ncd_tile_where(t, tile, &row, &col, &rows, &cols); /* which takes less stack than a call */
#else
    const ncd_status status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
#endif
    n = rows * cols;
    if (capacity < (t->mode == NCD_MODE_LEVELS ? n : n * t->elem_size))
        return NCD_ERR_CAPACITY;
#if NCD_ENABLE_AUTOENCODER
    if (t->codec == NCD_CODEC_AUTOENCODER)
        return ncd_autoencoder_tile(t, tile, dst, n, workspace);
#endif
#if NCD_ENABLE_REGRESSION
    if (t->codec == NCD_CODEC_REGRESSION)
        return ncd_regression_tile(t, tile, dst, n, (const uint32_t *)workspace);
    return ncd_coded_tile(t, tile, dst, n, (const uint32_t *)workspace);
#else
    return coded_tile(t, tile, row, col, dst, n, (const uint32_t *)workspace);
#endif
}

ncd_status ncd_decode_tile_i8(const ncd_tensor *t, uint32_t tile, int8_t *dst, size_t capacity, const void *workspace)
{
    if (!NCD_GIVEN(t) || !NCD_GIVEN(dst) || (t->mode != NCD_MODE_LEVELS && t->dtype != NCD_I8))
        return NCD_ERR_ARG;
    return decode_tile(t, tile, (uint8_t *)dst, capacity, workspace);
}

#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_LANES > 1
/* Decodes some tiles together, if that can be, to levels of so many bytes, and moves on; else does nothing. */
static ncd_status decode_some(const ncd_tensor *t, uint32_t *tile, uint32_t last, uint8_t **dst, size_t *capacity, uint32_t bytes,
                              const void *workspace)
{
    uint32_t row, col, rows, cols, n[NCD_TRELLIS_TILES], i, count;
    size_t all = 0;
    ncd_status status;
    if (t->codec != NCD_CODEC_TRELLIS || t->mode != (bytes == 1 ? NCD_MODE_LEVELS : NCD_MODE_WIDE))
        return NCD_OK;
    count = ncd_trellis_together(t, last - *tile, (const uint32_t *)workspace);
    if (count == 1)
        return NCD_OK;
    for (i = 0; i < count; ++i) {
        status = ncd_tile_place(t, *tile + i, &row, &col, &rows, &cols);
        if (status != NCD_OK)
            return status;
        n[i] = rows * cols;
        all += n[i];
    }
    if (*capacity < all)
        return NCD_ERR_CAPACITY;
    status = ncd_trellis_tiles(t, *tile, count, n, *dst, (const uint32_t *)workspace);
    *tile += count;
    *dst += all * bytes;
    *capacity -= all;
    return status;
}
#endif

/* Tiles first .. last-1, one behind the other, to levels of so many bytes. */
static ncd_status decode_tiles(const ncd_tensor *t, uint32_t first, uint32_t last, uint8_t *dst, size_t capacity, uint32_t bytes,
                               const void *workspace)
{
    uint32_t row, col, rows, cols;
    ncd_status status = NCD_GIVEN(t) && first <= last && (first == last || NCD_GIVEN(dst)) ? NCD_OK : NCD_ERR_ARG;
    while (status == NCD_OK && first < last) {
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_LANES > 1
        const uint32_t before = first;
        status = decode_some(t, &first, last, &dst, &capacity, bytes, workspace);
        if (first != before)
            continue;
#endif
#if NCD_HAS_COLUMNS && NCD_TRELLIS_LANES > 1
        if (status == NCD_OK && bytes == 2)
            status = ncd_decode_tile_i16(t, first, (int16_t *)(void *)dst, capacity, workspace);
        else
#endif
        if (status == NCD_OK)
            status = ncd_decode_tile_i8(t, first, (int8_t *)dst, capacity, workspace);
        if (status == NCD_OK)
            status = ncd_tile_place(t, first, &row, &col, &rows, &cols);
        if (status == NCD_OK) {
            dst += (size_t)rows * cols * bytes;
            capacity -= (size_t)rows * cols;
            ++first;
        }
    }
    return status;
}

ncd_status ncd_decode_tiles_i8(const ncd_tensor *t, uint32_t first, uint32_t last, int8_t *dst, size_t capacity,
                               const void *workspace)
{
    return decode_tiles(t, first, last, (uint8_t *)dst, capacity, 1, workspace);
}

#if NCD_HAS_COLUMNS
ncd_status ncd_decode_tile_i16(const ncd_tensor *t, uint32_t tile, int16_t *dst, size_t capacity, const void *workspace)
{
    uint32_t row, col, rows, cols, n;
    int8_t *narrow;
    ncd_status status;
    if (!NCD_GIVEN(t) || !NCD_GIVEN(dst) || (t->mode != NCD_MODE_LEVELS && t->mode != NCD_MODE_WIDE))
        return NCD_ERR_ARG;
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_PREPARED
    if (t->mode == NCD_MODE_WIDE && t->codec == NCD_CODEC_TRELLIS)
        return ncd_trellis_prepared(t, tile, dst, capacity);
#endif
    status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
    n = rows * cols;
    if (capacity < n)
        return NCD_ERR_CAPACITY;
#if NCD_ENABLE_REGRESSION
    if (t->mode == NCD_MODE_WIDE && t->codec == NCD_CODEC_REGRESSION)
        return ncd_regression_tile(t, tile, dst, n, (const uint32_t *)workspace);
#endif
#if NCD_ENABLE_GENERATIVE
    if (t->mode == NCD_MODE_WIDE && t->codec == NCD_CODEC_GENERATIVE)
        return ncd_generative_tile(t, tile, dst, n, workspace);
#endif
#if NCD_ENABLE_AUTOENCODER
    if (t->mode == NCD_MODE_WIDE && t->codec == NCD_CODEC_AUTOENCODER)
        return ncd_autoencoder_tile(t, tile, dst, n, workspace);
#endif
#if NCD_ENABLE_TRELLIS && !NCD_TRELLIS_PREPARED
    if (t->mode == NCD_MODE_WIDE)
        return ncd_trellis_tile(t, tile, dst, n, (const uint32_t *)workspace);
#endif
    /* The levels go to the second half, and are widened from the first one on. */
    narrow = (int8_t *)dst + n;
    status = ncd_decode_tile_i8(t, tile, narrow, n, workspace);
    for (; status == NCD_OK && n > 0; --n)
        *dst++ = *narrow++;
    return status;
}

#if NCD_TRELLIS_LANES > 1
ncd_status ncd_decode_tiles_i16(const ncd_tensor *t, uint32_t first, uint32_t last, int16_t *dst, size_t capacity,
                                const void *workspace)
{
    return decode_tiles(t, first, last, (uint8_t *)dst, capacity, 2, workspace);
}
#endif
#endif

ncd_status ncd_decode_tile_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                 const void *workspace)
{
    if (!NCD_GIVEN(t) || !NCD_GIVEN(dst) || t->mode != NCD_MODE_LOSSLESS)
        return NCD_ERR_ARG;
    return decode_tile(t, tile, dst, capacity, workspace);
}
