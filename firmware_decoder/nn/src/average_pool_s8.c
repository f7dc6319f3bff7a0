/* Average pool, and mean over space. */
#include "axis.h"
#include "requantize.h"

ncd_status ncd_nn_run_average_pool_s8(const ncd_nn_pool_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    const size_t in_row = (size_t)w->in_w * w->in_c;
    uint32_t oy, ox, c, y, x;
    ncd_nn_axis ay, ax;
    if (!ncd_nn_window_is_good(w))
        return NCD_ERR_ARG;
    ay = ncd_nn_axis_y(w);
    ax = ncd_nn_axis_x(w);
    for (oy = 0; oy < w->out_h; ++oy)
        for (ox = 0; ox < w->out_w; ++ox) {
            const ncd_nn_span sy = ncd_nn_axis_span(&ay, oy), sx = ncd_nn_axis_span(&ax, ox);
            const uint32_t rows = sy.last - sy.first, cols = sx.last - sx.first, inside = rows * cols;
            const uint32_t n = layer->count_outside ? (uint32_t)w->kernel_h * w->kernel_w : inside;
            const int8_t *const first = in + sy.origin * in_row + (size_t)sx.origin * w->in_c;
            ncd_nn_scale scale;
            if (inside == 0 || n < layer->least)
                return NCD_ERR_ARG;
            scale = ncd_nn_scale_of(layer->multiplier[n - layer->least], layer->shift[n - layer->least]);
            for (c = 0; c < w->in_c; ++c) {
                /* Places outside are the zero point, which adds as much as it takes away. */
                int32_t sum = -layer->in_zero * (int32_t)inside;
                for (y = 0; y < rows; ++y)
                    for (x = 0; x < cols; ++x)
                        sum += first[y * w->dilation_h * in_row + (size_t)(x * w->dilation_w) * w->in_c + c];
                sum = ncd_nn_wrap_add(ncd_nn_rescale(sum, &scale), layer->out_zero);
                *out++ = (int8_t)ncd_nn_clamp(sum, layer->min, layer->max);
            }
        }
    return NCD_OK;
}
