/* Elementwise product, as TensorFlow Lite's MUL. */
#include "requantize.h"

ncd_status ncd_nn_run_mul_s8(const ncd_nn_mul_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    const ncd_nn_scale scale = ncd_nn_scale_of(layer->multiplier, layer->shift);
    uint32_t outer, i, inner;
    for (outer = layer->outer; outer > 0; --outer) {
        for (i = 0; i < layer->size; ++i) {
            const int32_t factor = b[i] - layer->b_zero;
            for (inner = layer->inner; inner > 0; --inner) {
                const int32_t x = ncd_nn_rescale((*a++ - layer->a_zero) * factor, &scale);
                *out++ = (int8_t)ncd_nn_clamp(x + layer->out_zero, layer->min, layer->max);
            }
        }
    }
    return NCD_OK;
}
