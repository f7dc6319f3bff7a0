/* Codec 7: some weights are stored, the others inferred (docs/format.md section 13). */
#include "regression.h"

#if NCD_ENABLE_REGRESSION

enum { REGRESSOR = 3, WIDE = 4, RESIDUAL = 8, REPLACE = 16 };
enum { FRACTION_MAX = 8, STORED_MAX = 1 << 24 };

/* A nested payload refers to no shared object: there are none. */
static const uint8_t no_objects[17] = {0};

/* Bytes of an opened tensor in a workspace. */
#define OPENED ((sizeof(ncd_tensor) + 3u) / 4u * 4u)

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

/* Rounded up to whole words. */
static size_t words(size_t bytes)
{
    return (bytes + 3u) / 4u * 4u;
}

/* Bytes that a full tile of the stored rows takes in a workspace. */
static size_t tile_levels(const ncd_tensor *nested)
{
    return words((size_t)nested->tile_size << (nested->mode == NCD_MODE_WIDE));
}

/* Bytes of the tables of one nested tensor at a time. */
static uint32_t most_tables(const ncd_tensor *t)
{
    return t->stored_tables > t->residual_tables ? t->stored_tables : t->residual_tables;
}

ncd_status ncd_regression_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    ncd_tensor nested;
    ncd_status status;
    size_t full = 4, least = 4;
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
    status = ncd_tensor_read_levels(t, &c, mode & WIDE ? (uint32_t)NCD_LEVELS_WIDE : 0u);
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
        t->stored_tables = (uint32_t)words(ncd_coded_workspace(&nested));
        LEAST(t, &nested);
        full += words((size_t)t->stored_rows * t->cols << t->stored_wide);
        least += t->stored_tables + OPENED + 4u + 4u * (size_t)t->tile_size + tile_levels(&nested);
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
        t->residual_tables = (uint32_t)words(ncd_coded_workspace(&nested));
        LEAST(t, &nested);
        full += OPENED;
        least += OPENED + t->residual_tables;
    }
    if (t->stored || t->residual) {
#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_INDEX_LOG2 > 4
        t->least_workspace += (uint32_t)full;
#endif
        t->regression_workspace = (uint32_t)full + most_tables(t);
        t->regression_least = t->stored && least < t->regression_workspace ? (uint32_t)least : t->regression_workspace;
    }
    return c.p == c.end ? NCD_OK : NCD_ERR_CORRUPT;
}

/* ---- Workspace ----
 *
 * Full:  a tag, the opened residual, tables of one nested tensor, levels of all stored rows
 * Less:  a tag, the opened residual, its tables, those of the stored rows, these opened, how many of their tiles are
 *        kept, sums of a tile, levels of the tile of the stored rows at hand, levels of the tiles that are kept */

static uint32_t tag_of(const ncd_tensor *t, int less)
{
    return ncd_tag(t->payload, less != 0);
}

static uint32_t *tables_in(const ncd_tensor *t, uint32_t *workspace)
{
    return workspace + 1 + (t->residual ? OPENED / 4u : 0);
}

static uint8_t *cache_in(const ncd_tensor *t, uint32_t *workspace)
{
    return (uint8_t *)(tables_in(t, workspace) + most_tables(t) / 4u);
}

/* Where a workspace that is less than full has what; `nested` for the opened stored rows. */
static void find_pieces(const ncd_tensor *t, uint32_t *workspace, const ncd_tensor *nested, ncd_rows_pieces *from)
{
    uint32_t *const tables = tables_in(t, workspace) + t->residual_tables / 4u;
    from->stored = nested;
    from->tables = tables;
    from->opened = tables + t->stored_tables / 4u;
    from->kept = from->opened + OPENED / 4u;
    from->sums = from->kept + 1;
    from->levels = (uint8_t *)(from->sums + t->tile_size);
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

/* Decodes tiles of the stored rows, each `stride` bytes behind the one before. */
static ncd_status decode_stored(const ncd_tensor *nested, uint32_t tiles, uint8_t *levels, size_t stride,
                                const uint32_t *tables)
{
    ncd_status status = NCD_OK;
    uint32_t row, col, rows, cols, tile;
    for (tile = 0; status == NCD_OK && tile < tiles; ++tile) {
        (void)ncd_tile_place(nested, tile, &row, &col, &rows, &cols);
        status = ncd_coded_tile(nested, tile, levels, rows * cols, tables);
        levels += stride ? stride : (size_t)(rows * cols) << (nested->mode == NCD_MODE_WIDE);
    }
    return status;
}

/* room: bytes beyond the least. */
static ncd_status prepare_stored(const ncd_tensor *t, uint32_t *workspace, int less, size_t room)
{
    ncd_tensor nested;
    ncd_rows_pieces from;
    uint32_t *tables = tables_in(t, workspace);
    ncd_status status = open_nested(t, t->stored_codec, t->stored_rows, t->stored, t->stored_end, &nested);
    if (status != NCD_OK)
        return status;
    if (less)
        tables += t->residual_tables / 4u;
    status = ncd_coded_prepare(&nested, tables, t->stored_tables);
    if (status != NCD_OK)
        return status;
    if (!less)
        return decode_stored(&nested, nested.tiles, cache_in(t, workspace), 0, tables);
    find_pieces(t, workspace, &nested, &from);
    NCD_COPY(from.opened, &nested, sizeof nested);
    *from.kept = (uint32_t)(room / tile_levels(&nested)); /* not all: the workspace would be full */
    return decode_stored(&nested, *from.kept, from.levels + tile_levels(&nested), tile_levels(&nested), tables);
}

/* After the stored rows, whose tables those of the residual may replace. */
static ncd_status prepare_residual(const ncd_tensor *t, uint32_t *workspace)
{
    ncd_tensor nested;
    const ncd_status status = open_nested(t, t->residual_codec, t->rows, t->residual, t->residual_end, &nested);
    if (status != NCD_OK)
        return status;
    NCD_COPY(workspace + 1, &nested, sizeof nested);
    return ncd_coded_prepare(&nested, tables_in(t, workspace), t->residual_tables);
}

ncd_status ncd_regression_prepare(const ncd_tensor *t, uint32_t *workspace, size_t size)
{
    const int less = size < t->regression_workspace;
    ncd_status status = NCD_OK;
    workspace[0] = 0;
    if (t->stored)
        status = prepare_stored(t, workspace, less, size - t->regression_least);
    if (status == NCD_OK && t->residual)
        status = prepare_residual(t, workspace);
    if (status == NCD_OK)
        workspace[0] = tag_of(t, less);
    return status;
}

/* ---- Tiles ---- */

ncd_status ncd_regression_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *workspace)
{
    uint32_t *const memory = (uint32_t *)(uintptr_t)workspace; /* the caller's, which is not const */
    ncd_tensor nested;
    int less = 0;
    ncd_inference i;
    i.t = t;
    i.tile = tile;
    i.dst = dst;
    (void)ncd_tile_place(t, tile, &i.row, &i.col, &i.rows, &i.cols);
    if (t->regression_workspace) {
        if (!NCD_GIVEN(memory) || !NCD_GIVEN(((uintptr_t)memory & 3u) == 0))
            return NCD_ERR_WORKSPACE;
        less = memory[0] == tag_of(t, 1);
        if (!less && memory[0] != tag_of(t, 0))
            return NCD_ERR_WORKSPACE;
    }
    if (t->residual) {
        ncd_status status;
        NCD_COPY(&nested, memory + 1, sizeof nested);
        status = decode_nested(&nested, tile, t->mode == NCD_MODE_WIDE, dst, n, tables_in(t, memory));
        if (status != NCD_OK)
            return status;
    } else if (less || !t->stored) {
        NCD_FILL(dst, 0, t->mode == NCD_MODE_WIDE ? 2u * (size_t)n : n);
    }
    if (less) {
        ncd_rows_pieces from;
        find_pieces(t, memory, &nested, &from);
        NCD_COPY(&nested, from.opened, sizeof nested);
        return ncd_rows_tile_by_pieces(&i, &from, tile_levels(&nested));
    }
    if (t->stored)
        return ncd_rows_tile(&i, cache_in(t, memory));
    if (t->regressor == NCD_REGRESSOR_EXPRESSION)
        ncd_expression_tile(&i);
    else
        ncd_basis_tile(&i);
    return NCD_OK;
}

#endif
