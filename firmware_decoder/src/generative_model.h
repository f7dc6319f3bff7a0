/* The model of codec 6 (docs/format.md section 15.2): from the levels decoded so far to the probability of each bit of the
 * next one. Decoder and encoder walk through the same code, each with a coder of its own: the file that includes this
 * one defines first
 *     NCD_GENERATIVE_CODER               the type of its coder, and
 *     NCD_GENERATIVE_CODE(c, p, bit)     codes a bit that is 1 with probability p / 65536, and gives it; a decoder ignores
 *                                        the bit it is told, an encoder gives it back.
 * It may define, for a coder that wants to know where in the model a bit is decided,
 *     NCD_GENERATIVE_CODE_AT(t, node, p, bit)     the same for the coder of walk t, at a node;
 * or, where it has the model's cells and weights laid out in its own way,
 *     NCD_GENERATIVE_BIT(t, node, bit)            all that ncd_generative_bit() does. */
#ifndef NCD_GENERATIVE_MODEL_H
#define NCD_GENERATIVE_MODEL_H

#include "generative.h"
#include "quantizer.h"

#ifndef NCD_GENERATIVE_CODE_AT
#define NCD_GENERATIVE_CODE_AT(t, node, p, bit) NCD_GENERATIVE_CODE((t)->coder, p, bit)
#endif

enum {
    NCD_GENERATIVE_LEFT = 16,   /* levels before that the prediction of a level's value weighs */
    NCD_GENERATIVE_HISTORY = 64 /* room for levels before; the last ones are moved to its end when it is used up */
};

/* A tile on its way. */
typedef struct ncd_generative_walk {
    ncd_generative_model *m;
    NCD_GENERATIVE_CODER *coder;
    uint16_t *columns;         /* by column of the tile: running magnitude */
    const ncd_generative_head *head;
    uint32_t cols;
    uint32_t state;            /* of the trellis */
    uint32_t row, column, at;  /* in the tile */
    uint32_t kernel_at;        /* place in the kernel */
    uint32_t mean, e4, e16, e64;
    uint32_t mix_shift, step;  /* of what adapts */
    uint64_t error, power;     /* of the prediction, and of what it predicts */
    uint64_t energy;           /* of the levels before that it weighs */
    int32_t recent;            /* place in `history` of the level just before */
    int32_t history[NCD_GENERATIVE_HISTORY];
    int32_t weights[NCD_GENERATIVE_LEFT + 2];
    uint32_t cells[NCD_GENERATIVE_INPUTS]; /* of this level's contexts */
    uint32_t first, second;    /* sets of weights that mix them */
} ncd_generative_walk;

/* v / 2^k, rounded down, for |v| < 2^62. */
NCD_INLINE int64_t ncd_floor_shift(int64_t v, uint32_t k)
{
    const uint64_t bias = (uint64_t)1 << 62;
    return (int64_t)(((uint64_t)v + bias) >> k) - (int64_t)(bias >> k);
}

NCD_INLINE uint32_t ncd_at_most(uint32_t x, uint32_t most)
{
    return x < most ? x : most;
}

NCD_INLINE uint32_t ncd_bit_length(uint32_t x)
{
#if defined(__GNUC__)
    return x ? 32u - (uint32_t)__builtin_clz(x) : 0u;
#else
    uint32_t n = 0;
    for (; x; x >>= 1)
        ++n;
    return n;
#endif
}

/* Two bins an octave, of a magnitude in 32nds of a level. */
NCD_INLINE uint32_t ncd_bin(uint32_t x)
{
    const uint32_t b = ncd_bit_length(x);
    uint32_t bin;
    if (b < 3) /* 0 to 3 share bin 0 */
        return 0;
    bin = 2 * (b - 1) + (x >> (b - 2) & 1u) - 3;
    return ncd_at_most(bin, NCD_GENERATIVE_BINS - 1);
}

NCD_INLINE int32_t ncd_limit(int64_t x, int32_t most)
{
    return x > most ? most : x < -most ? -most : (int32_t)x;
}

#ifndef NCD_GENERATIVE_BIT
#define NCD_GENERATIVE_BIT(t, node, bit) ncd_generative_bit(t, node, bit)
/* Codes a bit at a node: mixes what its contexts have seen, and learns. */
static NCD_NOINLINE uint32_t ncd_generative_bit(ncd_generative_walk *t, uint32_t node, uint32_t bit)
{
    ncd_generative_model *const m = t->m;
    int32_t *const w1 = m->first + (node * NCD_GENERATIVE_FIRST + t->first) * NCD_GENERATIVE_INPUTS;
    int32_t *const w2 = m->second + (node * NCD_GENERATIVE_SECOND + t->second) * NCD_GENERATIVE_INPUTS;
    const uint32_t base = node * NCD_GENERATIVE_CELLS, round = 1u << (t->mix_shift - 1);
    int32_t input[NCD_GENERATIVE_INPUTS], x1, x2, e1, e2;
    int64_t sum1 = 0, sum2 = 0;
    uint32_t i, p;
    for (i = 0; i < NCD_GENERATIVE_INPUTS; ++i) {
        const uint32_t cell = base + t->cells[i];
        input[i] = m->stretch[m->p[cell] >> 4] * (int32_t)m->confidence[m->n[cell]] / 256;
        sum1 += (int64_t)w1[i] * input[i];
        sum2 += (int64_t)w2[i] * input[i];
    }
    x1 = ncd_limit(ncd_floor_shift(sum1, 16), NCD_GENERATIVE_STRETCH);
    x2 = ncd_limit(ncd_floor_shift(sum2, 16), NCD_GENERATIVE_STRETCH);
    p = ncd_squash((int32_t)((uint32_t)(x1 + x2 + 4096) >> 1) - 2048);
    p = p < 32 ? 32 : ncd_at_most(p, 65536 - 32);
    bit = NCD_GENERATIVE_CODE_AT(t, node, p, bit);
    e1 = (int32_t)(bit << 16) - (int32_t)ncd_squash(x1);
    e2 = (int32_t)(bit << 16) - (int32_t)ncd_squash(x2);
    for (i = 0; i < NCD_GENERATIVE_INPUTS; ++i) {
        const uint32_t cell = base + t->cells[i], n = m->n[cell], was = m->p[cell];
        w1[i] = ncd_limit(w1[i] + ncd_floor_shift((int64_t)e1 * input[i] + round, t->mix_shift), NCD_GENERATIVE_WEIGHT);
        w2[i] = ncd_limit(w2[i] + ncd_floor_shift((int64_t)e2 * input[i] + round, t->mix_shift), NCD_GENERATIVE_WEIGHT);
        m->p[cell] = (uint16_t)(bit ? was + ((65535u - was) * m->rate[n] >> 16) : was - (was * m->rate[n] >> 16));
        m->n[cell] = (uint8_t)(n + (n < 255));
    }
    return bit;
}
#endif

/* By sign, from the side of the prediction, and size of a level that stood before: 0 to 4. */
NCD_INLINE uint32_t ncd_sign_class(int32_t v, uint32_t flip, uint32_t large)
{
    const uint32_t size = v == 0 ? 0 : ncd_magnitude(v) * 32u > large ? 2 : 1;
    return ((uint32_t)(v < 0) != flip) ? 2 - size : 2 + size;
}

/* Begins a tile of `cols` columns whose first one is column `col` of the matrix. */
NCD_INLINE void ncd_generative_begin(ncd_generative_walk *t, uint32_t cols, uint32_t col)
{
    uint32_t i;
    const uint32_t s = t->head->start;
    t->mean = s < 8 ? s / 2 : (4 + s % 4) << (s / 4 - 2);
    t->cols = cols;
    t->state = t->row = t->column = t->at = 0;
    t->kernel_at = t->head->kernel > 1 ? col % t->head->kernel : 0;
    t->e4 = t->mean << 2;
    t->e16 = t->mean << 4;
    t->e64 = t->mean << 6;
    t->mix_shift = 14u + t->head->mix_rate;
    t->step = 208u << t->head->step_rate;
    t->error = t->power = t->energy = 0;
    t->recent = NCD_GENERATIVE_HISTORY - NCD_GENERATIVE_LEFT;
    for (i = 0; i < NCD_GENERATIVE_HISTORY; ++i)
        t->history[i] = 0;
    for (i = 0; i < NCD_GENERATIVE_LEFT + 2; ++i)
        t->weights[i] = 0;
    for (i = 0; i < cols; ++i)
        t->columns[i] = (uint16_t)t->mean;
}

/* Codes the next level, which is v for an encoder, and gives it. `levels`: those of the tile, of 8 or 16 bits as `wide`
 * says, a constant where this is called; those before the next one are read. A level that cannot be is beyond 16 bits. */
NCD_INLINE int32_t ncd_generative_level(ncd_generative_walk *t, const void *levels, const int wide, int32_t v)
{
    static const uint8_t column_rate[6] = {128, 85, 64, 51, 43, 37};
    const ncd_generative_head *const head = t->head;
    const int32_t unit = head->states_log2 ? 1 : 2; /* one quantizer has the even multiples of half its step */
    const uint32_t c = t->column, cols = t->cols, at = t->at;
    const uint32_t e4 = t->e4 >> 2, e16 = t->e16 >> 4, e64 = t->e64 >> 6, down = t->columns[c];
    const uint32_t nearby = (6 * e16 + 6 * e64 + 4 * down) >> 4, large = e16 * 13 / 10 + 32;
    const int32_t *const left = t->history + t->recent;
    int32_t above[2] = {0, 0}, *w = t->weights, level;
    uint32_t flip, predicted, gain, part, k, e, one, u, negative, bin;
    uint64_t energy = t->energy + 4;
    int64_t sum = 0, by, error;
#define AT(i) (unit * (wide ? ((const int16_t *)levels)[i] : ((const int8_t *)levels)[i]))

    /* The prediction of the value: a filter that adapts (normalized least mean squares). */
    if (t->row > 0)
        above[0] = AT(at - cols);
    if (t->row > 1)
        above[1] = AT(at - 2 * cols);
    for (k = 0; k < NCD_GENERATIVE_LEFT; ++k)
        sum += (int64_t)w[k] * left[k];
    for (k = 0; k < 2; ++k) {
        sum += (int64_t)w[NCD_GENERATIVE_LEFT + k] * above[k];
        energy += (uint64_t)((int64_t)above[k] * above[k]);
    }
    flip = sum < 0;
    sum = (int64_t)((uint64_t)(flip ? -sum : sum) >> 12);
    predicted = sum > (1 << 19) ? 1u << 19 : (uint32_t)sum;
    gain = t->error * 10 < t->power ? 4 : t->error * 10 < t->power * 3 ? 3 : t->error * 10 < t->power * 6 ? 2
           : t->error * 20 < t->power * 17 ? 1 : 0;
    part = (nearby >> 1) + 4;
    part = predicted * 4 < part ? 0 : predicted * 10 < 7 * part ? 1 : predicted * 2 < 3 * part ? 2 : 3;
    part += gain * 4;

    /* The contexts. */
    bin = ncd_bin(nearby);
    k = ncd_sign_class(left[0], flip, large);
    t->cells[0] = NCD_GENERATIVE_CELLS_0 + ncd_bin(e4) * 5 + k;
    t->cells[1] = NCD_GENERATIVE_CELLS_1 + (k * 5 + ncd_sign_class(left[1], flip, large)) * 5 +
                  ncd_sign_class(above[0], flip, large);
    t->cells[2] = NCD_GENERATIVE_CELLS_2 + bin * 9 + (head->kernel > 9 ? t->kernel_at * 9 / head->kernel : t->kernel_at);
    t->cells[3] = NCD_GENERATIVE_CELLS_3 + bin * 8 + ncd_at_most(ncd_bit_length(ncd_magnitude(left[0])), 7);
    t->cells[4] = NCD_GENERATIVE_CELLS_4 + ncd_bin(down) * 8 + ncd_at_most(ncd_bit_length(ncd_magnitude(above[0])), 7);
    t->cells[5] = NCD_GENERATIVE_CELLS_5 + part * NCD_GENERATIVE_BINS + ncd_bin(predicted * 2);
    t->first = bin / 2;
    t->second = part;

    /* The bits of the level: whether it is 0, its sign, its magnitude. */
    v *= unit;
    u = t->state & 1u;
    one = ncd_magnitude(v); /* the magnitude's place among those of its quantizer, from 1 */
    one = (one + u) >> 1;
    k = u * NCD_GENERATIVE_NODES_OF_ONE;
    if (!u && !NCD_GENERATIVE_BIT(t, k, one != 0)) {
        level = 0;
    } else {
        negative = NCD_GENERATIVE_BIT(t, k + 1, (uint32_t)(v < 0) ^ flip) ^ flip;
        for (e = 0; e < 15 && NCD_GENERATIVE_BIT(t, k + 2 + ncd_at_most(e, 7), one >> (e + 1) != 0); ++e)
            ;
        {
            uint32_t prefix = 1, b;
            for (b = e; b-- > 0;) {
                uint32_t bit = one >> b & 1u;
                if (b + 1 == e)
                    bit = NCD_GENERATIVE_BIT(t, k + 9 + ncd_at_most(e, 7), bit);
                else if (b + 2 == e)
                    bit = NCD_GENERATIVE_BIT(t, k + 17 + (ncd_at_most(e, 5) - 2) * 2 + (prefix & 1u), bit);
                else
                    bit = NCD_GENERATIVE_CODE(t->coder, 32768u, bit);
                prefix = prefix << 1 | bit;
            }
            level = (int32_t)(2 * prefix - u);
        }
        if (negative)
            level = -level;
    }
    v = unit == 2 ? level / 2 : level;
    if (v > 32767 || v < -32768)
        return v;

    /* What is known of it afterwards. */
    {
        const uint32_t magnitude = ncd_at_most(ncd_magnitude(level), 2047) * 32;
        const uint32_t rate = column_rate[ncd_at_most(t->row, 5)];
        t->e4 += magnitude - (t->e4 >> 2);
        t->e16 += magnitude - (t->e16 >> 4);
        t->e64 += magnitude - (t->e64 >> 6);
        t->columns[c] = (uint16_t)((down * (256 - rate) + magnitude * rate) >> 8);
    }
    error = (int64_t)level * 16 - (flip ? -(int64_t)predicted : (int64_t)predicted);
    by = error * (int64_t)t->step / (int64_t)energy;
    for (k = 0; k < NCD_GENERATIVE_LEFT; ++k)
        w[k] = ncd_limit(w[k] + by * left[k], 1 << 20);
    for (k = 0; k < 2; ++k)
        w[NCD_GENERATIVE_LEFT + k] = ncd_limit(w[NCD_GENERATIVE_LEFT + k] + by * above[k], 1 << 20);
    t->error += (uint64_t)(error * error) - (t->error >> 6);
    t->power += (uint64_t)((int64_t)level * level * 256) - (t->power >> 6);
    t->energy -= (uint64_t)((int64_t)left[NCD_GENERATIVE_LEFT - 1] * left[NCD_GENERATIVE_LEFT - 1]);
    t->energy += (uint64_t)((int64_t)level * level);
    if (t->recent == 0) {
        for (k = NCD_GENERATIVE_LEFT - 1; k-- > 0;)
            t->history[NCD_GENERATIVE_HISTORY - NCD_GENERATIVE_LEFT + 1 + k] = t->history[k];
        t->recent = NCD_GENERATIVE_HISTORY - NCD_GENERATIVE_LEFT + 1;
    }
    t->history[--t->recent] = level;
    t->state = ncd_quantizer_next(head->polynomials, t->state, ncd_quantizer_subset(level, u));
    ++t->at;
    if (++t->kernel_at >= head->kernel)
        t->kernel_at = 0;
    if (++t->column == cols) {
        t->column = t->kernel_at = 0;
        ++t->row;
    }
    return v;
#undef AT
}

#endif
