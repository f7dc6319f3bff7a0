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

/* Rows of a tile, one after the other, and the records of those that are sums. */
typedef struct walk {
    layout l;
    ncd_fields f;
    uint32_t stored; /* rows in all */
    uint32_t at;     /* the next stored row */
} walk;

static ncd_status start_walk(const ncd_inference *i, walk *w)
{
    ncd_cursor c;
    c.p = i->t->params;
    c.end = i->t->data;
    if (read_layout(&c, i->t, &w->stored, &w->l) != NCD_OK)
        return NCD_ERR_CORRUPT; /* it was good when the tensor was opened */
    w->at = stored_before(&w->l, i->row);
    w->f = ncd_fields_at(w->l.records, (uint64_t)(i->row - w->at) * (w->l.terms * (w->l.index_width + w->l.width)));
    return NCD_OK;
}

/* Term k of the next row. 0: there is no such stored row. */
static int next_term(walk *w, uint32_t k, uint32_t *index, uint32_t *factor)
{
    *index = w->l.index_width ? ncd_field(&w->f, w->l.index_width) : k;
    *factor = (uint32_t)ncd_signed_field(&w->f, w->l.width);
    return *index < w->stored;
}

ncd_status ncd_rows_tile(const ncd_inference *i, const void *cache)
{
    const ncd_tensor *const t = i->t;
    const uint8_t *const levels = (const uint8_t *)cache + ((size_t)i->col << t->stored_wide);
    const size_t stride = (size_t)t->cols << t->stored_wide;
    const int wide = t->mode == NCD_MODE_WIDE;
    uint8_t *dst = (uint8_t *)i->dst;
    term terms[TERMS_MAX];
    walk w;
    uint32_t row;

    if (start_walk(i, &w) != NCD_OK)
        return NCD_ERR_CORRUPT;
    for (row = i->row; row < i->row + i->rows; ++row, dst += (size_t)i->cols << wide) {
        uint32_t count = 1, shift = 0, k;
        if (is_stored(&w.l, row)) {
            terms[0].levels = levels + w.at++ * stride;
            terms[0].factor = (uint32_t)1 << t->fraction;
        } else {
            count = w.l.terms;
            shift = w.l.shift;
            for (k = 0; k < count; ++k) {
                uint32_t index;
                if (!next_term(&w, k, &index, &terms[k].factor))
                    return NCD_ERR_CORRUPT;
                terms[k].levels = levels + index * stride;
            }
        }
        if (wide || t->residual)
            sum_any(terms, count, shift, t->stored_wide, wide, t->residual != NULL, t->fraction, dst, i->cols);
        else
            sum_narrow(terms, count, shift, dst, i->cols);
    }
    return NCD_OK;
}

/* ---- The same without the levels of all stored rows at hand ---- */

/* A tile of the stored rows, decoded. */
typedef struct piece {
    const uint8_t *levels; /* null: not yet */
    uint32_t row, col, rows, cols;
} piece;

NCD_INLINE void add_levels(const uint8_t *levels, uint32_t factor, const int wide_in, uint32_t *sums, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; ++i)
        sums[i] += factor * LEVEL(levels, i);
}

/* Adds what is in a piece of a stored row to the sums of a row of the tile. */
static NCD_NOINLINE void add_piece(const ncd_inference *i, const piece *p, uint32_t index, uint32_t factor,
                                   uint32_t *sums)
{
    const uint32_t first = p->col > i->col ? p->col : i->col;
    const uint32_t end = p->col + p->cols < i->col + i->cols ? p->col + p->cols : i->col + i->cols;
    const size_t at = (size_t)(index - p->row) * p->cols + (first - p->col);
    const uint8_t *const levels = p->levels + (at << i->t->stored_wide);
    if (i->t->stored_wide)
        add_levels(levels, factor, 1, sums + (first - i->col), end - first);
    else
        add_levels(levels, factor, 0, sums + (first - i->col), end - first);
}

static ncd_status fetch_piece(const ncd_rows_pieces *from, uint32_t tile, size_t stride, piece *p)
{
    const ncd_status status = ncd_tile_place(from->stored, tile, &p->row, &p->col, &p->rows, &p->cols);
    if (status != NCD_OK)
        return status;
    p->levels = from->levels;
    if (tile < *from->kept) {
        p->levels += (tile + 1u) * stride;
        return NCD_OK;
    }
    return ncd_coded_tile(from->stored, tile, from->levels, p->rows * p->cols, from->tables);
}

/* Adds what one tile of the stored rows has to all sums, and gives the next that has something, or UINT32_MAX. It is
 * decoded where it has. */
static ncd_status add_pieces(const ncd_inference *i, const ncd_rows_pieces *from, size_t stride, uint32_t tile,
                             uint32_t *next)
{
    const ncd_tensor *const stored = from->stored;
    uint32_t *sums = from->sums;
    piece p;
    walk w;
    uint32_t row, first_part = 0, last_part = 0;

    p.levels = NULL;
    *next = UINT32_MAX;
    if (start_walk(i, &w) != NCD_OK)
        return NCD_ERR_CORRUPT;
    if (stored->per_row != 1) {
        first_part = i->col / stored->tile_cols;
        last_part = (i->col + i->cols - 1u) / stored->tile_cols;
    }
    for (row = i->row; row < i->row + i->rows; ++row, sums += i->cols) {
        const int whole = is_stored(&w.l, row);
        const uint32_t count = whole ? 1 : w.l.terms;
        uint32_t k;
        for (k = 0; k < count; ++k) {
            uint32_t index, factor, first, last;
            if (whole) {
                index = w.at++;
                factor = (uint32_t)1 << i->t->fraction;
            } else if (!next_term(&w, k, &index, &factor)) {
                return NCD_ERR_CORRUPT;
            }
            first = stored->tile_rows == 1 ? index * stored->per_row : index / stored->tile_rows;
            last = first + last_part;
            first += first_part;
            if (first <= tile && tile <= last) {
                if (!p.levels) {
                    const ncd_status status = fetch_piece(from, tile, stride, &p);
                    if (status != NCD_OK)
                        return status;
                }
                add_piece(i, &p, index, factor, sums);
            }
            if (first <= tile)
                first = tile + 1u;
            if (first <= last && first < *next)
                *next = first;
        }
    }
    return NCD_OK;
}

ncd_status ncd_rows_tile_by_pieces(const ncd_inference *i, const ncd_rows_pieces *from, size_t stride)
{
    const int wide = i->t->mode == NCD_MODE_WIDE;
    uint32_t tile = 0, next, row, at = 0, k;
    layout l;
    ncd_cursor c;
    NCD_FILL(from->sums, 0, 4u * (size_t)(i->rows * i->cols));
    do {
        const ncd_status status = add_pieces(i, from, stride, tile, &next);
        if (status != NCD_OK)
            return status;
        tile = next;
    } while (tile != UINT32_MAX);
    c.p = i->t->params;
    c.end = i->t->data;
    (void)read_layout(&c, i->t, &k, &l);
    for (row = i->row; row < i->row + i->rows; ++row) {
        const uint32_t shift = is_stored(&l, row) ? 0 : l.shift;
        const uint32_t half = shift ? (uint32_t)1 << (shift - 1u) : 0;
        for (k = 0; k < i->cols; ++k, ++at)
            ncd_move_level(i->dst, at, wide, i->t->fraction, ncd_floor_shift(from->sums[at] + half, shift));
    }
    return NCD_OK;
}

#endif
