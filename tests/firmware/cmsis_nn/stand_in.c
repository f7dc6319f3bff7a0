/* A stand-in for CMSIS-NN: plain loops with the meaning that its documentation gives. With STAND_IN_MVE it asks for buffers
 * as the library does on a core with MVE, and a fully connected layer takes its kernel sums from there. Buffers are filled,
 * so that whoever gives one too small or one that holds something else fails. */
#include <stddef.h>
#include <string.h>

#include "arm_nnfunctions.h"

/* Doubled high half of a product, rounded, then divided by a power of two, rounded: as TensorFlow Lite has it. */
static int32_t requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t product = (int64_t)(int32_t)((uint32_t)value << left) * multiplier;
    const int64_t half = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
    const int64_t high = (product + half) / ((int64_t)1 << 31);
    const int64_t unit = (int64_t)1 << right, twice = (high < 0 ? -high : high) * 2 + unit;
    const int64_t magnitude = right == 0 ? (high < 0 ? -high : high) : twice / (2 * unit);
    return (int32_t)(high < 0 ? -magnitude : magnitude);
}

static int8_t output_of(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset, cmsis_nn_activation activation)
{
    const int32_t y = requantize(sum, multiplier, shift) + offset;
    return (int8_t)(y < activation.min ? activation.min : y > activation.max ? activation.max : y);
}

static int32_t wrap(int64_t sum)
{
    return (int32_t)(uint32_t)(uint64_t)sum;
}

static int is_usable(const cmsis_nn_context *ctx, int32_t size)
{
    if (size == 0)
        return 1;
    if (!ctx->buf || ctx->size < size || ((uintptr_t)ctx->buf & 3u) != 0)
        return 0;
    memset(ctx->buf, 0x55, (size_t)size);
    return 1;
}

/* ---- Fully connected ---- */

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter_dims)
{
#ifdef STAND_IN_MVE
    return filter_dims->c * 4;
#else
    (void)filter_dims;
    return 0;
#endif
}

arm_cmsis_nn_status arm_vector_sum_s8(int32_t *vector_sum_buf, const int32_t vector_cols, const int32_t vector_rows,
                                      const int8_t *vector_data, const int32_t lhs_offset, const int32_t rhs_offset,
                                      const int32_t *bias_data)
{
    int32_t row, col;
    if (rhs_offset != 0)
        return ARM_CMSIS_NN_ARG_ERROR;
    for (row = 0; row < vector_rows; ++row) {
        int64_t sum = 0;
        for (col = 0; col < vector_cols; ++col)
            sum += vector_data[row * vector_cols + col];
        vector_sum_buf[row] = wrap(sum * lhs_offset + (bias_data ? bias_data[row] : 0));
    }
    return ARM_CMSIS_NN_SUCCESS;
}

static arm_cmsis_nn_status connect(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *params, const int32_t *multiplier,
                                   const int32_t *shift, int32_t step, const cmsis_nn_dims *input_dims, const int8_t *input,
                                   const cmsis_nn_dims *filter_dims, const int8_t *filter, const cmsis_nn_dims *bias_dims,
                                   const int32_t *bias, const cmsis_nn_dims *output_dims, int8_t *output)
{
    const int32_t cols = filter_dims->n, rows = filter_dims->c;
    int32_t batch, row, col;
    if (input_dims->h * input_dims->w * input_dims->c != cols || output_dims->c != rows || bias_dims->c != rows ||
        params->filter_offset != 0 || params->input_offset < -127 || params->input_offset > 128)
        return ARM_CMSIS_NN_ARG_ERROR;
#ifdef STAND_IN_MVE
    if (!ctx->buf || ctx->size < 4 * rows)
        return ARM_CMSIS_NN_ARG_ERROR;
#endif
    for (batch = 0; batch < input_dims->n; ++batch, input += cols, output += rows)
        for (row = 0; row < rows; ++row) {
            int64_t sum = 0;
            for (col = 0; col < cols; ++col) {
#ifdef STAND_IN_MVE
                sum += input[col] * filter[row * cols + col];
#else
                sum += (input[col] + params->input_offset) * filter[row * cols + col];
#endif
            }
#ifdef STAND_IN_MVE
            sum += ((const int32_t *)ctx->buf)[row];
            (void)bias;
#else
            sum += bias ? bias[row] : 0;
            (void)ctx;
#endif
            output[row] = output_of(wrap(sum), multiplier[row * step], shift[row * step], params->output_offset,
                                    params->activation);
        }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc_params,
                                           const cmsis_nn_per_tensor_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims, const int8_t *input_data,
                                           const cmsis_nn_dims *filter_dims, const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims, const int32_t *bias_data,
                                           const cmsis_nn_dims *output_dims, int8_t *output_data)
{
    return connect(ctx, fc_params, &quant_params->multiplier, &quant_params->shift, 0, input_dims, input_data, filter_dims,
                   filter_data, bias_dims, bias_data, output_dims, output_data);
}

arm_cmsis_nn_status arm_fully_connected_per_channel_s8(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc_params,
                                                       const cmsis_nn_per_channel_quant_params *quant_params,
                                                       const cmsis_nn_dims *input_dims, const int8_t *input_data,
                                                       const cmsis_nn_dims *filter_dims, const int8_t *filter_data,
                                                       const cmsis_nn_dims *bias_dims, const int32_t *bias_data,
                                                       const cmsis_nn_dims *output_dims, int8_t *output_data)
{
    return connect(ctx, fc_params, quant_params->multiplier, quant_params->shift, 1, input_dims, input_data, filter_dims,
                   filter_data, bias_dims, bias_data, output_dims, output_data);
}

/* ---- Convolutions ---- */

/* A convolution of one image whose output channel o reads `channels` input channels from first(o) on; the weight of tap and
 * channel lies at o * by_output + tap * by_tap + channel. */
typedef struct shape {
    int32_t channels, per_group, by_output, by_tap;
} shape;

static void slide(const shape *s, const cmsis_nn_conv_params *p, const cmsis_nn_per_channel_quant_params *q,
                  const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *kernel, const int8_t *weights,
                  const int32_t *bias, const cmsis_nn_dims *out, int8_t *output)
{
    int32_t oy, ox, o, ky, kx, c;
    for (oy = 0; oy < out->h; ++oy)
        for (ox = 0; ox < out->w; ++ox)
            for (o = 0; o < out->c; ++o) {
                int64_t sum = bias ? bias[o] : 0;
                for (ky = 0; ky < kernel->h; ++ky)
                    for (kx = 0; kx < kernel->w; ++kx) {
                        const int32_t y = oy * p->stride.h - p->padding.h + ky * p->dilation.h;
                        const int32_t x = ox * p->stride.w - p->padding.w + kx * p->dilation.w;
                        if (y < 0 || y >= in->h || x < 0 || x >= in->w)
                            continue;
                        for (c = 0; c < s->channels; ++c)
                            sum += (input[(y * in->w + x) * in->c + o / s->per_group * s->channels + c] + p->input_offset) *
                                   weights[o * s->by_output + (ky * kernel->w + kx) * s->by_tap + c];
                    }
                *output++ = output_of(wrap(sum), q->multiplier[o], q->shift[o], p->output_offset, p->activation);
            }
}

static int is_one_by_one(const cmsis_nn_conv_params *p, const cmsis_nn_dims *filter)
{
    return p->padding.w == 0 && p->padding.h == 0 && p->stride.w == 1 && p->stride.h == 1 && filter->w == 1 &&
           filter->h == 1 && p->dilation.w == 1 && p->dilation.h == 1;
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv_params, const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims, const cmsis_nn_dims *output_dims)
{
    (void)output_dims;
    return is_one_by_one(conv_params, filter_dims) ? 0 : 4 * filter_dims->w * filter_dims->h * input_dims->c;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *conv_params,
                                            const cmsis_nn_per_channel_quant_params *quant_params,
                                            const cmsis_nn_dims *input_dims, const int8_t *input_data,
                                            const cmsis_nn_dims *filter_dims, const int8_t *filter_data,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias_data,
                                            const cmsis_nn_dims *output_dims, int8_t *output_data)
{
    const int32_t size = arm_convolve_wrapper_s8_get_buffer_size(conv_params, input_dims, filter_dims, output_dims);
    cmsis_nn_dims out = *output_dims;
    shape s;
    if (input_dims->n != 1 || input_dims->h < 1 || filter_dims->n != out.c || bias_dims->c != out.c ||
        filter_dims->c != input_dims->c || conv_params->padding.h < 0 || !is_usable(ctx, size))
        return ARM_CMSIS_NN_ARG_ERROR;
    if (is_one_by_one(conv_params, filter_dims))
        out.h = input_dims->h; /* its kernel goes by the input's size */
    s.channels = input_dims->c;
    s.per_group = out.c;
    s.by_output = filter_dims->h * filter_dims->w * input_dims->c;
    s.by_tap = input_dims->c;
    slide(&s, conv_params, quant_params, input_dims, input_data, filter_dims, filter_data, bias_data, &out, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *dw_conv_params,
                                                      const cmsis_nn_dims *input_dims, const cmsis_nn_dims *filter_dims,
                                                      const cmsis_nn_dims *output_dims)
{
    (void)output_dims;
    return dw_conv_params->ch_mult == 1 ? 2 * input_dims->c * filter_dims->w * filter_dims->h : 0;
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *ctx,
                                                  const cmsis_nn_dw_conv_params *dw_conv_params,
                                                  const cmsis_nn_per_channel_quant_params *quant_params,
                                                  const cmsis_nn_dims *input_dims, const int8_t *input_data,
                                                  const cmsis_nn_dims *filter_dims, const int8_t *filter_data,
                                                  const cmsis_nn_dims *bias_dims, const int32_t *bias_data,
                                                  const cmsis_nn_dims *output_dims, int8_t *output_data)
{
    const int32_t size = arm_depthwise_conv_wrapper_s8_get_buffer_size(dw_conv_params, input_dims, filter_dims, output_dims);
    cmsis_nn_conv_params p;
    shape s;
    if (input_dims->n != 1 || output_dims->c != input_dims->c * dw_conv_params->ch_mult ||
        filter_dims->c != output_dims->c || bias_dims->c != output_dims->c || !is_usable(ctx, size))
        return ARM_CMSIS_NN_ARG_ERROR;
    p.input_offset = dw_conv_params->input_offset;
    p.output_offset = dw_conv_params->output_offset;
    p.stride = dw_conv_params->stride;
    p.padding = dw_conv_params->padding;
    p.dilation = dw_conv_params->dilation;
    p.activation = dw_conv_params->activation;
    s.channels = 1;
    s.per_group = dw_conv_params->ch_mult;
    s.by_output = 1;
    s.by_tap = output_dims->c;
    slide(&s, &p, quant_params, input_dims, input_data, filter_dims, filter_data, bias_data, output_dims, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}
