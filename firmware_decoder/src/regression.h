/* What the modules of codec 7 share (docs/format.md section 13). */
#ifndef NCD_REGRESSION_H
#define NCD_REGRESSION_H

#include "internal.h"

#if NCD_ENABLE_REGRESSION

enum { NCD_REGRESSOR_ROWS = 0, NCD_REGRESSOR_EXPRESSION = 1, NCD_REGRESSOR_BASIS = 2 };

/* A tile that is being made: dst holds the levels of the residual, 0 without one, and then the levels of the weights. */
typedef struct ncd_inference {
    const ncd_tensor *t;
    void *dst;                     /* int8_t or int16_t, as t->mode says */
    uint32_t row, col, rows, cols; /* its place */
    uint32_t tile;
} ncd_inference;

/* ---- Levels ---- */

/* floor(v / 2^h), v as two's complement. */
static inline int32_t ncd_floor_shift(uint32_t v, uint32_t h)
{
#if defined(__GNUC__)
    return (int32_t)v >> h; /* which these compilers define */
#else
    const uint32_t half = 0x80000000u;
    return (int32_t)((v ^ half) >> h) - (int32_t)(half >> h);
#endif
}

/* The nearest of the levels that there are. */
static inline int32_t ncd_nearest_level(int32_t v, int wide)
{
#if defined(__GNUC__) && defined(__ARM_FEATURE_SAT)
    int32_t nearest; /* compilers take six instructions */
    if (wide)
        __asm__("ssat %0, #16, %1" : "=r"(nearest) : "r"(v));
    else
        __asm__("ssat %0, #8, %1" : "=r"(nearest) : "r"(v));
    return nearest;
#else
    const int32_t most = wide ? 32767 : 127;
    return v > most ? most : v < -most - 1 ? -most - 1 : v;
#endif
}

/* The level at place i of a tile, moved by a prediction. */
static inline void ncd_move_level(void *dst, uint32_t i, int wide, uint32_t fraction, int32_t by)
{
    if (wide) {
        int16_t *const p = (int16_t *)dst + i;
        *p = (int16_t)ncd_nearest_level((int32_t)((uint32_t)by + ((uint32_t)(int32_t)*p << fraction)), 1);
    } else {
        int8_t *const p = (int8_t *)dst + i;
        *p = (int8_t)ncd_nearest_level((int32_t)((uint32_t)by + ((uint32_t)(int32_t)*p << fraction)), 0);
    }
}

/* ---- Fields of a bit string that has been checked to be all there ---- */

typedef struct ncd_fields {
    const uint8_t *p;
    uint32_t window, have; /* bits of the window */
} ncd_fields;

static inline ncd_fields ncd_fields_at(const uint8_t *string, uint64_t bit)
{
    ncd_fields f;
    const uint32_t inside = (uint32_t)bit & 7u;
    f.p = string + (size_t)(bit >> 3);
    f.window = 0;
    f.have = 0;
    if (inside) {
        f.window = (uint32_t)*f.p++ >> inside;
        f.have = 8 - inside;
    }
    return f;
}

/* The next field, of at most 24 bits. */
static inline uint32_t ncd_field(ncd_fields *f, uint32_t width)
{
    uint32_t field;
    while (f->have < width) {
        f->window |= (uint32_t)*f->p++ << f->have;
        f->have += 8;
    }
    field = f->window & ((1u << width) - 1u);
    f->window >>= width;
    f->have -= width;
    return field;
}

/* The same in two's complement. */
static inline int32_t ncd_signed_field(ncd_fields *f, uint32_t width)
{
    const uint32_t sign = 1u << (width - 1u), field = ncd_field(f, width);
    return (int32_t)(field ^ sign) - (int32_t)sign;
}

/* ---- Regressors. Each reads its parameters at the cursor, whose first byte becomes t->params, and makes a tile. ---- */

ncd_status ncd_rows_read(ncd_cursor *c, ncd_tensor *t);
/* cache: the levels of the stored rows, one row behind the other. */
ncd_status ncd_rows_tile(const ncd_inference *i, const void *cache);

/* Where there is no room for all stored rows: what is at hand of them, and where. */
typedef struct ncd_rows_pieces {
    const ncd_tensor *stored;
    const uint32_t *tables;
    uint32_t *opened; /* the same tensor in the workspace */
    uint32_t *kept;   /* how many of its tiles, from the first on, are decoded already */
    uint32_t *sums;   /* as many as a full tile has weights */
    uint8_t *levels;  /* of another tile, decoded where it is wanted, and then of those that are kept */
} ncd_rows_pieces;

/* The same levels, added to what dst holds; tiles of the stored rows are decoded that have something to add, each once.
 * stride: bytes of a tile of theirs. */
ncd_status ncd_rows_tile_by_pieces(const ncd_inference *i, const ncd_rows_pieces *from, size_t stride);

ncd_status ncd_expression_read(ncd_cursor *c, ncd_tensor *t);
void ncd_expression_tile(const ncd_inference *i);

ncd_status ncd_basis_read(ncd_cursor *c, ncd_tensor *t);
void ncd_basis_tile(const ncd_inference *i);

#endif

#endif
