/* Codec 7: some weights are stored, the others inferred (docs/format.md section 13). */
#include "regression.h"

#if NCD_ENABLE_REGRESSION

enum { REGRESSOR = 3, WIDE = 4, RESIDUAL = 8, REPLACE = 16 };
enum { FRACTION_MAX = 8, STORED_MAX = 1 << 24 };

/* A nested payload refers to no shared object: there are none. */
static const uint8_t no_objects[17] = {0};

/* ---- Nested tensors ---- */

/* Opens the levels that are coded from `payload` on. */
static ncd_status open_nested(const ncd_tensor *t, uint32_t codec, uint32_t rows, const uint8_t *payload,
                              const uint8_t *end, ncd_tensor *nested)
{
    ncd_model none;
    ncd_status status;
    NCD_FILL(&none, 0, sizeof none);
    none.blob = no_objects;
    none.end = no_objects + sizeof no_objects;
    NCD_FILL(nested, 0, sizeof *nested);
    nested->payload = payload;
    nested->end = end;
    nested->rows = rows;
    nested->cols = t->cols;
    nested->codec = (uint8_t)codec;
    nested->dtype = NCD_F32;
    nested->elem_size = 4;
    nested->mode = NCD_MODE_LOSSLESS;
    status = ncd_coded_bind(&none, nested);
    if (status != NCD_OK)
        return status;
    if (nested->scale_width || (nested->mode != NCD_MODE_LEVELS && nested->mode != t->mode))
        return NCD_ERR_CORRUPT;
#if NCD_ENABLE_TRELLIS
    if (nested->columns || nested->column_scale_width)
        return NCD_ERR_CORRUPT;
#endif
    return NCD_OK;
}

/* Reads codec and size at the cursor, and opens what follows. */
static ncd_status read_nested(ncd_cursor *c, const ncd_tensor *t, uint32_t rows, ncd_tensor *nested)
{
    const uint32_t codec = ncd_get_u8(c);
    const size_t size = ncd_get_size(c);
    const uint8_t *const payload = ncd_get_bytes(c, size);
    if (!payload)
        return NCD_ERR_CORRUPT;
    if (!(NCD_ENABLE_HUFFMAN && codec == NCD_CODEC_HUFFMAN) && !(NCD_ENABLE_KMEANS && codec == NCD_CODEC_KMEANS) &&
        !(NCD_ENABLE_TRELLIS && codec == NCD_CODEC_TRELLIS))
        return NCD_ERR_UNSUPPORTED;
    return open_nested(t, codec, rows, payload, payload + size, nested);
}

#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_INDEX_LOG2 > 4
/* Bytes that tables take on a microcontroller. */
static uint32_t least_tables(const ncd_tensor *nested)
{
    const size_t here = ncd_coded_workspace(nested), lookup = 4u + (4u << 8);
    if (nested->codec == NCD_CODEC_TRELLIS)
        return nested->least_workspace;
    return (uint32_t)(here == NCD_HUFFMAN_WORKSPACE ? lookup : here);
}
#define LEAST(t, nested)                                                                              \
    do {                                                                                              \
        if (least_tables(nested) > (t)->least_workspace)                                              \
            (t)->least_workspace = least_tables(nested);                                              \
    } while (0)
#else
#define LEAST(t, nested) ((void)0)
#endif

/* ---- Header ---- */

ncd_status ncd_regression_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    ncd_tensor nested;
    ncd_status status;
    size_t tables = 0, more;
    uint32_t mode;

    (void)m;
    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (ncd_is_bad(&c))
        return NCD_ERR_CORRUPT;
    t->regressor = mode & REGRESSOR;
    if (mode >> 5 || t->regressor > NCD_REGRESSOR_BASIS || ((mode & WIDE) && !NCD_ENABLE_TRELLIS) ||
        ((mode & REPLACE) && (t->regressor != NCD_REGRESSOR_EXPRESSION || !(mode & RESIDUAL))))
        return NCD_ERR_UNSUPPORTED;
    t->replaces = (mode & REPLACE) != 0;
    status = ncd_tensor_read_levels(t, &c, mode & WIDE ? NCD_LEVELS_WIDE : 0u);
    if (status != NCD_OK)
        return status;
    t->fraction = ncd_get_u8(&c);
    if (t->fraction > FRACTION_MAX)
        return NCD_ERR_CORRUPT;
    t->params = c.p;
    status = t->regressor == NCD_REGRESSOR_ROWS         ? ncd_rows_read(&c, t)
             : t->regressor == NCD_REGRESSOR_EXPRESSION ? ncd_expression_read(&c, t)
                                                        : ncd_basis_read(&c, t);
    if (status == NCD_OK && ncd_is_bad(&c))
        status = NCD_ERR_CORRUPT;
    if (status != NCD_OK)
        return status;
    t->data = c.p;
    more = 0;
    if (t->regressor == NCD_REGRESSOR_ROWS) {
        if ((uint64_t)t->stored_rows * t->cols > STORED_MAX)
            return NCD_ERR_CORRUPT;
        status = read_nested(&c, t, t->stored_rows, &nested);
        if (status != NCD_OK)
            return status;
        t->stored_codec = nested.codec;
        t->stored_wide = nested.mode == NCD_MODE_WIDE;
        t->stored = nested.payload;
        t->stored_end = nested.end;
        tables = ncd_coded_workspace(&nested);
        LEAST(t, &nested);
        more = 4 + (((size_t)t->stored_rows * t->cols << t->stored_wide) + 3u) / 4u * 4u;
    }
    if (mode & RESIDUAL) {
        status = read_nested(&c, t, t->rows, &nested);
        if (status != NCD_OK)
            return status;
        if (nested.tile_rows != t->tile_rows || nested.tile_cols != t->tile_cols)
            return NCD_ERR_CORRUPT;
        t->residual_codec = nested.codec;
        t->residual = nested.payload;
        t->residual_end = nested.end;
        LEAST(t, &nested);
        if (ncd_coded_workspace(&nested) > tables)
            tables = ncd_coded_workspace(&nested);
        if (more == 0)
            more = 4;
        more += (sizeof nested + 3u) / 4u * 4u;
    }
    t->regression_tables = (uint32_t)tables;
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_INDEX_LOG2 > 4
    t->least_workspace += (uint32_t)more;
#endif
    t->regression_workspace = (uint32_t)(more + tables);
    return c.p == c.end ? NCD_OK : NCD_ERR_CORRUPT;
}

/* ---- Workspace: a tag, the opened residual, the levels of the stored rows, tables of one nested tensor ---- */

static uint32_t tag_of(const ncd_tensor *t)
{
    return (uint32_t)(uintptr_t)t->params << 1 | 1u;
}

static uint8_t *cache_in(const ncd_tensor *t, uint32_t *workspace)
{
    return (uint8_t *)(workspace + 1) + (t->residual ? (sizeof *t + 3u) / 4u * 4u : 0);
}

/* Where tables begin: behind all else. */
static uint32_t *tables_in(const ncd_tensor *t, uint32_t *workspace)
{
    return workspace + (t->regression_workspace - t->regression_tables) / 4u;
}

static ncd_status decode_nested(const ncd_tensor *nested, uint32_t tile, int wide, void *dst, uint32_t n,
                                const uint32_t *tables)
{
    int8_t *narrow = (int8_t *)dst;
    int16_t *level = (int16_t *)dst;
    ncd_status status;
    if (!wide || nested->mode == NCD_MODE_WIDE)
        return ncd_coded_tile(nested, tile, (uint8_t *)dst, n, tables);
    narrow += n; /* to the second half, from where they are widened */
    status = ncd_coded_tile(nested, tile, (uint8_t *)narrow, n, tables);
    for (; status == NCD_OK && n > 0; --n)
        *level++ = *narrow++;
    return status;
}

ncd_status ncd_regression_prepare(const ncd_tensor *t, uint32_t *workspace)
{
    uint32_t *const tables = tables_in(t, workspace);
    ncd_tensor nested;
    ncd_status status = NCD_OK;
    uint32_t row, col, rows, cols, tile;

    workspace[0] = 0;
    if (t->regressor == NCD_REGRESSOR_ROWS) {
        uint8_t *cache = cache_in(t, workspace);
        status = open_nested(t, t->stored_codec, t->stored_rows, t->stored, t->stored_end, &nested);
        if (status == NCD_OK)
            status = ncd_coded_prepare(&nested, tables, t->regression_tables);
        for (tile = 0; status == NCD_OK && tile < nested.tiles; ++tile) {
            (void)ncd_tile_place(&nested, tile, &row, &col, &rows, &cols);
            status = ncd_coded_tile(&nested, tile, cache, rows * cols, tables);
            cache += (size_t)(rows * cols) << t->stored_wide;
        }
    }
    if (status == NCD_OK && t->residual) {
        status = open_nested(t, t->residual_codec, t->rows, t->residual, t->residual_end, &nested);
        if (status == NCD_OK)
            status = ncd_coded_prepare(&nested, tables, t->regression_tables);
        NCD_COPY(workspace + 1, &nested, sizeof nested);
    }
    if (status == NCD_OK)
        workspace[0] = tag_of(t);
    return status;
}

/* ---- Tiles ---- */

ncd_status ncd_regression_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *workspace)
{
    ncd_inference i;
    i.t = t;
    i.tile = tile;
    i.dst = dst;
    (void)ncd_tile_place(t, tile, &i.row, &i.col, &i.rows, &i.cols);
    if (t->regression_workspace &&
        (!NCD_GIVEN(workspace) || !NCD_GIVEN(((uintptr_t)workspace & 3u) == 0) || workspace[0] != tag_of(t)))
        return NCD_ERR_WORKSPACE;
    if (t->residual) {
        ncd_tensor nested;
        ncd_status status;
        NCD_COPY(&nested, workspace + 1, sizeof nested);
        status = decode_nested(&nested, tile, t->mode == NCD_MODE_WIDE, dst, n,
                               workspace + (t->regression_workspace - t->regression_tables) / 4u);
        if (status != NCD_OK)
            return status;
    } else if (t->regressor != NCD_REGRESSOR_ROWS) {
        NCD_FILL(dst, 0, t->mode == NCD_MODE_WIDE ? 2u * (size_t)n : n);
    }
    if (t->regressor == NCD_REGRESSOR_ROWS)
        return ncd_rows_tile(&i, (const uint8_t *)(workspace + 1) + (t->residual ? (sizeof *t + 3u) / 4u * 4u : 0));
    if (t->regressor == NCD_REGRESSOR_EXPRESSION)
        ncd_expression_tile(&i);
    else
        ncd_basis_tile(&i);
    return NCD_OK;
}

#endif
