/* Depthwise convolution: four channels at a time, whose weights are packed for it. */
#include "conv_row.h"
#include "depthwise_3x3.h"
#include "dot.h"
#include "rows.h"

/* Four channels from `row` on; in these the input has as many channels as the output. */
static NCD_NN_NOINLINE void run_four(const ncd_nn_conv *c, uint32_t row, const int16_t *packed)
{
    const ncd_nn_window *const w = &c->layer->window;
    const ncd_nn_requant *const q = &c->layer->requant;
    const size_t in_y = c->y.stride * c->in_row, in_x = (size_t)c->x.stride * w->in_c;
    static const int8_t ones[4] = {1, 1, 1, 1};
    ncd_nn_output output[4];
    int32_t sums[4], inside[4];
    ncd_nn_taps taps;
    ncd_nn_patch p;
    uint32_t y, x, k;
    int first = 1;
    taps.w_row = 4 * (size_t)w->kernel_w;
    for (; ncd_nn_patch_next(c, &p, first); first = 0) {
        const int16_t *const weights = packed + 4 * ((size_t)p.y.first * w->kernel_w + p.x.first);
        const int8_t *const in = ncd_nn_patch_in(c, &p) + row;
        int8_t *const out = ncd_nn_patch_out(c, &p) + row;
        taps.rows = p.y.last - p.y.first;
        taps.cols = p.x.last - p.x.first;
        /* What the zero point adds: the sums of the weights, as an input of ones gives them. */
        taps.x_row = taps.x_col = 0;
        ncd_nn_taps_4(weights, ones, &taps, inside);
        for (k = 0; k < 4; ++k) {
            output[k] = ncd_nn_output_of(q, row + k);
            output[k].base = ncd_nn_wrap_add(output[k].base, ncd_nn_wrap_mul(-q->in_zero, inside[k]));
        }
        taps.x_row = w->dilation_h * c->in_row;
        taps.x_col = (size_t)w->dilation_w * w->in_c;
        for (y = 0; y < p.y.end - p.y.begin; ++y) {
            const int8_t *const from = in + y * in_y;
            int8_t *to = out + (size_t)y * c->x.out * w->out_c;
            for (x = 0; x < p.x.end - p.x.begin; ++x, to += w->out_c) {
                ncd_nn_taps_4(weights, from + x * in_x, &taps, sums);
                for (k = 0; k < 4; ++k) {
                    const ncd_nn_output *const o = &output[k];
                    const int32_t v = o->halve ? ncd_nn_output_usual(sums[k], o->base, o->multiplier, o->halve, o->round)
                                               : ncd_nn_output_rare(sums[k], o);
                    to[k] = (int8_t)ncd_nn_clamp(v, o->min, o->max);
                }
            }
        }
    }
}

ncd_status ncd_nn_run_depthwise_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    int16_t *packed;
    ncd_nn_conv c;
    ncd_nn_rows rows;
    ncd_status status;
    uint32_t i;
    if (!ncd_nn_conv_is_good(w, &layer->weights) || w->groups != w->in_c)
        return NCD_ERR_ARG;
    packed = (int16_t *)ncd_nn_take(&memory, 8 * (size_t)taps);
    if (!packed)
        return NCD_ERR_WORKSPACE;
    status = ncd_nn_rows_open(&rows, nn, &layer->weights, 1);
    if (status == NCD_OK)
        status = ncd_nn_rows_begin(&rows, &memory, taps);
    if (status != NCD_OK)
        return status;
    ncd_nn_conv_begin(&c, layer, in, out);
    for (;;) {
        const int8_t *weights;
        status = ncd_nn_rows_next(&rows);
        if (status != NCD_OK || rows.count == 0)
            return status;
        weights = (const int8_t *)rows.data;
        i = 0;
#if NCD_NN_KERNELS == 1
        if (ncd_nn_is_3x3(w))
            for (; i < rows.count; ++i, weights += taps)
                ncd_nn_3x3_row(&c, rows.row + i, weights);
#endif
        while (i < rows.count) {
            if (rows.count - i >= 4 && w->in_c == w->out_c) {
                ncd_nn_pack_4(weights, taps, packed);
                run_four(&c, rows.row + i, packed);
                weights += 4 * taps;
                i += 4;
            } else {
                ncd_nn_conv_row(&c, rows.row + i, weights);
                weights += taps;
                ++i;
            }
        }
    }
}
