/* Sums to outputs. */
#include "requantize.h"

int32_t ncd_nn_shift_left(int32_t x, uint32_t left)
{
    const int32_t most = (int32_t)1 << 30 >> left;
    return (int32_t)((uint32_t)ncd_nn_clamp(x, -most, most) << left);
}

/* For a right of 1; shifting by left, which is 0, lets compilers choose better registers for the usual loop below. */
NCD_NN_INLINE int32_t output_near_1(int32_t sum, const ncd_nn_output *o)
{
    const int32_t x = (int32_t)((uint32_t)ncd_nn_wrap_add(sum, o->base) << o->left);
    return ncd_nn_wrap_add(ncd_nn_divide_pot(ncd_nn_high_mul(x, o->multiplier), o->right), o->round >> 1);
}

int32_t ncd_nn_output_rare(int32_t sum, const ncd_nn_output *o)
{
    const int32_t x = ncd_nn_shift_left(ncd_nn_wrap_add(sum, o->base), o->left);
    return ncd_nn_divide_pot(ncd_nn_high_mul(x, o->multiplier), o->right) + (o->round >> 1);
}

void ncd_nn_write_down(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step)
{
    const int32_t *const end = sums + count;
    const int32_t base = o->base, multiplier = o->multiplier, round = o->round, min = o->min, max = o->max;
    const uint32_t halve = o->halve;
    if (halve)
        for (; sums != end; out += step)
            *out = (int8_t)ncd_nn_clamp(ncd_nn_output_usual(*sums++, base, multiplier, halve, round), min, max);
    else
        for (; sums != end; out += step)
            *out = (int8_t)ncd_nn_clamp(output_near_1(*sums++, o), min, max);
}

void ncd_nn_write_rare(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step)
{
    for (; count > 0; --count, out += step)
        *out = (int8_t)ncd_nn_clamp(ncd_nn_output_rare(*sums++, o), o->min, o->max);
}
