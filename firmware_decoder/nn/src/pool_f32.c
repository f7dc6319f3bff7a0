/* Max and average pools of floats. */
#include "axis.h"

#if NCD_ENABLE_FLOAT

/* average: the mean over the places that count; else the greatest value. */
static ncd_status pool(const ncd_nn_window *w, int average, int count_outside, const float *in, float *out)
{
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
            const uint32_t rows = sy.last - sy.first, cols = sx.last - sx.first;
            const float *const first = in + sy.origin * in_row + (size_t)sx.origin * w->in_c;
            if (rows == 0 || cols == 0)
                return NCD_ERR_ARG;
            for (c = 0; c < w->in_c; ++c) {
                float result = average ? 0.0f : first[c];
                for (y = 0; y < rows; ++y)
                    for (x = 0; x < cols; ++x) {
                        const float v = first[y * w->dilation_h * in_row + (size_t)(x * w->dilation_w) * w->in_c + c];
                        if (average)
                            result += v;
                        else if (v > result)
                            result = v;
                    }
                if (average)
                    result /= (float)(count_outside ? (uint32_t)w->kernel_h * w->kernel_w : rows * cols);
                *out++ = result;
            }
        }
    return NCD_OK;
}

ncd_status ncd_nn_run_max_pool_f32(const ncd_nn_window *window, const float *in, float *out)
{
    return pool(window, 0, 0, in, out);
}

ncd_status ncd_nn_run_average_pool_f32(const ncd_nn_window *window, uint8_t count_outside, const float *in, float *out)
{
    return pool(window, 1, count_outside, in, out);
}

#endif
