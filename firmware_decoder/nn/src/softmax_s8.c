/* Softmax by a table of exponentials. */
#include "common.h"

ncd_status ncd_nn_run_softmax_s8(const ncd_nn_softmax_s8 *layer, const int8_t *in, int8_t *out)
{
    const uint32_t size = layer->size;
    uint32_t count, i;
    if (size == 0 || !layer->exp)
        return NCD_ERR_ARG;
    for (count = layer->count; count > 0; --count, in += size, out += size) {
        int32_t max = -128;
        uint64_t sum = 0;
        for (i = 0; i < size; ++i)
            if (in[i] > max)
                max = in[i];
        for (i = 0; i < size; ++i)
            sum += layer->exp[max - in[i]];
        if (sum == 0)
            return NCD_ERR_ARG; /* the first entry of the table is 2^24 */
        for (i = 0; i < size; ++i) {
            const uint64_t y = (((uint64_t)layer->exp[max - in[i]] << 8) + (sum >> 1)) / sum;
            out[i] = (int8_t)((int32_t)(y < 255 ? y : 255) - 128);
        }
    }
    return NCD_OK;
}
