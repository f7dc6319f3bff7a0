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

#define TURN(factor)                                           \
    do {                                                       \
        state = state >> 1 ^ (taps & (0u - (state & 1u)));     \
        sum += (factor) * state;                               \
    } while (0)

/* What is taken off the sum once for all: a vector has states less half their range. Then what rounds. */
NCD_INLINE uint32_t bias_of(uint32_t factors, uint32_t seed_width, uint32_t shift)
{
    return (0u - (factors << (seed_width - 1u))) + (shift ? (uint32_t)1 << (shift - 1u) : 0);
}

/* Blocks of a tile from the first on, of any layout; `wide` is a constant where this is called. */
NCD_INLINE void make_blocks(const ncd_inference *i, const layout *l, ncd_fields f, uint32_t at, const int wide)
{
    const uint32_t taps = all_taps[l->seed_width - SEED_MIN], n = i->rows * i->cols;
    while (at < n) {
        const uint32_t end = n - at < l->block ? n : at + l->block;
        uint32_t factor[VECTORS_MAX], state, shift, k, bias = 0;
        state = ncd_field(&f, l->seed_width);
        shift = l->shift + ncd_field(&f, l->exponent_width);
        for (k = 0; k < l->vectors; ++k) {
            factor[k] = (uint32_t)ncd_signed_field(&f, l->width);
            bias += factor[k];
        }
        bias = bias_of(bias, l->seed_width, shift);
        if (state == 0) { /* which never changes: a prediction of 0 */
            for (k = 0; k < l->vectors; ++k)
                factor[k] = 0;
            bias = shift = 0;
        }
        do {
            uint32_t sum = bias;
            for (k = 0; k < l->vectors; ++k)
                TURN(factor[k]);
            ncd_move_level(i->dst, at, wide, i->t->fraction, ncd_floor_shift(sum, shift));
        } while (++at < end);
    }
}

/* Levels of 8 bits without a residual, records of up to 32 bits; three or four vectors, a constant where this is called.
 * Full blocks as long as there are five bytes to load; gives how many weights that makes. */
NCD_INLINE uint32_t make_plain(const ncd_inference *i, const layout *l, uint64_t first, const uint32_t vectors)
{
    const uint32_t taps = all_taps[l->seed_width - SEED_MIN], bits = record_bits(l);
    const uint32_t seed_width = l->seed_width, up = 32u - l->width, step = l->width;
    const uint8_t *p = i->t->params + 6 + (size_t)(first >> 3);
    int8_t *dst = (int8_t *)i->dst;
    uint32_t inside = (uint32_t)first & 7u, left = i->rows * i->cols;
    while (left >= l->block && i->t->data - p >= 5) {
        uint32_t window = ncd_load_u32(p) >> inside | (uint32_t)p[4] << 1 << (31u - inside);
        uint32_t state = window & ((1u << seed_width) - 1u), shift, f0, f1, f2, f3 = 0, bias;
        int8_t *const last = dst + l->block;
        window >>= seed_width;
        shift = l->shift + (window & ((1u << l->exponent_width) - 1u));
        window >>= l->exponent_width;
        f0 = (uint32_t)ncd_floor_shift(window << up, up);
        window >>= step;
        f1 = (uint32_t)ncd_floor_shift(window << up, up);
        window >>= step;
        f2 = (uint32_t)ncd_floor_shift(window << up, up);
        if (vectors == 4) {
            window >>= step;
            f3 = (uint32_t)ncd_floor_shift(window << up, up);
        }
        bias = bias_of(f0 + f1 + f2 + f3, seed_width, shift);
        if (state == 0)
            f0 = f1 = f2 = f3 = bias = shift = 0;
        do { /* unrolled by hand because -O2 does not */
            uint32_t sum = bias;
            TURN(f0);
            TURN(f1);
            TURN(f2);
            if (vectors == 4)
                TURN(f3);
            *dst++ = (int8_t)ncd_nearest_level(ncd_floor_shift(sum, shift), 0);
        } while (dst != last);
        left -= l->block;
        inside += bits;
        p += inside >> 3;
        inside &= 7u;
    }
    return i->rows * i->cols - left;
}

#undef TURN

static NCD_NOINLINE uint32_t make_three(const ncd_inference *i, const layout *l, uint64_t first)
{
    return make_plain(i, l, first, 3);
}

static NCD_NOINLINE uint32_t make_four(const ncd_inference *i, const layout *l, uint64_t first)
{
    return make_plain(i, l, first, 4);
}

static NCD_NOINLINE void make_narrow(const ncd_inference *i, const layout *l, ncd_fields f, uint32_t at)
{
    make_blocks(i, l, f, at, 0);
}

static NCD_NOINLINE void make_wide(const ncd_inference *i, const layout *l, ncd_fields f)
{
    make_blocks(i, l, f, 0, 1);
}

void ncd_basis_tile(const ncd_inference *i)
{
    const layout l = read_layout(i->t->params);
    const uint8_t *const records = i->t->params + 6;
    const uint32_t bits = record_bits(&l);
    uint64_t first = (uint64_t)i->tile * records_of(&l, i->t->tile_size) * bits;
    uint32_t at = 0;
    if (i->t->mode == NCD_MODE_WIDE) {
        make_wide(i, &l, ncd_fields_at(records, first));
        return;
    }
    if (!i->t->residual && bits <= 32) {
        at = l.vectors == 3 ? make_three(i, &l, first) : l.vectors == 4 ? make_four(i, &l, first) : 0;
        first += (uint64_t)(at / l.block) * bits;
    }
    make_narrow(i, &l, ncd_fields_at(records, first), at);
}

#endif
