/* The only module with floating point: levels times scale. */
#include "internal.h"

#if NCD_ENABLE_FLOAT

static float float_of(uint32_t bits)
{
    float f;
    NCD_COPY(&f, &bits, sizeof f);
    return f;
}

/* A scale times what scale code `i` says; nothing with width 0. */
static float scaled(float scale, const uint8_t *codes, uint32_t width, uint32_t i)
{
    /* 2^(-j/8) */
    static const uint32_t eighths[8] = {0x3F800000u, 0x3F6AC0C7u, 0x3F5744FDu, 0x3F45672Au,
                                        0x3F3504F3u, 0x3F25FED7u, 0x3F1837F0u, 0x3F0B95C2u};
    if (width) {
        const uint64_t bit = (uint64_t)i * width;
        const uint8_t *const p = codes + (size_t)(bit >> 3);
        const uint32_t shift = (uint32_t)bit & 7u;
        uint32_t k = (uint32_t)*p >> shift;
        if (shift + width > 8)
            k |= (uint32_t)p[1] << (8 - shift);
        k &= (1u << width) - 1;
        scale *= float_of(eighths[k & 7u]);
        scale *= float_of((127u - (k >> 3)) << 23);
    }
    return scale;
}

/* Whether the matrix is that of the tensor, transposed. */
static int is_transposed(const ncd_tensor *t)
{
#if NCD_HAS_COLUMNS
    return t->columns;
#else
    (void)t;
    return 0;
#endif
}

float ncd_row_scale(const ncd_tensor *t, uint32_t row)
{
    if (!t || t->mode == NCD_MODE_LOSSLESS || row >= (is_transposed(t) ? t->cols : t->rows))
        return 0;
    if (t->step_bits == 0)
        return 1;
    return scaled(float_of(t->step_bits), t->scales, t->scale_width, row);
}

#if NCD_HAS_COLUMNS
float ncd_column_scale(const ncd_tensor *t, uint32_t col)
{
    if (!t || t->mode == NCD_MODE_LOSSLESS || col >= (t->columns ? t->rows : t->cols))
        return 0;
    return scaled(1, t->column_scales, t->column_scale_width, col);
}

/* Levels of any width, in any order, with scales of rows and columns. */
static ncd_status decode_levels(const ncd_tensor *t, uint32_t tile, float *dst, uint32_t n, const void *workspace)
{
    const uint8_t *level = (const uint8_t *)dst + (size_t)2 * n;
    uint32_t row, col, rows, cols, i;
    ncd_status status;
    NCD_RETYPE();
    status = ncd_decode_tile_i16(t, tile, (int16_t *)(void *)((uint8_t *)dst + (size_t)2 * n), n, workspace);
    NCD_RETYPE();
    (void)ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    for (; status == NCD_OK && rows > 0; --rows, ++row) {
        float by_row = t->columns ? 0 : ncd_row_scale(t, row), by_col = t->columns ? ncd_column_scale(t, row) : 1;
        for (i = 0; i < cols; ++i) {
            int16_t whole;
            float weight;
            NCD_COPY(&whole, level, sizeof whole);
            level += sizeof whole;
            weight = whole;
            if (t->columns)
                by_row = ncd_row_scale(t, col + i);
            else if (t->column_scale_width)
                by_col = ncd_column_scale(t, col + i);
            weight *= by_row;
            *dst++ = weight * by_col;
        }
    }
    return status;
}
#endif

#if NCD_ENABLE_KMEANS
/* A centroid that is no level, widened to f32. */
static float centroid_of(const uint8_t *book, uint32_t type, uint32_t index)
{
    uint32_t bits, sign, rest;
    if (type == NCD_CENTROID_F32)
        return float_of(ncd_load_u32(book + 4u * index));
    bits = book[2u * index] | (uint32_t)book[2u * index + 1u] << 8;
    if (type == NCD_CENTROID_BF16)
        return float_of(bits << 16);
    sign = bits >> 15 << 31;
    rest = bits & 0x7FFFu;
    if (rest >> 10 == 31u)
        return float_of(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
    if (rest >> 10 == 0) { /* zero or subnormal: a multiple of 2^-24 */
        const float magnitude = (float)rest * float_of((127u - 24u) << 23);
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | ((rest << 13) + (112u << 23)));
}
#endif

ncd_status ncd_decode_tile_f32(const ncd_tensor *t, uint32_t tile, float *dst, size_t capacity, const void *workspace)
{
    uint32_t row, col, rows, cols, n, i;
    uint8_t *const bytes = (uint8_t *)dst;
    const int8_t *level;
    ncd_status status;

    if (!t || !dst || (t->mode == NCD_MODE_LOSSLESS && t->dtype != NCD_F32))
        return NCD_ERR_ARG;
    status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
    n = rows * cols;
    if (capacity < n)
        return NCD_ERR_CAPACITY;

    if (t->mode == NCD_MODE_LOSSLESS) {
        status = ncd_decode_tile_bytes(t, tile, bytes, (size_t)n * 4, workspace);
#if !(defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        if (status == NCD_OK)
            for (i = 0; i < n; ++i)
                dst[i] = float_of(ncd_load_u32(bytes + (size_t)4 * i));
#endif
        return status;
    }

#if NCD_ENABLE_KMEANS
    if (t->mode == NCD_MODE_INDICES) {
        const uint8_t *index = bytes + (size_t)n * 3;
        status = ncd_kmeans_tile(t, tile, bytes + (size_t)n * 3, (const uint32_t *)workspace);
        for (; status == NCD_OK && rows > 0; --rows, ++row) {
            const float scale = ncd_row_scale(t, row);
            const uint8_t *book;
            uint32_t count;
            (void)ncd_codebook(t, row, &book, &count);
            for (i = 0; i < cols; ++i) {
                const float centroid = centroid_of(book, t->centroid_type, *index++);
                *dst++ = t->step_bits ? centroid * scale : centroid;
            }
        }
        return status;
    }
#endif

#if NCD_HAS_COLUMNS
    if (t->mode == NCD_MODE_WIDE || t->columns || t->column_scale_width)
        return decode_levels(t, tile, dst, n, workspace);
#endif

    /* The levels go to the last quarter; float i ends at or before level i, so expanding upwards is safe. */
    level = (const int8_t *)bytes + (size_t)n * 3;
    status = ncd_decode_tile_i8(t, tile, (int8_t *)bytes + (size_t)n * 3, n, workspace);
    for (; status == NCD_OK && rows > 0; --rows, ++row) {
        const float scale = ncd_row_scale(t, row);
        for (i = 0; i < cols; ++i)
            *dst++ = (float)*level++ * scale;
    }
    return status;
}

#endif
