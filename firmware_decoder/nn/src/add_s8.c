/* Elementwise sum, as TensorFlow Lite's ADD. */
#include "requantize.h"

enum { LEFT_SHIFT = 20 };

/* left: whether sums are shifted to the left, a constant. */
NCD_NN_INLINE void add(const ncd_nn_add_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out, int left)
{
    const ncd_nn_scale a_scale = ncd_nn_scale_of(layer->a_multiplier, layer->a_shift);
    const ncd_nn_scale b_scale = ncd_nn_scale_of(layer->b_multiplier, layer->b_shift);
    const ncd_nn_scale out_scale = ncd_nn_scale_of(layer->out_multiplier, layer->out_shift);
    uint32_t i;
    for (i = 0; i < layer->size; ++i) {
        const int32_t x = ncd_nn_rescale_down((a[i] - layer->a_zero) * (1 << LEFT_SHIFT), &a_scale);
        const int32_t y = ncd_nn_rescale_down((b[i] - layer->b_zero) * (1 << LEFT_SHIFT), &b_scale);
        const int32_t sum = left ? ncd_nn_shift_left(x + y, out_scale.left) : x + y;
        const int32_t z = ncd_nn_rescale_down(sum, &out_scale) + layer->out_zero;
        out[i] = (int8_t)ncd_nn_clamp(z, layer->min, layer->max);
    }
}

static NCD_NN_NOINLINE void add_left(const ncd_nn_add_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    add(layer, a, b, out, 1);
}

ncd_status ncd_nn_run_add_s8(const ncd_nn_add_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    if (layer->out_shift > 0)
        add_left(layer, a, b, out);
    else
        add(layer, a, b, out, 0);
    return NCD_OK;
}
