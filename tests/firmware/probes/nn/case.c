/* Puts a case into the structs of ncd_nn.h and runs it. */
#include "case.h"

#include <string.h>

#if __STDC_HOSTED__
#include <stdlib.h>
#endif

enum { CONV = 1, DEPTHWISE, LINEAR, ADD, MAX_POOL, AVERAGE_POOL, RESCALE, CONCAT, FLATTEN, SOFTMAX, LSTM, GRU,
       MUL, LOOKUP, LOG_SOFTMAX,
       CONV_F32 = 21, LINEAR_F32, ADD_F32, MAX_POOL_F32, AVERAGE_POOL_F32, CLAMP_F32, CONCAT_F32, FLATTEN_F32, SOFTMAX_F32,
       LSTM_F32, GRU_F32, MUL_F32, FUNCTION_F32,
       LOG_SOFTMAX_F32 };
enum { FIELDS = 32, BLOBS = 16 };
enum { STREAM, CHECKS, PLAIN, BIAS, MULTIPLIER, SHIFT, IN, IN2, CHECKS2, PLAIN2, BIAS2, MULTIPLIER2, SHIFT2, CELL, FLOATS,
       TABLE };

/* ---- Memory: on a host each piece on its own, so that a sanitizer sees its end. ---- */

#if __STDC_HOSTED__

static void *pieces[64];
static size_t n_pieces;

static void *take(size_t size)
{
    void *const p = malloc(size ? size : 1);
    pieces[n_pieces++] = p;
    return p;
}

void case_free(void)
{
    while (n_pieces > 0)
        free(pieces[--n_pieces]);
}

#else

#ifndef ARENA_BYTES
#define ARENA_BYTES 9000
#endif

static uint64_t arena[ARENA_BYTES / 8];
static size_t used;

static void *take(size_t size)
{
    uint8_t *const p = (uint8_t *)arena + used;
    used += (size + 7u) & ~(size_t)7u;
    return used <= sizeof arena ? p : NULL;
}

void case_free(void)
{
    used = 0;
}

#endif

/* ---- A case ---- */

typedef struct contents {
    int32_t fields[FIELDS];
    void *blobs[BLOBS];   /* copied, aligned; null where empty */
    size_t sizes[BLOBS];
} contents;

static ncd_status read_case(const uint8_t *p, contents *c)
{
    const uint32_t n_fields = case_word(p + 4), n_blobs = case_word(p + 8);
    uint32_t i;
    memset(c, 0, sizeof *c);
    if (n_fields > FIELDS || n_blobs > BLOBS)
        return NCD_ERR_ARG;
    p += 12;
    for (i = 0; i < n_fields; ++i, p += 4)
        c->fields[i] = (int32_t)case_word(p);
    for (i = 0; i < n_blobs; ++i) {
        const size_t size = case_word(p);
        p += 4;
        c->sizes[i] = size;
#if !__STDC_HOSTED__
        if (i == STREAM) /* stays in flash */
            c->blobs[i] = (void *)(uintptr_t)p;
        else
#endif
        if (size > 0) {
            c->blobs[i] = take(size);
            if (!c->blobs[i])
                return NCD_ERR_CAPACITY;
            memcpy(c->blobs[i], p, size);
        }
        p += (size + 3u) & ~(size_t)3u;
    }
    return NCD_OK;
}

static ncd_nn_weights weights_of(const contents *c, int second)
{
    ncd_nn_weights w;
    w.index = (uint32_t)c->fields[second ? 7 : 3];
    w.rows = (uint32_t)c->fields[4];
    w.cols = (uint32_t)c->fields[second ? 6 : 5];
    w.checks = (const uint16_t *)c->blobs[second ? CHECKS2 : CHECKS];
    w.plain = c->blobs[second ? PLAIN2 : PLAIN];
    return w;
}

static ncd_nn_window window_of(const contents *c)
{
    const int32_t *const f = c->fields + 8;
    ncd_nn_window w;
    w.in_h = (uint16_t)f[0];
    w.in_w = (uint16_t)f[1];
    w.in_c = (uint16_t)f[2];
    w.out_h = (uint16_t)f[3];
    w.out_w = (uint16_t)f[4];
    w.out_c = (uint16_t)f[5];
    w.kernel_h = (uint8_t)f[6];
    w.kernel_w = (uint8_t)f[7];
    w.stride_h = (uint8_t)f[8];
    w.stride_w = (uint8_t)f[9];
    w.dilation_h = (uint8_t)f[10];
    w.dilation_w = (uint8_t)f[11];
    w.pad_top = (uint8_t)f[12];
    w.pad_left = (uint8_t)f[13];
    w.groups = (uint16_t)f[14];
    return w;
}

static ncd_nn_requant requant_of(const contents *c)
{
    const int32_t *const f = c->fields + 23;
    ncd_nn_requant q;
    q.bias = (const int32_t *)c->blobs[BIAS];
    q.multiplier = (const int32_t *)c->blobs[MULTIPLIER];
    q.shift = (const int8_t *)c->blobs[SHIFT];
    q.per_row = (uint8_t)f[0];
    q.in_zero = (int8_t)f[1];
    q.out_zero = (int8_t)f[2];
    q.min = (int8_t)f[3];
    q.max = (int8_t)f[4];
    return q;
}

static ncd_status run_conv(const ncd_nn *nn, const contents *c, int8_t *out, int depthwise)
{
    const int8_t *const in = (const int8_t *)c->blobs[IN];
    ncd_nn_conv_s8 layer;
    layer.window = window_of(c);
    layer.weights = weights_of(c, 0);
    layer.requant = requant_of(c);
    return depthwise ? ncd_nn_run_depthwise_s8(nn, &layer, in, out) : ncd_nn_run_conv_s8(nn, &layer, in, out);
}

static ncd_status run_linear(const ncd_nn *nn, const contents *c, int8_t *out)
{
    ncd_nn_linear_s8 layer;
    layer.batch = (uint32_t)c->fields[8];
    layer.weights = weights_of(c, 0);
    layer.requant = requant_of(c);
    return ncd_nn_run_linear_s8(nn, &layer, (const int8_t *)c->blobs[IN], out);
}

static ncd_status run_add(const contents *c, int8_t *out)
{
    const int32_t *const f = c->fields + 8;
    ncd_nn_add_s8 layer;
    layer.size = (uint32_t)f[0];
    layer.a_zero = (int8_t)f[1];
    layer.b_zero = (int8_t)f[2];
    layer.out_zero = (int8_t)f[3];
    layer.min = (int8_t)f[4];
    layer.max = (int8_t)f[5];
    layer.a_multiplier = f[6];
    layer.b_multiplier = f[7];
    layer.out_multiplier = f[8];
    layer.a_shift = (int8_t)f[9];
    layer.b_shift = (int8_t)f[10];
    layer.out_shift = (int8_t)f[11];
    return ncd_nn_run_add_s8(&layer, (const int8_t *)c->blobs[IN], (const int8_t *)c->blobs[IN2], out);
}

static ncd_status run_log_softmax(const contents *c, int8_t *out)
{
    ncd_nn_log_softmax_s8 layer;
    layer.count = (uint32_t)c->fields[8];
    layer.size = (uint32_t)c->fields[9];
    layer.step = (uint32_t)c->fields[10];
    layer.log = (uint32_t)c->fields[11];
    layer.out_zero = (int8_t)c->fields[12];
    layer.exp = (const uint32_t *)c->blobs[TABLE];
    return ncd_nn_run_log_softmax_s8(&layer, (const int8_t *)c->blobs[IN], out);
}

static ncd_status run_mul(const contents *c, int8_t *out)
{
    const int32_t *const f = c->fields + 8;
    ncd_nn_mul_s8 layer;
    layer.outer = (uint32_t)f[0];
    layer.size = (uint32_t)f[1];
    layer.inner = (uint32_t)f[2];
    layer.multiplier = f[3];
    layer.shift = (int8_t)f[4];
    layer.a_zero = (int8_t)f[5];
    layer.b_zero = (int8_t)f[6];
    layer.out_zero = (int8_t)f[7];
    layer.min = (int8_t)f[8];
    layer.max = (int8_t)f[9];
    return ncd_nn_run_mul_s8(&layer, (const int8_t *)c->blobs[IN], (const int8_t *)c->blobs[IN2], out);
}

static ncd_status run_lookup(const contents *c, int8_t *out)
{
    ncd_nn_table_s8 layer;
    layer.size = (uint32_t)c->fields[8];
    layer.table = (const int8_t *)c->blobs[TABLE];
    return ncd_nn_run_table_s8(&layer, (const int8_t *)c->blobs[IN], out);
}

static ncd_status run_pool(const contents *c, int8_t *out, int average)
{
    const int8_t *const in = (const int8_t *)c->blobs[IN];
    ncd_nn_pool_s8 layer;
    layer.window = window_of(c);
    layer.multiplier = (const int32_t *)c->blobs[MULTIPLIER];
    layer.shift = (const int8_t *)c->blobs[SHIFT];
    layer.least = (uint16_t)c->fields[28];
    layer.count_outside = (uint8_t)c->fields[23];
    layer.in_zero = (int8_t)c->fields[24];
    layer.out_zero = (int8_t)c->fields[25];
    layer.min = (int8_t)c->fields[26];
    layer.max = (int8_t)c->fields[27];
    return average ? ncd_nn_run_average_pool_s8(&layer, in, out) : ncd_nn_run_max_pool_s8(&layer, in, out);
}

static ncd_status run_rescale(const contents *c, int8_t *out)
{
    ncd_nn_rescale_s8 layer;
    layer.size = (uint32_t)c->fields[8];
    layer.multiplier = c->fields[9];
    layer.shift = (int8_t)c->fields[10];
    layer.in_zero = (int8_t)c->fields[24];
    layer.out_zero = (int8_t)c->fields[25];
    layer.min = (int8_t)c->fields[26];
    layer.max = (int8_t)c->fields[27];
    return ncd_nn_run_rescale_s8(&layer, (const int8_t *)c->blobs[IN], out);
}

static ncd_nn_concat_s8 concat_of(const contents *c)
{
    const int32_t *const f = c->fields + 8;
    ncd_nn_concat_s8 layer;
    layer.positions = (uint32_t)f[0];
    layer.size = (uint32_t)f[1];
    layer.stride = (uint32_t)f[2];
    layer.offset = (uint32_t)f[3];
    layer.multiplier = f[4];
    layer.shift = (int8_t)f[5];
    layer.in_zero = (int8_t)f[6];
    layer.out_zero = (int8_t)f[7];
    return layer;
}

static ncd_nn_flatten flatten_of(const contents *c)
{
    ncd_nn_flatten layer;
    layer.positions = (uint32_t)c->fields[8];
    layer.channels = (uint32_t)c->fields[9];
    return layer;
}

static ncd_status run_softmax(const contents *c, int8_t *out)
{
    ncd_nn_softmax_s8 layer;
    layer.count = (uint32_t)c->fields[8];
    layer.size = (uint32_t)c->fields[9];
    layer.exp = (const uint32_t *)c->blobs[TABLE];
    return ncd_nn_run_softmax_s8(&layer, (const int8_t *)c->blobs[IN], out);
}

#ifdef CASE_CELLS

static ncd_nn_cell_gates_s8 gates_of(const contents *c, int second)
{
    ncd_nn_cell_gates_s8 g;
    g.weights = weights_of(c, second);
    g.bias = (const int32_t *)c->blobs[second ? BIAS2 : BIAS];
    g.multiplier = (const int32_t *)c->blobs[second ? MULTIPLIER2 : MULTIPLIER];
    g.shift = (const int8_t *)c->blobs[second ? SHIFT2 : SHIFT];
    g.per_row = (uint8_t)c->fields[second ? 13 : 12];
    return g;
}

/* Steps of a cell; the output is the state, then for an LSTM the cell. */
static ncd_status run_cell(const ncd_nn *nn, const contents *c, uint8_t *out, int lstm)
{
    const uint32_t steps = (uint32_t)c->fields[11];
    const int8_t *in = (const int8_t *)c->blobs[IN];
    int8_t *const state = (int8_t *)c->blobs[IN2];
    ncd_nn_cell_s8 layer;
    ncd_status status = NCD_OK;
    uint32_t i;
    layer.inputs = (uint32_t)c->fields[8];
    layer.hidden = (uint32_t)c->fields[9];
    layer.cell_fraction = (uint8_t)c->fields[10];
    layer.headroom = (uint8_t)c->fields[14];
    layer.input = gates_of(c, 0);
    layer.recurrent = gates_of(c, 1);
    for (i = 0; i < steps && status == NCD_OK; ++i, in += layer.inputs)
        status = lstm ? ncd_nn_run_lstm_s8(nn, &layer, in, state, (int16_t *)c->blobs[CELL])
                      : ncd_nn_run_gru_s8(nn, &layer, in, state);
    if (status == NCD_OK) {
        memcpy(out, state, c->sizes[IN2]);
        if (lstm)
            memcpy(out + c->sizes[IN2], c->blobs[CELL], c->sizes[CELL]);
    }
    return status;
}

#endif

#ifdef CASE_F32

static ncd_nn_affine affine_of(const contents *c)
{
    const float *const f = (const float *)c->blobs[FLOATS];
    ncd_nn_affine a;
    a.bias = (const float *)c->blobs[BIAS];
    a.scale = (const float *)c->blobs[MULTIPLIER];
    a.min = f[0];
    a.max = f[1];
    return a;
}

static ncd_status run_cell_f32(const ncd_nn *nn, const contents *c, uint8_t *out, int lstm)
{
    const uint32_t steps = (uint32_t)c->fields[11];
    const float *in = (const float *)c->blobs[IN];
    float *const state = (float *)c->blobs[IN2];
    ncd_nn_cell_f32 layer;
    ncd_status status = NCD_OK;
    uint32_t i;
    layer.inputs = (uint32_t)c->fields[8];
    layer.hidden = (uint32_t)c->fields[9];
    layer.input = weights_of(c, 0);
    layer.recurrent = weights_of(c, 1);
    layer.input_bias = (const float *)c->blobs[BIAS];
    layer.recurrent_bias = (const float *)c->blobs[BIAS2];
    for (i = 0; i < steps && status == NCD_OK; ++i, in += layer.inputs)
        status = lstm ? ncd_nn_run_lstm_f32(nn, &layer, in, state, (float *)c->blobs[CELL])
                      : ncd_nn_run_gru_f32(nn, &layer, in, state);
    if (status == NCD_OK) {
        memcpy(out, state, c->sizes[IN2]);
        if (lstm)
            memcpy(out + c->sizes[IN2], c->blobs[CELL], c->sizes[CELL]);
    }
    return status;
}

/* In the order of nn_cases.py. */
static ncd_nn_function_f32 *const functions[] = {
    ncd_nn_abs_f32, ncd_nn_affine_f32, ncd_nn_elu_f32, ncd_nn_gelu_f32, ncd_nn_gelu_tanh_f32, ncd_nn_hard_sigmoid_f32,
    ncd_nn_hard_swish_f32, ncd_nn_leaky_relu_f32, ncd_nn_log_sigmoid_f32, ncd_nn_mish_f32, ncd_nn_sigmoid_f32,
    ncd_nn_silu_f32, ncd_nn_softplus_f32, ncd_nn_tanh_f32,
};

static ncd_status run_f32(const ncd_nn *nn, const contents *c, uint32_t kind, uint8_t *bytes)
{
    const float *const in = (const float *)c->blobs[IN];
    const float *const f = (const float *)c->blobs[FLOATS];
    float *const out = (float *)(void *)bytes;
    const ncd_nn_window window = window_of(c);
    ncd_nn_conv_f32 conv;
    ncd_nn_linear_f32 linear;
    ncd_nn_concat_s8 concat;
    ncd_nn_flatten flatten;
    switch (kind) {
    case CONV_F32:
        conv.window = window;
        conv.weights = weights_of(c, 0);
        conv.affine = affine_of(c);
        return ncd_nn_run_conv_f32(nn, &conv, in, out);
    case LINEAR_F32:
        linear.batch = (uint32_t)c->fields[8];
        linear.weights = weights_of(c, 0);
        linear.affine = affine_of(c);
        return ncd_nn_run_linear_f32(nn, &linear, in, out);
    case ADD_F32:
        return ncd_nn_run_add_f32((uint32_t)c->fields[8], f[0], f[1], in, (const float *)c->blobs[IN2], out);
    case MAX_POOL_F32:
        return ncd_nn_run_max_pool_f32(&window, in, out);
    case AVERAGE_POOL_F32:
        return ncd_nn_run_average_pool_f32(&window, (uint8_t)c->fields[23], in, out);
    case CLAMP_F32:
        return ncd_nn_run_clamp_f32((uint32_t)c->fields[8], f[0], f[1], in, out);
    case CONCAT_F32:
        concat = concat_of(c);
        return ncd_nn_run_concat_f32(&concat, in, out);
    case FLATTEN_F32:
        flatten = flatten_of(c);
        return ncd_nn_run_flatten_f32(&flatten, in, out);
    case SOFTMAX_F32:
        return ncd_nn_run_softmax_f32((uint32_t)c->fields[8], (uint32_t)c->fields[9], in, out);
    case LOG_SOFTMAX_F32:
        return ncd_nn_run_log_softmax_f32((uint32_t)c->fields[8], (uint32_t)c->fields[9], in, out);
    case MUL_F32:
        return ncd_nn_run_mul_f32((uint32_t)c->fields[8], (uint32_t)c->fields[9], (uint32_t)c->fields[10], f[0], f[1], in,
                                  (const float *)c->blobs[IN2], out);
    case FUNCTION_F32:
        return ncd_nn_run_function_f32((uint32_t)c->fields[8], functions[c->fields[9]], f, in, out);
    default:
        return run_cell_f32(nn, c, bytes, kind == LSTM_F32);
    }
}

#endif

ncd_status case_run(const uint8_t *data, uint8_t **out_bytes, size_t *out_size)
{
    static contents c;
    const uint32_t kind = case_word(data);
    ncd_nn nn;
    ncd_nn_concat_s8 concat;
    ncd_nn_flatten flatten;
    uint8_t *bytes;
    int8_t *out;
    ncd_status status = read_case(data, &c);
    if (status != NCD_OK)
        return status;
    memset(&nn, 0, sizeof nn);
    nn.scratch_size = (size_t)c.fields[0];
    nn.scratch = take(nn.scratch_size);
    nn.tables_size = (size_t)c.fields[1];
    nn.tables = take(nn.tables_size);
    *out_size = (size_t)c.fields[2];
    *out_bytes = bytes = (uint8_t *)take(*out_size);
    if (!nn.scratch || !nn.tables || !bytes)
        return NCD_ERR_CAPACITY;
    memset(bytes, 0, *out_size);
    out = (int8_t *)bytes;
    if (c.sizes[STREAM] > 0)
        status = ncd_model_open(&nn.model, c.blobs[STREAM], c.sizes[STREAM]);
    if (status != NCD_OK)
        return status;
    switch (kind) {
    case CONV:
    case DEPTHWISE:
        return run_conv(&nn, &c, out, kind == DEPTHWISE);
    case LINEAR:
        return run_linear(&nn, &c, out);
    case ADD:
        return run_add(&c, out);
    case MAX_POOL:
    case AVERAGE_POOL:
        return run_pool(&c, out, kind == AVERAGE_POOL);
    case RESCALE:
        return run_rescale(&c, out);
    case CONCAT:
        concat = concat_of(&c);
        return ncd_nn_run_concat_s8(&concat, (const int8_t *)c.blobs[IN], out);
    case FLATTEN:
        flatten = flatten_of(&c);
        return ncd_nn_run_flatten_s8(&flatten, (const int8_t *)c.blobs[IN], out);
    case SOFTMAX:
        return run_softmax(&c, out);
    case MUL:
        return run_mul(&c, out);
    case LOG_SOFTMAX:
        return run_log_softmax(&c, out);
    case LOOKUP:
        return run_lookup(&c, out);
#ifdef CASE_CELLS
    case LSTM:
    case GRU:
        return run_cell(&nn, &c, bytes, kind == LSTM);
#endif
    default:
#ifdef CASE_F32
        if (kind >= CONV_F32)
            return run_f32(&nn, &c, kind, bytes);
#endif
        return NCD_ERR_UNSUPPORTED;
    }
}
