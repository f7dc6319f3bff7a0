/* Elementwise sum, as TensorFlow Lite's ADD. */
#include "requantize.h"

enum { LEFT_SHIFT = 20 };

ncd_status ncd_nn_run_add_s8(const ncd_nn_add_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    const ncd_nn_scale a_scale = ncd_nn_scale_of(layer->a_multiplier, layer->a_shift);
    const ncd_nn_scale b_scale = ncd_nn_scale_of(layer->b_multiplier, layer->b_shift);
    const ncd_nn_scale out_scale = ncd_nn_scale_of(layer->out_multiplier, layer->out_shift);
    uint32_t i;
    for (i = 0; i < layer->size; ++i) {
        const int32_t x = ncd_nn_rescale((a[i] - layer->a_zero) * (1 << LEFT_SHIFT), &a_scale);
        const int32_t y = ncd_nn_rescale((b[i] - layer->b_zero) * (1 << LEFT_SHIFT), &b_scale);
        const int32_t sum = ncd_nn_rescale(ncd_nn_wrap_add(x, y), &out_scale);
        out[i] = (int8_t)ncd_nn_clamp(ncd_nn_wrap_add(sum, layer->out_zero), layer->min, layer->max);
    }
    return NCD_OK;
}
