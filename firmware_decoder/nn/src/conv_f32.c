/* Convolution of floats, any groups; a depthwise one is one of them. */
#include "axis.h"
#include "rows.h"

#if NCD_ENABLE_FLOAT

/* What one output gets from the taps inside. */
static float sum_of(const ncd_nn_window *w, const ncd_nn_span *y, const ncd_nn_span *x, uint32_t channels,
                    const float *weights, const float *in)
{
    float sum = 0;
    uint32_t i, j, k;
    for (i = y->first; i < y->last; ++i)
        for (j = x->first; j < x->last; ++j) {
            const size_t at_y = y->origin + (i - y->first) * w->dilation_h;
            const size_t at_x = x->origin + (j - x->first) * w->dilation_w;
            const float *const v = in + (at_y * w->in_w + at_x) * w->in_c;
            const float *const k_row = weights + ((size_t)i * w->kernel_w + j) * channels;
            for (k = 0; k < channels; ++k)
                sum += k_row[k] * v[k];
        }
    return sum;
}

ncd_status ncd_nn_run_conv_f32(const ncd_nn *nn, const ncd_nn_conv_f32 *layer, const float *in, float *out)
{
    const ncd_nn_window *const w = &layer->window;
    const ncd_nn_affine *const a = &layer->affine;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    ncd_nn_axis ay, ax;
    ncd_nn_rows rows;
    ncd_status status;
    uint32_t channels, i, oy, ox;
    if (!ncd_nn_conv_is_good(w, &layer->weights))
        return NCD_ERR_ARG;
    channels = w->in_c / w->groups;
    status = ncd_nn_rows_open(&rows, nn, &layer->weights, sizeof(float));
    if (status == NCD_OK)
        status = ncd_nn_rows_begin(&rows, &memory, (uint32_t)w->kernel_h * w->kernel_w);
    if (status != NCD_OK)
        return status;
    ay = ncd_nn_axis_y(w);
    ax = ncd_nn_axis_x(w);
    for (;;) {
        status = ncd_nn_rows_next(&rows);
        if (status != NCD_OK || rows.count == 0)
            return status;
        for (i = 0; i < rows.count; ++i) {
            const uint32_t row = rows.row + i;
            const float *const weights = (const float *)rows.data + (size_t)i * layer->weights.cols;
            const float *const from = in + row / (w->out_c / w->groups) * (size_t)channels;
            const float scale = a->scale ? a->scale[row] : 1.0f, bias = a->bias ? a->bias[row] : 0.0f;
            for (oy = 0; oy < w->out_h; ++oy) {
                const ncd_nn_span y = ncd_nn_axis_span(&ay, oy);
                for (ox = 0; ox < w->out_w; ++ox) {
                    const ncd_nn_span x = ncd_nn_axis_span(&ax, ox);
                    const float sum = sum_of(w, &y, &x, channels, weights, from) * scale + bias;
                    out[((size_t)oy * w->out_w + ox) * w->out_c + row] = ncd_nn_clamp_f32(sum, a->min, a->max);
                }
            }
        }
    }
}

#endif
