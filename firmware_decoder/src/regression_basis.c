/* Blocks of weights as sums of pseudo-random vectors (docs/format.md section 13.4). */
#include "regression.h"

#if NCD_ENABLE_REGRESSION

enum { BLOCK_MAX = 64, VECTORS_MAX = 8, SEED_MIN = 4, SEED_MAX = 16, SHIFT_MAX = 24 };

/* Parameters, which have been checked. */
typedef struct layout {
    uint32_t block, vectors, seed_width, width, exponent_width, shift;
} layout;

static uint32_t record_bits(const layout *l)
{
    return l->seed_width + l->exponent_width + l->vectors * l->width;
}

/* Records of a full tile. */
static uint32_t records_of(const layout *l, uint32_t n)
{
    return (n + l->block - 1u) / l->block;
}

static layout read_layout(const uint8_t *p)
{
    layout l;
    l.block = p[0];
    l.vectors = p[1];
    l.seed_width = p[2];
    l.width = p[3];
    l.exponent_width = p[4];
    l.shift = p[5];
    return l;
}

ncd_status ncd_basis_read(ncd_cursor *c, ncd_tensor *t)
{
    const uint8_t *const p = ncd_get_bytes(c, 6);
    uint32_t row, col, rows, cols;
    uint64_t bytes;
    layout l;
    if (!p)
        return NCD_ERR_CORRUPT;
    l = read_layout(p);
    if (l.block - 1u >= BLOCK_MAX || l.vectors - 1u >= VECTORS_MAX || l.seed_width - SEED_MIN > SEED_MAX - SEED_MIN ||
        l.width - 2u > 6u || l.exponent_width > 4u || l.shift + (1u << l.exponent_width) - 1u > SHIFT_MAX)
        return NCD_ERR_CORRUPT;
    (void)ncd_tile_place(t, t->tiles - 1u, &row, &col, &rows, &cols);
    /* Below 2^32 tiles of below 2^16 records of below 2^7 bits. */
    bytes = (((uint64_t)(t->tiles - 1u) * records_of(&l, t->tile_size) + records_of(&l, rows * cols)) * record_bits(&l) + 7) >> 3;
    if (bytes > (uint64_t)(size_t)(c->end - c->p))
        return NCD_ERR_CORRUPT;
    ncd_get_bytes(c, (size_t)bytes);
    return NCD_OK;
}

/* Taps of a shift register of each width from 4 on: the polynomials are primitive. */
static const uint16_t all_taps[SEED_MAX - SEED_MIN + 1] = {0x000C, 0x0014, 0x0030, 0x0060, 0x00B8, 0x0110, 0x0240,
                                                           0x0500, 0x0E08, 0x1C80, 0x3802, 0x6000, 0xB400};

/* The weights of a block. `vectors` is a constant where this is called. */
NCD_INLINE void sum_vectors(const int32_t *factor, const uint32_t vectors, uint32_t state, uint32_t taps, uint32_t bias,
                            uint32_t shift, const int wide, uint32_t fraction, void *dst, uint32_t n)
{
    uint32_t at, k;
    for (at = 0; at < n; ++at) {
        uint32_t sum = bias;
        for (k = 0; k < vectors; ++k) {
            state = state >> 1 ^ (taps & (0u - (state & 1u)));
            sum += (uint32_t)factor[k] * state;
        }
        ncd_move_level(dst, at, wide, fraction, ncd_floor_shift(sum, shift));
    }
}

static NCD_NOINLINE void sum_three(const int32_t *factor, uint32_t state, uint32_t taps, uint32_t bias, uint32_t shift,
                                   uint32_t fraction, void *dst, uint32_t n)
{
    sum_vectors(factor, 3, state, taps, bias, shift, 0, fraction, dst, n);
}

static NCD_NOINLINE void sum_four(const int32_t *factor, uint32_t state, uint32_t taps, uint32_t bias, uint32_t shift,
                                  uint32_t fraction, void *dst, uint32_t n)
{
    sum_vectors(factor, 4, state, taps, bias, shift, 0, fraction, dst, n);
}

static NCD_NOINLINE void sum_any(const int32_t *factor, uint32_t vectors, uint32_t state, uint32_t taps, uint32_t bias,
                                 uint32_t shift, int wide, uint32_t fraction, void *dst, uint32_t n)
{
    sum_vectors(factor, vectors, state, taps, bias, shift, wide, fraction, dst, n);
}

void ncd_basis_tile(const ncd_inference *i)
{
    const ncd_tensor *const t = i->t;
    const layout l = read_layout(t->params);
    const int wide = t->mode == NCD_MODE_WIDE;
    const uint32_t taps = all_taps[l.seed_width - SEED_MIN];
    uint32_t left = i->rows * i->cols;
    uint8_t *dst = (uint8_t *)i->dst;
    ncd_fields f = ncd_fields_at(t->params + 6, (uint64_t)i->tile * records_of(&l, t->tile_size) * record_bits(&l));
    while (left > 0) {
        const uint32_t n = left < l.block ? left : l.block;
        const uint32_t state = ncd_field(&f, l.seed_width);
        const uint32_t shift = l.shift + ncd_field(&f, l.exponent_width);
        int32_t factor[VECTORS_MAX];
        uint32_t k, sum = 0, bias;
        for (k = 0; k < l.vectors; ++k) {
            factor[k] = ncd_signed_field(&f, l.width);
            sum += (uint32_t)factor[k];
        }
        /* A vector has states less half their range; that is taken off once for all. */
        bias = 0u - (sum << (l.seed_width - 1u));
        if (shift)
            bias += (uint32_t)1 << (shift - 1u);
        if (state == 0) /* which never changes: no vectors, and a prediction of 0 */
            sum_any(factor, 0, 0, 0, 0, 0, wide, t->fraction, dst, n);
        else if (l.vectors == 3 && !wide)
            sum_three(factor, state, taps, bias, shift, t->fraction, dst, n);
        else if (l.vectors == 4 && !wide)
            sum_four(factor, state, taps, bias, shift, t->fraction, dst, n);
        else
            sum_any(factor, l.vectors, state, taps, bias, shift, wide, t->fraction, dst, n);
        dst += (size_t)n << wide;
        left -= n;
    }
}

#endif
