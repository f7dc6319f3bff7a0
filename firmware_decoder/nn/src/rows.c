/* Weights of a layer, tile by tile. */
#include "rows.h"

enum { MODE_LEVELS = 0 }; /* of ncd_tensor */

static int has_weights_of(const ncd_tensor *t, uint32_t size)
{
    if (size == 1)
        return t->mode == MODE_LEVELS || t->dtype == NCD_I8;
    return t->mode != 1 || t->dtype == NCD_F32;
}

ncd_status ncd_nn_rows_open(ncd_nn_rows *r, const ncd_nn *nn, const ncd_nn_weights *weights, uint32_t size)
{
    ncd_tensor *const t = &r->tensor;
    uint32_t rows, cols;
    ncd_status status;
    r->nn = nn;
    r->weights = weights;
    r->size = size;
    r->tile = 0;
    r->left = 0;
    r->row = 0;
    r->count = 0;
    r->col = 0;
    r->width = weights->cols;
    if (weights->rows == 0 || weights->cols == 0 || weights->cols > NCD_NN_COLS_MAX)
        return NCD_ERR_ARG;
    if (weights->plain) {
        t->tiles = 1;
        return NCD_OK;
    }
    if (nn->tensors) {
        *t = nn->tensors[weights->index];
    } else {
        status = ncd_tensor_open(&nn->model, weights->index, t);
        if (status != NCD_OK)
            return status;
    }
    rows = t->rows;
    cols = t->cols;
    if (ncd_nn_rows_are_columns(r)) {
        rows = t->cols;
        cols = t->rows;
    }
    if (rows != weights->rows || cols != weights->cols)
        return NCD_ERR_CORRUPT;
    if (!has_weights_of(t, size))
        return NCD_ERR_UNSUPPORTED;
    return ncd_tensor_prepare(t, nn->tables, nn->tables_size);
}

/* Decodes the next tile to dst and checks it. */
static ncd_status decode(ncd_nn_rows *r, void *dst, size_t capacity)
{
    const ncd_tensor *const t = &r->tensor;
    const uint32_t tile = r->tile++;
    ncd_status status = ncd_tile_place(t, tile, &r->row, &r->col, &r->count, &r->width);
    if (status != NCD_OK)
        return status;
#if NCD_ENABLE_FLOAT
    if (r->size != 1)
        return ncd_decode_tile_f32(t, tile, (float *)dst, capacity, r->nn->tables);
#endif
    status = ncd_decode_tile_i8(t, tile, (int8_t *)dst, capacity, r->nn->tables);
    if (status == NCD_OK && r->weights->checks &&
        ncd_nn_checksum((const int8_t *)dst, r->count * r->width) != r->weights->checks[tile])
        return NCD_ERR_CHECKSUM;
    return status;
}

/* ---- Pieces ---- */

ncd_status ncd_nn_pieces_begin(ncd_nn_rows *r, ncd_nn_memory *memory)
{
    if (r->weights->plain)
        return NCD_OK;
    r->decoded = (uint8_t *)ncd_nn_take(memory, (size_t)r->tensor.tile_size * r->size);
    return r->decoded ? NCD_OK : NCD_ERR_WORKSPACE;
}

ncd_status ncd_nn_pieces_next(ncd_nn_rows *r)
{
    if (r->tile >= r->tensor.tiles) {
        r->count = 0;
        return NCD_OK;
    }
    if (r->weights->plain) {
        ++r->tile;
        r->data = r->weights->plain;
        r->count = r->weights->rows;
        return NCD_OK;
    }
    r->data = r->decoded;
    return decode(r, r->decoded, r->tensor.tile_size);
}

/* ---- Whole rows ---- */

/* Puts the weights of `count` channels, [channel][tap], in order, [tap][channel], `channels` to a tap. */
static void order_s8(const int8_t *src, uint32_t count, uint32_t taps, uint32_t channels, int8_t *dst)
{
    uint32_t tap;
    for (tap = 0; tap < taps; ++tap, ++src, dst += channels) {
        const int8_t *s = src;
        int8_t *d = dst;
        uint32_t n = count;
        for (; n >= 4; n -= 4, s += 4 * taps, d += 4) {
            const int8_t a = s[0], b = s[taps], c = s[2 * taps], e = s[3 * taps];
            d[0] = a;
            d[1] = b;
            d[2] = c;
            d[3] = e;
        }
        for (; n > 0; --n, s += taps)
            *d++ = *s;
    }
}

static void order_f32(const float *src, uint32_t count, uint32_t taps, uint32_t channels, float *dst)
{
    uint32_t tap, i;
    for (tap = 0; tap < taps; ++tap, ++src, dst += channels)
        for (i = 0; i < count; ++i)
            dst[i] = src[(size_t)i * taps];
}

/* The same for a run of n weights from place `at` of a row on, which need not be whole channels. */
static void order_piece(ncd_nn_rows *r, const uint8_t *src, uint32_t at, uint32_t n)
{
    const uint32_t taps = r->taps, channels = r->channels, size = r->size;
    uint32_t channel = at / taps, tap = at - channel * taps;
    while (n > 0) {
        if (tap == 0 && n >= taps) {
            const uint32_t count = n / taps;
            uint8_t *const dst = r->ordered + (size_t)channel * size;
            if (size == 1)
                order_s8((const int8_t *)src, count, taps, channels, (int8_t *)dst);
            else
                order_f32((const float *)(const void *)src, count, taps, channels, (float *)(void *)dst);
            channel += count;
            src += (size_t)count * taps * size;
            n -= count * taps;
            continue;
        }
        NCD_NN_COPY(r->ordered + ((size_t)tap * channels + channel) * size, src, size);
        src += size;
        --n;
        if (++tap == taps) {
            tap = 0;
            ++channel;
        }
    }
}

ncd_status ncd_nn_rows_begin(ncd_nn_rows *r, ncd_nn_memory *memory, uint32_t taps)
{
    const uint32_t cols = r->weights->cols;
    int ordered = 0;
    r->channels = cols / taps;
    r->taps = r->channels > 1 ? taps : 1;
    r->decoded = r->ordered = NULL;
    if (r->weights->plain)
        return NCD_OK;
    if (ncd_nn_rows_are_columns(r))
        return NCD_ERR_UNSUPPORTED;
    if (r->taps > 1 || !ncd_nn_rows_are_cut(r)) {
        r->decoded = (uint8_t *)ncd_nn_take(memory, (size_t)r->tensor.tile_size * r->size);
        if (!r->decoded)
            return NCD_ERR_WORKSPACE;
    }
    ordered = r->taps > 1 || ncd_nn_rows_are_cut(r);
    if (ordered) {
        r->ordered = (uint8_t *)ncd_nn_take(memory, (size_t)cols * r->size);
        if (!r->ordered)
            return NCD_ERR_WORKSPACE;
    }
    return NCD_OK;
}

/* A row that comes in pieces. */
static ncd_status gather(ncd_nn_rows *r)
{
    const uint32_t cols = r->weights->cols;
    ncd_status status;
    do {
        const uint32_t at = r->col + r->width == cols ? 0 : r->col + r->width;
        if (r->taps == 1) { /* right to its place */
            status = decode(r, r->ordered + (size_t)at * r->size, cols - at);
        } else {
            status = decode(r, r->decoded, r->tensor.tile_size);
            if (status == NCD_OK)
                order_piece(r, r->decoded, r->col, r->width);
        }
    } while (status == NCD_OK && r->col + r->width < cols);
    r->data = r->ordered;
    return status;
}

ncd_status ncd_nn_rows_next(ncd_nn_rows *r)
{
    ncd_status status = NCD_OK;
    if (r->left == 0) {
        if (r->weights->plain || r->tile >= r->tensor.tiles)
            return ncd_nn_pieces_next(r);
        if (ncd_nn_rows_are_cut(r))
            return gather(r);
        status = decode(r, r->decoded, r->tensor.tile_size);
        r->data = r->decoded;
        if (status != NCD_OK || r->taps == 1)
            return status;
        r->left = r->count;
        r->count = 1;
    } else {
        ++r->row;
    }
    /* The rows of a tile one by one. */
    r->data = r->ordered;
    order_piece(r, r->decoded + (size_t)(r->row - r->tensor.tile_rows * (r->tile - 1u)) * r->weights->cols * r->size, 0,
                r->weights->cols);
    --r->left;
    return status;
}
