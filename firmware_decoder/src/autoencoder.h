/* Codec 5: the model and the state that predicts how wide the next residual spreads (docs/format.md section 14). The encoder
 * in Python's extension includes this file, too, so that both compute the same. */
#ifndef NCD_AUTOENCODER_H
#define NCD_AUTOENCODER_H

#include "internal.h"

enum {
    NCD_AE_FEATURES = 6,
    NCD_AE_TABLES = 28, /* of a class: spreads from 2^-4 to 2^3 residuals in steps of a quarter of an octave */
    NCD_AE_SPREADS = 64,
    NCD_AE_SLOTS_LOG2 = 12,
    NCD_AE_TAPS = 8,
    NCD_AE_TOKENS = 32,
    NCD_AE_KERNEL = 256,
    NCD_AE_START_BITS = 5,
    NCD_AE_CLASSES = 16, /* most of a model */
    NCD_AE_WHOLE = 1, NCD_AE_TUNED = 3, /* layouts of a model */
    NCD_AE_WEIGHTS = 2 * NCD_AE_FEATURES + 4 /* bytes of a class: weights, bias */
};

#define NCD_AE_CAP 4095u /* no enumerator: C++ warns where these meet other integers */

/* A class of a model that has been checked. */
typedef struct ncd_ae_class {
    const uint8_t *tables[NCD_AE_TABLES]; /* where each begins */
    int32_t weights[NCD_AE_FEATURES], bias;
} ncd_ae_class;

/* What the spread of the next residual is predicted from. Magnitudes are in sixteenths of a residual. */
typedef struct ncd_ae_state {
    uint32_t start, fast, slow, last; /* slow: 32 times the mean */
    uint16_t *column, *kernel;        /* null where there are none */
    uint32_t cols, period;
    uint32_t col, place; /* column in the tile, and the same modulo the period */
    int first;           /* whether this is the first row of the tile */
} ncd_ae_state;

NCD_INLINE uint32_t ncd_ae_u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

NCD_INLINE uint32_t ncd_ae_u32(const uint8_t *p)
{
    return ncd_ae_u16(p) | ncd_ae_u16(p + 2) << 16;
}

/* Number of bits of v > 0, less one. */
NCD_INLINE uint32_t ncd_ae_log2_floor(uint32_t v)
{
#if defined(__GNUC__) && !(defined(__thumb__) && !defined(__thumb2__)) && !defined(__riscv)
    return 31u - (uint32_t)__builtin_clz(v);
#else
    uint32_t n = 0;
    if (v >> 16) {
        n = 16;
        v >>= 16;
    }
    if (v >> 8) {
        n += 8;
        v >>= 8;
    }
    if (v >> 4) {
        n += 4;
        v >>= 4;
    }
    return n + (0xFFFFAA50u >> 2u * v & 3u);
#endif
}

/* 16 * log2(2f + 1), between powers of two as a straight line. */
NCD_INLINE int32_t ncd_ae_log(uint32_t f)
{
    const uint32_t v = 2u * f + 1u, e = ncd_ae_log2_floor(v);
    return (int32_t)(16u * e + (e >= 4 ? v >> (e - 4u) : v << (4u - e)) - 16u);
}

/* Magnitude that a tile starts with, by its five bits. */
NCD_INLINE uint32_t ncd_ae_start(uint32_t z)
{
    return (2u + (z & 1u)) << (z >> 1) >> 1;
}

NCD_INLINE void ncd_ae_begin(ncd_ae_state *s, uint32_t z)
{
    uint32_t i;
    s->start = s->fast = s->last = ncd_ae_start(z);
    s->slow = s->start << 5;
    s->col = s->place = 0;
    s->first = 1;
    for (i = 0; i < s->period; ++i)
        s->kernel[i] = (uint16_t)s->start;
}

NCD_INLINE void ncd_ae_features(const ncd_ae_state *s, int32_t x[NCD_AE_FEATURES])
{
    const uint32_t slow = s->slow >> 5;
    x[0] = ncd_ae_log(s->fast);
    x[1] = ncd_ae_log(slow);
    x[2] = ncd_ae_log(s->last);
    x[3] = s->first || !s->column ? x[1] : ncd_ae_log(s->column[s->col]);
    x[4] = s->period ? ncd_ae_log(s->kernel[s->place]) : x[0];
    x[5] = ncd_ae_log(s->start);
}

/* The spread in quarters of an octave. */
NCD_INLINE uint32_t ncd_ae_spread(const ncd_ae_class *c, const ncd_ae_state *s)
{
    int32_t x[NCD_AE_FEATURES], sum = c->bias;
    uint32_t i;
    ncd_ae_features(s, x);
    for (i = 0; i < NCD_AE_FEATURES; ++i)
        sum += c->weights[i] * x[i];
    return sum <= 0 ? 0 : sum >> 10 >= NCD_AE_SPREADS ? NCD_AE_SPREADS - 1u : (uint32_t)sum >> 10;
}

/* Takes over the magnitude of a residual, and goes to the next place. */
NCD_INLINE void ncd_ae_update(ncd_ae_state *s, uint32_t magnitude)
{
    const uint32_t a = (magnitude < NCD_AE_CAP ? magnitude : NCD_AE_CAP) << 4;
    s->fast += (a >> 2) - (s->fast >> 2);
    s->slow += a - (s->slow >> 5);
    s->last = a;
    if (s->column) {
        const uint32_t before = s->column[s->col];
        s->column[s->col] = (uint16_t)(s->first ? ((s->slow >> 5) + a) >> 1 : before - (before >> 2) + (a >> 2));
    }
    if (s->period) {
        const uint32_t before = s->kernel[s->place];
        s->kernel[s->place] = (uint16_t)(before - (before >> 2) + (a >> 2));
        if (++s->place == s->period)
            s->place = 0;
    }
    if (++s->col == s->cols) {
        s->col = s->place = 0;
        s->first = 0;
    }
}

/* Low bits of a magnitude that are not coded, at a spread; and the table for the rest. */
NCD_INLINE uint32_t ncd_ae_raw_bits(uint32_t spread)
{
    return spread < NCD_AE_TABLES ? 0 : (spread - NCD_AE_TABLES) / 4u + 1u;
}

/* Sums of the frequencies up to and with each token; count: tokens, the last of which opens to what lies beyond. */
NCD_INLINE const uint8_t *ncd_ae_table(const ncd_ae_class *c, uint32_t index, uint32_t *count)
{
    const uint8_t *const table = c->tables[index];
    *count = table[0];
    return table + 1;
}

/* ---- autoencoder_model.c ---- */

/* Checks a model and gives one of its classes; UNSUPPORTED, CORRUPT. size: bytes that the model may have; used: those that
 * it has. */
ncd_status ncd_ae_model_read(const uint8_t *model, size_t size, uint32_t index, ncd_ae_class *c, size_t *used);

/* A class of a model that has been checked before. */
void ncd_ae_class_of(const uint8_t *model, uint32_t index, ncd_ae_class *c);

/* The model that every decoder has under this version; null if there is none. */
const uint8_t *ncd_ae_universal(uint32_t version, size_t *size);

#endif
