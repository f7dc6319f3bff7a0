/* Logarithm of the softmax, by a table of exponentials. */
#include "common.h"

enum { FRACTION = 16, ONE_BITS = 24 };

/* log2(sum / 2^24) with 16 fractional bits, rounded down: squaring a number of 1 to 2 tells its logarithm bit by bit.
 * sum: 2^24 .. 2^40. */
static uint32_t log2_of(uint64_t sum)
{
    uint32_t whole = 0, fraction = 0, i;
    uint64_t m;
    while (sum >> whole >= (uint64_t)2 << ONE_BITS)
        ++whole;
    m = sum >> whole;
    for (i = 0; i < FRACTION; ++i) {
        const uint32_t bit = (m = m * m >> ONE_BITS) >= (uint64_t)2 << ONE_BITS;
        m >>= bit;
        fraction = fraction << 1 | bit;
    }
    return whole << FRACTION | fraction;
}

ncd_status ncd_nn_run_log_softmax_s8(const ncd_nn_log_softmax_s8 *layer, const int8_t *in, int8_t *out)
{
    const uint32_t size = layer->size;
    uint32_t count, i;
    if (size == 0 || size >> 16 || !layer->exp || layer->exp[0] != (uint32_t)1 << ONE_BITS)
        return NCD_ERR_ARG;
    for (count = layer->count; count > 0; --count, in += size, out += size) {
        int32_t max = -128;
        uint64_t sum = 0, base;
        for (i = 0; i < size; ++i)
            if (in[i] > max)
                max = in[i];
        for (i = 0; i < size; ++i)
            sum += layer->exp[max - in[i]];
        base = (uint64_t)log2_of(sum) * layer->log + ((uint64_t)1 << 23);
        for (i = 0; i < size; ++i) {
            const uint64_t y = (base + (uint64_t)(uint32_t)(max - in[i]) * layer->step) >> 24;
            const int32_t less = y < 256 ? (int32_t)y : 256;
            out[i] = (int8_t)(layer->out_zero - less < -128 ? -128 : layer->out_zero - less);
        }
    }
    return NCD_OK;
}
