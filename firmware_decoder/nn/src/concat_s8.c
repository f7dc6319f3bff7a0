/* One input of a concat over channels. */
#include "requantize.h"

ncd_status ncd_nn_run_concat_s8(const ncd_nn_concat_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_scale scale = ncd_nn_small_scale_of(layer->multiplier, layer->shift);
    uint32_t position, i;
    for (position = 0; position < layer->positions; ++position) {
        int8_t *const to = out + layer->offset + (size_t)position * layer->stride;
        for (i = 0; i < layer->size; ++i) {
            const int32_t x = ncd_nn_rescale_small(*in++ - layer->in_zero, &scale);
            to[i] = (int8_t)ncd_nn_clamp(ncd_nn_wrap_add(x, layer->out_zero), -128, 127);
        }
    }
    return NCD_OK;
}
