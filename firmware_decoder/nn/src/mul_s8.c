/* Elementwise product, as TensorFlow Lite's MUL. */
#include "requantize.h"

/* Products are below 2^16 in size, so that shifts to the left up to this need not be watched; it, and any larger one, takes
 * all but 0 to the ends. */
enum { MOST_LEFT = 14 };

ncd_status ncd_nn_run_mul_s8(const ncd_nn_mul_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t shift = ncd_nn_clamp(layer->shift, -31, MOST_LEFT);
    const ncd_nn_scale scale = ncd_nn_scale_of(layer->multiplier, shift);
    const int32_t a_zero = layer->a_zero, b_zero = layer->b_zero, out_zero = layer->out_zero;
    const int32_t min = layer->min, max = layer->max;
    uint32_t outer, i, inner;
    for (outer = layer->outer; outer > 0; --outer) {
        for (i = 0; i < layer->size; ++i) {
            const int32_t factor = b[i] - b_zero;
            for (inner = layer->inner; inner > 0; --inner) {
                const int32_t x = ncd_nn_rescale_small((*a++ - a_zero) * factor, &scale);
                *out++ = (int8_t)ncd_nn_clamp(x + out_zero, min, max);
            }
        }
    }
    return NCD_OK;
}
