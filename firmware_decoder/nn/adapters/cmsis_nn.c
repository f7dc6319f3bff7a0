/* Layers on CMSIS-NN's kernels; the header says which. */
#include "cmsis_nn.h"

#include "../src/rows.h"
#include "arm_nnfunctions.h"

static ncd_status status_of(arm_cmsis_nn_status status)
{
    return status == ARM_CMSIS_NN_SUCCESS ? NCD_OK
           : status == ARM_CMSIS_NN_NO_IMPL_ERROR ? NCD_ERR_UNSUPPORTED
                                                  : NCD_ERR_ARG;
}

static cmsis_nn_dims dims_of(int32_t n, int32_t h, int32_t w, int32_t c)
{
    cmsis_nn_dims d;
    d.n = n;
    d.h = h;
    d.w = w;
    d.c = c;
    return d;
}

/* Multiplier and shift of each of a run of rows. CMSIS-NN has shifts of 32 bits. */
static void copy_scales(const ncd_nn_requant *q, uint32_t row, uint32_t count, int32_t *multiplier, int32_t *shift)
{
    uint32_t i;
    for (i = 0; i < count; ++i) {
        const uint32_t from = q->per_row ? row + i : 0;
        multiplier[i] = q->multiplier[from];
        shift[i] = q->shift[from];
    }
}

/* CMSIS-NN's buffer; none is taken where none is needed. */
static ncd_status take_context(ncd_nn_memory *memory, int32_t size, cmsis_nn_context *context)
{
    context->buf = NULL;
    context->size = size > 0 ? size : 0;
    if (size > 0)
        context->buf = ncd_nn_take(memory, (size_t)size);
    return size > 0 && !context->buf ? NCD_ERR_WORKSPACE : NCD_OK;
}

static size_t positive(int32_t size)
{
    return size > 0 ? NCD_NN_ALIGN((uint32_t)size) : 0;
}

/* ---- Fully connected ---- */

static int32_t linear_context(const ncd_nn_linear_s8 *layer, uint32_t rows)
{
    const cmsis_nn_dims filter = dims_of((int32_t)layer->weights.cols, 1, 1, (int32_t)rows);
    return arm_fully_connected_s8_get_buffer_size(&filter);
}

size_t ncd_cmsis_linear_scratch(const ncd_nn_linear_s8 *layer, uint32_t tile_size)
{
    const ncd_nn_weights *const w = &layer->weights;
    const uint32_t rows = w->plain ? w->rows : tile_size > w->cols ? tile_size / w->cols : 1;
    return (w->plain ? 0 : NCD_NN_ROWS_SCRATCH(tile_size, w->cols, 1, 1)) + 8 * (size_t)rows +
           positive(linear_context(layer, rows));
}

/* Some rows of the layer, for all vectors. */
static ncd_status multiply(const ncd_nn_linear_s8 *layer, const ncd_nn_rows *r, const int8_t *in, int8_t *out,
                           const cmsis_nn_context *context, int32_t *multiplier, int32_t *shift)
{
    const ncd_nn_requant *const q = &layer->requant;
    const int32_t cols = (int32_t)layer->weights.cols, count = (int32_t)r->count;
    const int32_t *const bias = q->bias ? q->bias + r->row : NULL;
    const int8_t *const weights = (const int8_t *)r->data;
    const cmsis_nn_dims input = dims_of(1, 1, 1, cols), filter = dims_of(cols, 1, 1, count);
    const cmsis_nn_dims of_bias = dims_of(1, 1, 1, count), output = dims_of(1, 1, 1, count);
    cmsis_nn_per_channel_quant_params scales;
    cmsis_nn_per_tensor_quant_params scale;
    cmsis_nn_fc_params params;
    ncd_status status = NCD_OK;
    uint32_t i;

    params.input_offset = -q->in_zero;
    params.filter_offset = 0;
    params.output_offset = q->out_zero;
    params.activation.min = q->min;
    params.activation.max = q->max;
    copy_scales(q, r->row, q->per_row ? r->count : 1, multiplier, shift);
    scales.multiplier = multiplier;
    scales.shift = shift;
    scale.multiplier = multiplier[0];
    scale.shift = shift[0];
    if (context->buf) /* kernels of MVE take the offset's part of the sums, and the bias, from there */
        status = status_of(arm_vector_sum_s8((int32_t *)context->buf, cols, count, weights, params.input_offset, 0, bias));
    for (i = 0; status == NCD_OK && i < layer->batch; ++i, in += cols, out += layer->weights.rows)
        status = status_of(
            q->per_row ? arm_fully_connected_per_channel_s8(context, &params, &scales, &input, in, &filter, weights,
                                                            &of_bias, bias, &output, out + r->row)
                       : arm_fully_connected_s8(context, &params, &scale, &input, in, &filter, weights, &of_bias, bias,
                                                &output, out + r->row));
    return status;
}

ncd_status ncd_cmsis_run_linear_s8(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out)
{
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    cmsis_nn_context context;
    int32_t *scales;
    ncd_nn_rows r;
    uint32_t most;
    ncd_status status;

    if (layer->batch == 0)
        return NCD_ERR_ARG;
    if ((status = ncd_nn_rows_open(&r, nn, &layer->weights, 1)) != NCD_OK ||
        (status = ncd_nn_rows_begin(&r, &memory, 1)) != NCD_OK)
        return status;
    most = layer->weights.plain ? layer->weights.rows : r.tensor.tile_rows;
    scales = (int32_t *)ncd_nn_take(&memory, 8 * (size_t)most);
    if (!scales)
        return NCD_ERR_WORKSPACE;
    status = take_context(&memory, linear_context(layer, most), &context);
    while (status == NCD_OK && (status = ncd_nn_rows_next(&r)) == NCD_OK && r.count > 0)
        status = multiply(layer, &r, in, out, &context, scales, scales + most);
    return status;
}

/* ---- Convolution ---- */

/* A call of the kernel: all of the image, or what one row of the output reads. */
typedef struct part {
    cmsis_nn_conv_params params;
    cmsis_nn_dims input, output;
    uint32_t first; /* row of the input */
} part;

static part whole_image(const ncd_nn_conv_s8 *layer, uint32_t channels)
{
    const ncd_nn_window *const w = &layer->window;
    part p;
    p.params.input_offset = -layer->requant.in_zero;
    p.params.output_offset = layer->requant.out_zero;
    p.params.stride.w = w->stride_w;
    p.params.stride.h = w->stride_h;
    p.params.padding.w = w->pad_left;
    p.params.padding.h = w->pad_top;
    p.params.dilation.w = w->dilation_w;
    p.params.dilation.h = w->dilation_h;
    p.params.activation.min = layer->requant.min;
    p.params.activation.max = layer->requant.max;
    p.input = dims_of(1, w->in_h, w->in_w, w->in_c);
    p.output = dims_of(1, w->out_h, w->out_w, (int32_t)channels);
    p.first = 0;
    return p;
}

static part one_row(const ncd_nn_conv_s8 *layer, uint32_t channels, uint32_t y)
{
    const ncd_nn_window *const w = &layer->window;
    const int32_t span = (w->kernel_h - 1) * w->dilation_h + 1;
    const int32_t start = (int32_t)y * w->stride_h - w->pad_top, end = start + span;
    const int32_t first = start < 0 ? 0 : start, last = end < w->in_h ? end : w->in_h;
    part p = whole_image(layer, channels);
    p.output.h = 1;
    if (first < last) {
        p.first = (uint32_t)first;
        p.input.h = last - first; /* and no more: a kernel of 1x1 goes through all rows that it is given */
        p.params.padding.h = first - start;
    } else { /* it reads nothing but zeros */
        p.input.h = 1;
        p.params.padding.h = span;
    }
    return p;
}

static cmsis_nn_dims filter_of(const ncd_nn_window *w, uint32_t channels)
{
    return dims_of((int32_t)channels, w->kernel_h, w->kernel_w, w->in_c);
}

/* Bytes that any of the kernel's calls with so many channels takes. */
static int32_t conv_context(const ncd_nn_conv_s8 *layer, uint32_t channels)
{
    const cmsis_nn_dims filter = filter_of(&layer->window, channels);
    int32_t most = 0, size;
    uint32_t y;
    part p;
    for (y = 0; y <= layer->window.out_h; ++y) {
        p = y < layer->window.out_h ? one_row(layer, channels, y) : whole_image(layer, channels);
        size = arm_convolve_wrapper_s8_get_buffer_size(&p.params, &p.input, &filter, &p.output);
        most = size > most ? size : most;
    }
    return most;
}

/* Scratch for so many channels, besides that of the rows. gathered: rows come one by one, and are put together. */
static size_t conv_memory(const ncd_nn_conv_s8 *layer, uint32_t channels, int gathered)
{
    return (gathered ? NCD_NN_ALIGN((size_t)channels * layer->weights.cols) : 0) + 8 * (size_t)channels +
           (channels < layer->window.out_c ? NCD_NN_ALIGN((size_t)channels * layer->window.out_w) : 0) +
           positive(conv_context(layer, channels));
}

size_t ncd_cmsis_conv_scratch(const ncd_nn_conv_s8 *layer, uint32_t tile_size, uint32_t channels)
{
    const ncd_nn_weights *const w = &layer->weights;
    const uint32_t taps = (uint32_t)layer->window.kernel_h * layer->window.kernel_w;
    const int in_order = taps == 1 || w->cols == taps, cut = tile_size < w->cols;
    if (w->plain)
        return conv_memory(layer, w->rows, 0);
    if (in_order && !cut)
        return NCD_NN_ROWS_SCRATCH(tile_size, w->cols, taps, 1) + conv_memory(layer, tile_size / w->cols, 0);
    return NCD_NN_ROWS_SCRATCH(tile_size, w->cols, taps, 1) + conv_memory(layer, channels < w->rows ? channels : w->rows, 1);
}

typedef struct convolution {
    const ncd_nn_conv_s8 *layer;
    const int8_t *in;
    int8_t *out;
    cmsis_nn_context context;
    int32_t *multiplier, *shift;
    int8_t *block, *row; /* rows put together; an output row of some channels */
} convolution;

static ncd_status convolve_part(const convolution *c, const part *p, uint32_t row, uint32_t count, const int8_t *weights,
                                int8_t *out)
{
    const ncd_nn_window *const w = &c->layer->window;
    const int32_t *const bias = c->layer->requant.bias ? c->layer->requant.bias + row : NULL;
    const cmsis_nn_dims filter = filter_of(w, count), of_bias = dims_of(1, 1, 1, (int32_t)count);
    cmsis_nn_per_channel_quant_params scales;
    scales.multiplier = c->multiplier;
    scales.shift = c->shift;
    return status_of(arm_convolve_wrapper_s8(&c->context, &p->params, &scales, &p->input,
                                             c->in + (size_t)p->first * w->in_w * w->in_c, &filter, weights, &of_bias, bias,
                                             &p->output, out));
}

/* Some output channels. */
static ncd_status convolve(const convolution *c, uint32_t row, uint32_t count, const int8_t *weights)
{
    const ncd_nn_window *const w = &c->layer->window;
    ncd_status status = NCD_OK;
    uint32_t x, y;
    part p;
    copy_scales(&c->layer->requant, row, count, c->multiplier, c->shift);
    if (count == w->out_c) {
        p = whole_image(c->layer, count);
        return convolve_part(c, &p, row, count, weights, c->out);
    }
    for (y = 0; status == NCD_OK && y < w->out_h; ++y) {
        int8_t *to = c->out + (size_t)y * w->out_w * w->out_c + row;
        p = one_row(c->layer, count, y);
        status = convolve_part(c, &p, row, count, weights, c->row);
        for (x = 0; status == NCD_OK && x < w->out_w; ++x, to += w->out_c)
            NCD_NN_COPY(to, c->row + (size_t)x * count, count);
    }
    return status;
}

/* The most channels whose memory is there; 1 if none is. */
static uint32_t channels_that_fit(const ncd_nn_conv_s8 *layer, size_t left)
{
    uint32_t channels = layer->weights.rows;
    while (channels > 1 && conv_memory(layer, channels, 1) > left)
        channels = (channels + 1) / 2;
    return channels;
}

/* Takes memory for `most` channels at a time. */
static ncd_status take_convolution(convolution *c, ncd_nn_memory *memory, uint32_t most, int gathered)
{
    const ncd_nn_window *const w = &c->layer->window;
    c->multiplier = (int32_t *)ncd_nn_take(memory, 8 * (size_t)most);
    c->block = gathered ? (int8_t *)ncd_nn_take(memory, (size_t)most * c->layer->weights.cols) : NULL;
    c->row = most < w->out_c ? (int8_t *)ncd_nn_take(memory, (size_t)most * w->out_w) : NULL;
    if (!c->multiplier || (gathered && !c->block) || (most < w->out_c && !c->row))
        return NCD_ERR_WORKSPACE;
    c->shift = c->multiplier + most;
    return take_context(memory, conv_context(c->layer, most), &c->context);
}

ncd_status ncd_cmsis_run_conv_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w, cols = layer->weights.cols;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    uint32_t most, first = 0, held = 0;
    convolution c;
    ncd_nn_rows r;
    ncd_status status;
    int gathered;

    if (w->groups != 1)
        return NCD_ERR_UNSUPPORTED;
    if (layer->weights.rows != w->out_c || cols != taps * w->in_c)
        return NCD_ERR_ARG;
    if ((status = ncd_nn_rows_open(&r, nn, &layer->weights, 1)) != NCD_OK ||
        (status = ncd_nn_rows_begin(&r, &memory, taps)) != NCD_OK)
        return status;
    gathered = !layer->weights.plain && ((taps > 1 && w->in_c > 1) || ncd_nn_rows_are_cut(&r));
    most = layer->weights.plain ? w->out_c : gathered ? channels_that_fit(layer, memory.left) : r.tensor.tile_rows;
    c.layer = layer;
    c.in = in;
    c.out = out;
    status = take_convolution(&c, &memory, most, gathered);
    while (status == NCD_OK && (status = ncd_nn_rows_next(&r)) == NCD_OK && r.count > 0) {
        if (!gathered) {
            status = convolve(&c, r.row, r.count, (const int8_t *)r.data);
            continue;
        }
        if (held == 0)
            first = r.row;
        NCD_NN_COPY(c.block + (size_t)held * cols, r.data, cols);
        if (++held == most) {
            status = convolve(&c, first, held, c.block);
            held = 0;
        }
    }
    return status == NCD_OK && held > 0 ? convolve(&c, first, held, c.block) : status;
}

/* ---- Depthwise ---- */

static cmsis_nn_dw_conv_params depthwise_params(const ncd_nn_conv_s8 *layer)
{
    const part p = whole_image(layer, layer->window.out_c);
    cmsis_nn_dw_conv_params d;
    d.input_offset = p.params.input_offset;
    d.output_offset = p.params.output_offset;
    d.ch_mult = layer->window.in_c ? layer->window.out_c / layer->window.in_c : 0;
    d.stride = p.params.stride;
    d.padding = p.params.padding;
    d.dilation = p.params.dilation;
    d.activation = p.params.activation;
    return d;
}

static int32_t depthwise_context(const ncd_nn_conv_s8 *layer)
{
    const part p = whole_image(layer, layer->window.out_c);
    const cmsis_nn_dw_conv_params params = depthwise_params(layer);
    const cmsis_nn_dims filter = dims_of(1, layer->window.kernel_h, layer->window.kernel_w, layer->window.out_c);
    return arm_depthwise_conv_wrapper_s8_get_buffer_size(&params, &p.input, &filter, &p.output);
}

size_t ncd_cmsis_depthwise_scratch(const ncd_nn_conv_s8 *layer, uint32_t tile_size)
{
    const ncd_nn_weights *const w = &layer->weights;
    return (w->plain ? 0 : NCD_NN_ROWS_SCRATCH(tile_size, w->cols, 1, 1)) + 8 * (size_t)w->rows +
           NCD_NN_ALIGN((size_t)w->rows * w->cols) + positive(depthwise_context(layer));
}

ncd_status ncd_cmsis_run_depthwise_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w, channels = w->out_c;
    const part p = whole_image(layer, channels);
    const cmsis_nn_dw_conv_params params = depthwise_params(layer);
    const cmsis_nn_dims filter = dims_of(1, w->kernel_h, w->kernel_w, w->out_c), of_bias = dims_of(1, 1, 1, w->out_c);
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    cmsis_nn_per_channel_quant_params scales;
    cmsis_nn_context context;
    uint32_t i, tap;
    int8_t *kernel;
    ncd_nn_rows r;
    ncd_status status;

    if (w->in_c == 0 || w->groups != w->in_c || channels % w->in_c != 0 || layer->weights.rows != channels ||
        layer->weights.cols != taps)
        return NCD_ERR_ARG;
    if ((status = ncd_nn_rows_open(&r, nn, &layer->weights, 1)) != NCD_OK ||
        (status = ncd_nn_rows_begin(&r, &memory, 1)) != NCD_OK)
        return status;
    scales.multiplier = (int32_t *)ncd_nn_take(&memory, 8 * (size_t)channels);
    kernel = (int8_t *)ncd_nn_take(&memory, (size_t)channels * taps);
    if (!scales.multiplier || !kernel)
        return NCD_ERR_WORKSPACE;
    scales.shift = scales.multiplier + channels;
    copy_scales(&layer->requant, 0, channels, scales.multiplier, scales.shift);
    status = take_context(&memory, depthwise_context(layer), &context);
    while (status == NCD_OK && (status = ncd_nn_rows_next(&r)) == NCD_OK && r.count > 0) {
        const int8_t *from = (const int8_t *)r.data;
        for (i = r.row; i < r.row + r.count; ++i)
            for (tap = 0; tap < taps; ++tap)
                kernel[tap * channels + i] = *from++;
    }
    if (status != NCD_OK)
        return status;
    return status_of(arm_depthwise_conv_wrapper_s8(&context, &params, &scales, &p.input, in, &filter, kernel, &of_bias,
                                                   layer->requant.bias, &p.output, out));
}
