/* Max pool: what is outside does not count. */
#include "axis.h"

ncd_status ncd_nn_run_max_pool_s8(const ncd_nn_pool_s8 *layer, const int8_t *in, int8_t *out)
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
        for (ox = 0; ox < w->out_w; ++ox, out += w->in_c) {
            const ncd_nn_span sy = ncd_nn_axis_span(&ay, oy), sx = ncd_nn_axis_span(&ax, ox);
            if (sy.first == sy.last || sx.first == sx.last)
                return NCD_ERR_ARG;
            for (y = sy.first; y < sy.last; ++y)
                for (x = sx.first; x < sx.last; ++x) {
                    const size_t at_y = sy.origin + (y - sy.first) * w->dilation_h;
                    const size_t at_x = sx.origin + (x - sx.first) * w->dilation_w;
                    const int8_t *const from = in + at_y * in_row + at_x * w->in_c;
                    const int is_first = y == sy.first && x == sx.first;
                    for (c = 0; c < w->in_c; ++c)
                        if (is_first || from[c] > out[c])
                            out[c] = from[c];
                }
            for (c = 0; c < w->in_c; ++c)
                out[c] = out[c] < layer->min ? layer->min : out[c] > layer->max ? layer->max : out[c];
        }
    return NCD_OK;
}
