/* Sums to outputs. */
#include "requantize.h"

void ncd_nn_write_s8(const int32_t *sums, uint32_t count, const ncd_nn_output *o, int8_t *out, size_t step)
{
    const int32_t *const end = sums + count;
    const int32_t base = o->base, multiplier = o->multiplier, round = o->round, min = o->min, max = o->max;
    const uint32_t halve = o->halve;
    int32_t x;
    if (halve) {
        /* The zero point is added before the last bit is shifted out; there it is below 2^30, so nothing overflows. */
        for (; sums != end; out += step) {
            x = ncd_nn_high_mul(ncd_nn_wrap_add(*sums++, base), multiplier);
            x = ((ncd_nn_wrap_add(x, x >> 31) >> halve) + round) >> 1;
            *out = (int8_t)ncd_nn_clamp(x, min, max);
        }
        return;
    }
    for (; sums != end; out += step) {
        x = (int32_t)((uint32_t)ncd_nn_wrap_add(*sums++, base) << o->left);
        x = ncd_nn_wrap_add(ncd_nn_divide_pot(ncd_nn_high_mul(x, multiplier), o->right), round >> 1);
        *out = (int8_t)ncd_nn_clamp(x, min, max);
    }
}
