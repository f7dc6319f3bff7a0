/* Sums to outputs. */
#include "requantize.h"

void ncd_nn_write_s8(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step)
{
    const int32_t *const end = sums + count;
    const int32_t base = o->base, multiplier = o->multiplier, round = o->round, min = o->min, max = o->max;
    const uint32_t halve = o->halve;
    if (halve)
        for (; sums != end; out += step)
            *out = (int8_t)ncd_nn_clamp(ncd_nn_output_usual(*sums++, base, multiplier, halve, round), min, max);
    else
        for (; sums != end; out += step)
            *out = (int8_t)ncd_nn_clamp(ncd_nn_output_rare(*sums++, o), min, max);
}
