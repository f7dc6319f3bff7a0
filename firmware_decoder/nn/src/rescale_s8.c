/* To another scale, with a clamp. */
#include "requantize.h"

ncd_status ncd_nn_run_rescale_s8(const ncd_nn_rescale_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_scale scale = ncd_nn_small_scale_of(layer->multiplier, layer->shift);
    uint32_t i;
    for (i = 0; i < layer->size; ++i) {
        const int32_t x = ncd_nn_rescale_small(in[i] - layer->in_zero, &scale);
        out[i] = (int8_t)ncd_nn_clamp(ncd_nn_wrap_add(x, layer->out_zero), layer->min, layer->max);
    }
    return NCD_OK;
}
