/* From int32 to another scale as TensorFlow Lite's reference kernels do it: MultiplyByQuantizedMultiplier, which is
 * SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT. Shifts to the left saturate, where those kernels wrap around.
 * Right shifts of negative numbers are arithmetic, as with every compiler that has these targets. */
#ifndef NCD_NN_REQUANTIZE_H
#define NCD_NN_REQUANTIZE_H

#include "common.h"

typedef struct ncd_nn_scale {
    int32_t multiplier;
    uint32_t left, right; /* below 32; one of them is 0 */
} ncd_nn_scale;

static inline ncd_nn_scale ncd_nn_scale_of(int32_t multiplier, int32_t shift)
{
    ncd_nn_scale s;
    s.multiplier = multiplier;
    s.left = shift > 0 ? (uint32_t)shift & 31u : 0;
    s.right = shift < 0 ? (uint32_t)-shift & 31u : 0;
    return s;
}

/* x / 2^right, halves away from zero. The sign bit less, halves go up where x is not negative and down where it is; the
 * bit shifted out last then rounds. */
NCD_NN_INLINE int32_t ncd_nn_divide_pot(int32_t x, uint32_t right)
{
    if (right == 0)
        return x;
    x = ncd_nn_wrap_add(x, x >> 31);
    return ncd_nn_wrap_add(x >> (right - 1u), 1) >> 1;
}

/* The doubled high half of a product, rounded: halves go up, which is what the nudge and the truncating division of the
 * specification come to. Its saturation wants a multiplier of -2^31, which there is not. */
NCD_NN_INLINE int32_t ncd_nn_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* x * 2^left, at most 2^30 in size. What comes of more, times a multiplier of at least 2^-1, is far outside of int16 anyway;
 * and of this much nothing that is added overflows. Few layers want it, hence no part of loops. */
int32_t ncd_nn_shift_left(int32_t x, uint32_t left);

/* By a scale whose left is 0. */
NCD_NN_INLINE int32_t ncd_nn_rescale_down(int32_t x, const ncd_nn_scale *s)
{
    return ncd_nn_divide_pot(ncd_nn_high_mul(x, s->multiplier), s->right);
}

/* To an int8 or int16. */
NCD_NN_INLINE int32_t ncd_nn_rescale(int32_t x, const ncd_nn_scale *s)
{
    return ncd_nn_rescale_down(s->left ? ncd_nn_shift_left(x, s->left) : x, s);
}

/* The scale that brings differences of two int8 to int8s; with it their shift to the left need not be watched. One of more
 * than 22 bits would take all but 0 to the ends, and so does one of 22. */
static inline ncd_nn_scale ncd_nn_small_scale_of(int32_t multiplier, int32_t shift)
{
    return ncd_nn_scale_of(multiplier, shift > 22 ? 22 : shift);
}

NCD_NN_INLINE int32_t ncd_nn_rescale_small(int32_t x, const ncd_nn_scale *s)
{
    return ncd_nn_rescale_down((int32_t)((uint32_t)x << s->left), s);
}

NCD_NN_INLINE int32_t ncd_nn_clamp(int32_t x, int32_t min, int32_t max)
{
    return x < min ? min : x > max ? max : x;
}

/* The scale of a row of a layer. */
static inline ncd_nn_scale ncd_nn_row_scale(const ncd_nn_requant *q, uint32_t row)
{
    const uint32_t i = q->per_row ? row : 0;
    return ncd_nn_scale_of(q->multiplier[i], q->shift[i]);
}

/* What turns the sums of a row into outputs, gathered so that it can stay in registers. */
typedef struct ncd_nn_output {
    int32_t base; /* added to the sum */
    int32_t multiplier;
    uint32_t halve;     /* the right shift less one where the usual way will do, else 0 */
    int32_t round;      /* 1 and twice the zero point */
    int32_t min, max;
    uint32_t left, right;
} ncd_nn_output;

static inline ncd_nn_output ncd_nn_output_of(const ncd_nn_requant *q, uint32_t row)
{
    const ncd_nn_scale s = ncd_nn_row_scale(q, row);
    ncd_nn_output o;
    o.base = q->bias ? q->bias[row] : 0;
    o.multiplier = s.multiplier;
    o.halve = s.right > 1u ? s.right - 1u : 0;
    o.round = 2 * q->out_zero + 1;
    o.min = q->min;
    o.max = q->max;
    o.left = s.left;
    o.right = s.right;
    return o;
}

/* clamp(rescale(sum + base) + zero point). The usual way adds the zero point before the last bit is shifted out; there it is
 * below 2^30, so nothing overflows. */
NCD_NN_INLINE int32_t ncd_nn_output_usual(int32_t sum, int32_t base, int32_t multiplier, uint32_t halve, int32_t round)
{
    const int32_t x = ncd_nn_high_mul(ncd_nn_wrap_add(sum, base), multiplier);
    return ((ncd_nn_wrap_add(x, x >> 31) >> halve) + round) >> 1;
}

int32_t ncd_nn_output_rare(int32_t sum, const ncd_nn_output *o);

/* With a shift to the right, and without one. */
void ncd_nn_write_down(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step);
void ncd_nn_write_rare(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step);

/* Writes outputs of `count` sums, `step` apart. */
NCD_NN_INLINE void ncd_nn_write_s8(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step)
{
    if (o->right)
        ncd_nn_write_down(sums, count, o, out, step);
    else
        ncd_nn_write_rare(sums, count, o, out, step);
}

#endif
