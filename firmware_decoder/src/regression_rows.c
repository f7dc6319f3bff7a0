/* Rows as sums of stored rows (docs/format.md section 13.2). */
#include "regression.h"

#if NCD_ENABLE_REGRESSION

enum { TERMS_MAX = 32, SHIFT_MAX = 24, BLOCK = 8 };

/* Parameters, which have been checked. */
typedef struct layout {
    const uint8_t *flags; /* whether a row is stored, a bit each */
    const uint8_t *records;
    uint32_t terms, index_width, width, shift;
} layout;

static uint32_t bit_length(uint32_t v)
{
    uint32_t n = 0;
    for (; v; v >>= 1)
        ++n;
    return n;
}

static uint32_t count_bits(uint32_t byte)
{
    byte -= byte >> 1 & 0x55u;
    byte = (byte & 0x33u) + (byte >> 2 & 0x33u);
    return (byte + (byte >> 4)) & 15u;
}

static int is_stored(const layout *l, uint32_t row)
{
    return l->flags[row >> 3] >> (row & 7u) & 1;
}

/* Stored rows before a row. */
static uint32_t stored_before(const layout *l, uint32_t row)
{
    uint32_t n = 0, i;
    for (i = 0; i < row >> 3; ++i)
        n += count_bits(l->flags[i]);
    return n + ((row & 7u) ? count_bits(l->flags[i] & ((1u << (row & 7u)) - 1u)) : 0);
}

static ncd_status read_layout(ncd_cursor *c, const ncd_tensor *t, uint32_t *stored, layout *l)
{
    uint32_t width;
    *stored = ncd_get_varint32(c);
    if (*stored - 1u >= t->rows)
        return NCD_ERR_CORRUPT;
    l->flags = ncd_get_fields(c, t->rows, 1);
    l->terms = ncd_get_u8(c);
    width = ncd_get_u8(c);
    if (ncd_is_bad(c) || l->terms - 1u >= TERMS_MAX || l->terms > *stored)
        return NCD_ERR_CORRUPT;
    if (width >> 4)
        return NCD_ERR_UNSUPPORTED;
    l->width = width + 1u;
    l->shift = ncd_get_u8(c);
    if (l->shift > SHIFT_MAX)
        return NCD_ERR_CORRUPT;
    l->index_width = l->terms == *stored ? 0 : bit_length(*stored - 1u);
    l->records = c->p;
    return NCD_OK;
}

ncd_status ncd_rows_read(ncd_cursor *c, ncd_tensor *t)
{
    layout l;
    const ncd_status status = read_layout(c, t, &t->stored_rows, &l);
    uint64_t bits;
    if (status != NCD_OK)
        return status;
    if (stored_before(&l, t->rows) != t->stored_rows)
        return NCD_ERR_CORRUPT;
    bits = (uint64_t)(t->rows - t->stored_rows) * (l.terms * (l.index_width + l.width));
    if ((bits + 7) >> 3 > (uint64_t)(size_t)(c->end - c->p))
        return NCD_ERR_CORRUPT;
    ncd_get_bytes(c, (size_t)((bits + 7) >> 3));
    return NCD_OK;
}

/* What a row is the sum of. */
typedef struct term {
    const uint8_t *levels; /* at the tile's first column */
    uint32_t factor;
} term;

NCD_INLINE uint32_t level_of(const uint8_t *p, uint32_t i, const int wide)
{
    const int32_t level = wide ? ((const int16_t *)(const void *)p)[i] : ((const int8_t *)p)[i];
    return (uint32_t)level;
}

#define LEVEL(p, i) level_of(p, i, wide_in)

/* One row of a tile: the terms' sum over 2^shift, and what the residual adds. The flags are constants where this is
 * called. Eight columns at a time: their sums stay in registers. */
NCD_INLINE void sum_terms(const term *terms, uint32_t count, uint32_t shift, const int wide_in, const int wide_out,
                          const int residual, uint32_t fraction, void *dst, uint32_t n)
{
    const uint32_t half = shift ? (uint32_t)1 << (shift - 1u) : 0;
    const term *const last = terms + count;
    uint32_t at = 0;
#define PUT(i, s)                                                                                                       \
    do {                                                                                                                \
        const int32_t p = ncd_floor_shift(s, shift);                                                                    \
        if (residual)                                                                                                   \
            ncd_move_level(dst, at + (i), wide_out, fraction, p);                                                       \
        else if (wide_out)                                                                                              \
            ((int16_t *)dst)[at + (i)] = (int16_t)ncd_nearest_level(p, 1);                                              \
        else                                                                                                            \
            ((int8_t *)dst)[at + (i)] = (int8_t)ncd_nearest_level(p, 0);                                                \
    } while (0)
    for (; n - at >= BLOCK; at += BLOCK) {
        uint32_t s0 = half, s1 = half, s2 = half, s3 = half, s4 = half, s5 = half, s6 = half, s7 = half;
        const term *k = terms;
        do {
            const uint8_t *const p = k->levels + ((size_t)at << wide_in);
            const uint32_t f = k->factor;
            s0 += f * LEVEL(p, 0);
            s1 += f * LEVEL(p, 1);
            s2 += f * LEVEL(p, 2);
            s3 += f * LEVEL(p, 3);
            s4 += f * LEVEL(p, 4);
            s5 += f * LEVEL(p, 5);
            s6 += f * LEVEL(p, 6);
            s7 += f * LEVEL(p, 7);
        } while (++k != last);
        PUT(0, s0);
        PUT(1, s1);
        PUT(2, s2);
        PUT(3, s3);
        PUT(4, s4);
        PUT(5, s5);
        PUT(6, s6);
        PUT(7, s7);
    }
    for (; at < n; ++at) {
        uint32_t s = half;
        const term *k = terms;
        do
            s += k->factor * LEVEL(k->levels, at);
        while (++k != last);
        PUT(0, s);
    }
#undef PUT
}

static NCD_NOINLINE void sum_narrow(const term *terms, uint32_t count, uint32_t shift, void *dst, uint32_t n)
{
    sum_terms(terms, count, shift, 0, 0, 0, 0, dst, n);
}

/* The others are not worth code of their own each. */
static NCD_NOINLINE void sum_any(const term *terms, uint32_t count, uint32_t shift, int wide_in, int wide_out,
                                 int residual, uint32_t fraction, void *dst, uint32_t n)
{
    if (wide_in)
        sum_terms(terms, count, shift, 1, wide_out, residual, fraction, dst, n);
    else
        sum_terms(terms, count, shift, 0, wide_out, residual, fraction, dst, n);
}

ncd_status ncd_rows_tile(const ncd_inference *i, const void *cache)
{
    const ncd_tensor *const t = i->t;
    const uint8_t *const levels = (const uint8_t *)cache + ((size_t)i->col << t->stored_wide);
    const size_t stride = (size_t)t->cols << t->stored_wide;
    const int wide = t->mode == NCD_MODE_WIDE;
    uint8_t *dst = (uint8_t *)i->dst;
    term terms[TERMS_MAX];
    layout l;
    ncd_cursor c;
    ncd_fields f;
    uint32_t stored, at, row;

    c.p = t->params;
    c.end = t->data;
    if (read_layout(&c, t, &stored, &l) != NCD_OK)
        return NCD_ERR_CORRUPT; /* it was good when the tensor was opened */
    at = stored_before(&l, i->row);
    f = ncd_fields_at(l.records, (uint64_t)(i->row - at) * (l.terms * (l.index_width + l.width)));
    for (row = i->row; row < i->row + i->rows; ++row, dst += (size_t)i->cols << wide) {
        uint32_t count = 1, shift = 0, k;
        if (is_stored(&l, row)) {
            terms[0].levels = levels + at++ * stride;
            terms[0].factor = (uint32_t)1 << t->fraction;
        } else {
            count = l.terms;
            shift = l.shift;
            for (k = 0; k < count; ++k) {
                const uint32_t index = l.index_width ? ncd_field(&f, l.index_width) : k;
                if (index >= stored)
                    return NCD_ERR_CORRUPT;
                terms[k].levels = levels + index * stride;
                terms[k].factor = (uint32_t)ncd_signed_field(&f, l.width);
            }
        }
        if (wide || t->residual)
            sum_any(terms, count, shift, t->stored_wide, wide, t->residual != NULL, t->fraction, dst, i->cols);
        else
            sum_narrow(terms, count, shift, dst, i->cols);
    }
    return NCD_OK;
}

#endif
