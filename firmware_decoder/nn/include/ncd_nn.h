/* ncd_nn: runs networks whose weights stay compressed. Kernels ask for a tile of weights, decode it into a small buffer,
 * use it for all output positions, and go on to the next.
 *
 * int8: activations are int8 with a scale and a zero point a tensor, weights int8 levels with a scale a row or a tensor,
 * sums int32, requantized with a multiplier and a shift as TensorFlow Lite's quantization specification says (rounding of
 * its reference kernels). f32: the same layers with float activations and decoded weights times their scales.
 *
 * Layout of activations: [height][width][channels], a batch of one; vectors have height = width = 1. Layout of weights in the
 * stream: that of PyTorch, [out][in / groups][kernel height][kernel width]; kernels put decoded rows in the order they read.
 *
 * Code that exporters generate fills the structs below as constants and calls one kernel a layer, so that the linker takes
 * only the kernels that a network has. Every call returns a status; after an error the output's content is undefined.
 */
#ifndef NCD_NN_H
#define NCD_NN_H

#include "ncd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a run works with: the opened stream, or prepared tensors, and memory that all layers use one after the other. */
typedef struct ncd_nn {
    ncd_model model;      /* not looked at where there are prepared tensors */
    void *tables;         /* decoder's tables of one tensor, aligned to 4 bytes; may be null where no tensor has any */
    size_t tables_size;
    void *scratch;        /* decoded rows, sums and patches of one layer, aligned to 8 bytes */
    size_t scratch_size;
    const ncd_tensor *tensors; /* prepared ones, as `neuralcodec export-c --prepared` writes them; null: those of the model */
} ncd_nn;

/* Weights of a layer: a tensor of the stream, or, with plain not null, int8 (f32: float) weights in flash that need no
 * decoder, as [out][kernel height][kernel width][in / groups]. */
typedef struct ncd_nn_weights {
    uint32_t index;           /* of the tensor in the stream, or among the prepared ones */
    uint32_t rows, cols;      /* what the layer expects; another tensor is NCD_ERR_CORRUPT */
    const uint16_t *checks;   /* one a tile: ncd_nn_checksum of its levels; null: not checked. int8 only */
    const void *plain;
} ncd_nn_weights;

/* From a sum of products to an int8 output: clamp(requantize(sum + bias[row], multiplier, shift) + out_zero, min, max).
 * multiplier: Q31, 2^30 <= |m| < 2^31, or 0; shift: -31 .. 30, left where positive, as TFLite's
 * MultiplyByQuantizedMultiplier takes them; shifts to the left saturate. A row is turned over by a multiplier below 0. */
typedef struct ncd_nn_requant {
    const int32_t *bias;        /* a row each, at the scale of the sums; null: 0 */
    const int32_t *multiplier;  /* a row each, or one for all: see per_row */
    const int8_t *shift;
    uint8_t per_row;
    int8_t in_zero, out_zero;   /* zero points; in_zero costs time: where nothing is padded (fully connected layers, 1x1), fold
                                 * -in_zero * (sum of the row) into the bias, and let it be 0 here */
    int8_t min, max;            /* of the output: where ReLU and ReLU6 end, else -128 and 127 */
} ncd_nn_requant;

/* The same for f32: clamp(sum + bias[row], min, max). scale: weights are multiplied by it, a row each; null: by the scales
 * of the stream alone (batch norm that was folded after encoding comes in here). */
typedef struct ncd_nn_affine {
    const float *bias;
    const float *scale;
    float min, max;
} ncd_nn_affine;

/* Shape of a convolution. Rows and columns outside the input count as zero (int8: the zero point). What is below and right
 * follows from the output's size. */
typedef struct ncd_nn_window {
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint8_t kernel_h, kernel_w;
    uint8_t stride_h, stride_w;
    uint8_t dilation_h, dilation_w;   /* 1: none */
    uint8_t pad_top, pad_left;
    uint16_t groups;
} ncd_nn_window;

/* Convolution, any groups. Scratch: NCD_NN_CONV_SCRATCH. */
typedef struct ncd_nn_conv_s8 {
    ncd_nn_window window;
    ncd_nn_weights weights;   /* rows = out_c, cols = kernel_h * kernel_w * in_c / groups */
    ncd_nn_requant requant;
} ncd_nn_conv_s8;
ncd_status ncd_nn_run_conv_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);

/* Convolution with groups = in_c (out_c may be a multiple of it), over all channels of a tile at a time. Same struct. */
ncd_status ncd_nn_run_depthwise_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);

/* Fully connected layer on `batch` vectors: out[b][row] from in[b][cols]. Tensors coded down their columns will do. */
typedef struct ncd_nn_linear_s8 {
    uint32_t batch;
    ncd_nn_weights weights;
    ncd_nn_requant requant;
} ncd_nn_linear_s8;
ncd_status ncd_nn_run_linear_s8(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out);

/* Elementwise sum as TFLite's ADD for int8: both inputs go by left_shift (20) bits to a common scale; their multipliers take
 * them to no more than they are, so a_shift and b_shift are 0 or less. */
typedef struct ncd_nn_add_s8 {
    uint32_t size;
    int8_t a_zero, b_zero, out_zero, min, max;
    int32_t a_multiplier, b_multiplier, out_multiplier;
    int8_t a_shift, b_shift, out_shift;
} ncd_nn_add_s8;
ncd_status ncd_nn_run_add_s8(const ncd_nn_add_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out);

/* Elementwise product of a, as [outer][size][inner], and b, of `size` values, as TFLite's MUL for int8:
 * clamp(requantize((a - a_zero) * (b - b_zero), multiplier, shift) + out_zero). outer = inner = 1: both have one shape; inner =
 * 1: a factor for each channel of all positions, as of squeeze and excite. out may be a. */
typedef struct ncd_nn_mul_s8 {
    uint32_t outer, size, inner;
    int32_t multiplier;
    int8_t shift, a_zero, b_zero, out_zero, min, max;
} ncd_nn_mul_s8;
ncd_status ncd_nn_run_mul_s8(const ncd_nn_mul_s8 *layer, const int8_t *a, const int8_t *b, int8_t *out);

/* A function of each value, which its table holds: out = table[in + 128]. out may be in. */
typedef struct ncd_nn_table_s8 {
    uint32_t size;
    const int8_t *table;    /* 256 */
} ncd_nn_table_s8;
ncd_status ncd_nn_run_table_s8(const ncd_nn_table_s8 *layer, const int8_t *in, int8_t *out);

/* Pools. The window's groups and out_c are ignored (out_c = in_c). Max leaves the scale; what is outside does not count.
 * Average: the mean over the positions inside (count_outside = 0), or over the whole window, positions outside being the
 * zero point; requantized from the sum: clamp(requantize(sum - n * in_zero, multiplier[k], shift[k]) + out_zero), where
 * multiplier and shift include 1 / n and come for each n from `least` on: n is the number of positions that count, and
 * k = n - least (only those n that occur have to be there: where nothing is outside, one entry will do). A mean over space is an
 * average pool whose kernel is as large as the input: kernel_h and kernel_w are then up to 255. */
typedef struct ncd_nn_pool_s8 {
    ncd_nn_window window;
    const int32_t *multiplier;
    const int8_t *shift;
    uint16_t least;
    uint8_t count_outside;
    int8_t in_zero, out_zero, min, max;
} ncd_nn_pool_s8;
ncd_status ncd_nn_run_max_pool_s8(const ncd_nn_pool_s8 *layer, const int8_t *in, int8_t *out);
ncd_status ncd_nn_run_average_pool_s8(const ncd_nn_pool_s8 *layer, const int8_t *in, int8_t *out);

/* To another scale, with a clamp: a ReLU on its own, or an input of concat. In place if out == in. */
typedef struct ncd_nn_rescale_s8 {
    uint32_t size;
    int32_t multiplier;
    int8_t shift, in_zero, out_zero, min, max;
} ncd_nn_rescale_s8;
ncd_status ncd_nn_run_rescale_s8(const ncd_nn_rescale_s8 *layer, const int8_t *in, int8_t *out);

/* One input of a concat over channels: `positions` runs of `size` values, written `stride` apart from out + offset, each
 * rescaled. Called once an input. */
typedef struct ncd_nn_concat_s8 {
    uint32_t positions, size, stride, offset;
    int32_t multiplier;
    int8_t shift, in_zero, out_zero;
} ncd_nn_concat_s8;
ncd_status ncd_nn_run_concat_s8(const ncd_nn_concat_s8 *layer, const int8_t *in, int8_t *out);

/* [height * width][channels] to [channels][height * width], as PyTorch flattens. Not in place. */
typedef struct ncd_nn_flatten {
    uint32_t positions, channels;
} ncd_nn_flatten;
ncd_status ncd_nn_run_flatten_s8(const ncd_nn_flatten *layer, const int8_t *in, int8_t *out);
ncd_status ncd_nn_run_flatten_f32(const ncd_nn_flatten *layer, const float *in, float *out);

/* Each position factor_w times, each row factor_h times, of values of any kind: `size` is the bytes of a position. Not in place. */
typedef struct ncd_nn_upsample {
    uint32_t height, width, size, factor_h, factor_w;
} ncd_nn_upsample;
ncd_status ncd_nn_run_upsample(const ncd_nn_upsample *layer, const void *in, void *out);

/* Softmax over `size` values, `count` times. exp[d] is round(2^24 * exp(-d * input scale)), d = 0 .. 255. The output has scale
 * 1/256 and zero point -128: out = min(255, floor((exp[max - x] * 256 + sum / 2) / sum)) - 128, where sum is that of the
 * exp of a vector; size is below 2^8 * 2^8, so that 40 bits hold it: sums are 64-bit. */
typedef struct ncd_nn_softmax_s8 {
    uint32_t count, size;
    const uint32_t *exp;
} ncd_nn_softmax_s8;
ncd_status ncd_nn_run_softmax_s8(const ncd_nn_softmax_s8 *layer, const int8_t *in, int8_t *out);

/* Logarithm of the softmax, with the same exp: out = max(-128, out_zero - floor(((max - x) * step + log2 * log + 2^23) /
 * 2^24)). step: input scale / output scale * 2^24; log: ln(2) / output scale * 2^8; both below 2^32. log2: that of the sum of the
 * exp, less 24, with 16 fractional bits, as log_softmax_s8.c finds them; size is below 2^16. */
typedef struct ncd_nn_log_softmax_s8 {
    uint32_t count, size;
    const uint32_t *exp;
    uint32_t step, log;
    int8_t out_zero;
} ncd_nn_log_softmax_s8;
ncd_status ncd_nn_run_log_softmax_s8(const ncd_nn_log_softmax_s8 *layer, const int8_t *in, int8_t *out);

/* One step of a recurrent cell, PyTorch's equations and order of gates (LSTM: i f g o; GRU: r z n).
 *
 * Sums of the input and of the hidden part are requantized to int16 of 12 fractional bits each (saturated), with bias; then
 * added (saturated). Each of them then ends at -8 and 8. Where larger ones may cancel out, parts and sums have 12 - headroom
 * fractional bits, and sums are brought to 12 (saturated). Sigmoid and tanh come from tables of 512 intervals over [-8, 8)
 * with linear interpolation, 15 fractional bits. The LSTM's cell state is int16 with cell_fraction (0 .. 15) fractional bits.
 * Hidden states are int8 with scale 1/128 and zero point 0. cell_s8.c says every rounding, activation_q15.c has the tables. */
typedef struct ncd_nn_cell_gates_s8 {
    ncd_nn_weights weights;     /* rows = gates * hidden */
    const int32_t *bias;        /* with the zero point of the input folded in: minus in_zero times the sum of the row */
    const int32_t *multiplier;  /* to 12 - headroom fractional bits; a row each or one for all */
    const int8_t *shift;
    uint8_t per_row;
} ncd_nn_cell_gates_s8;
typedef struct ncd_nn_cell_s8 {
    uint32_t inputs, hidden;
    ncd_nn_cell_gates_s8 input, recurrent;
    uint8_t cell_fraction;      /* LSTM */
    uint8_t headroom;           /* 0 .. 12 */
} ncd_nn_cell_s8;
/* in: inputs; state: hidden, read and written; cell: hidden, read and written; both stay as they are after an error.
 * Scratch: NCD_NN_CELL_SCRATCH. */
ncd_status ncd_nn_run_lstm_s8(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, const int8_t *in, int8_t *state, int16_t *cell);
ncd_status ncd_nn_run_gru_s8(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, const int8_t *in, int8_t *state);

/* ---- f32 ---- */

typedef struct ncd_nn_conv_f32 {
    ncd_nn_window window;
    ncd_nn_weights weights;
    ncd_nn_affine affine;
} ncd_nn_conv_f32;
ncd_status ncd_nn_run_conv_f32(const ncd_nn *nn, const ncd_nn_conv_f32 *layer, const float *in, float *out);

typedef struct ncd_nn_linear_f32 {
    uint32_t batch;
    ncd_nn_weights weights;
    ncd_nn_affine affine;
} ncd_nn_linear_f32;
ncd_status ncd_nn_run_linear_f32(const ncd_nn *nn, const ncd_nn_linear_f32 *layer, const float *in, float *out);

/* a + b, clamped. */
ncd_status ncd_nn_run_add_f32(uint32_t size, float min, float max, const float *a, const float *b, float *out);
/* a * b, clamped; shapes as those of ncd_nn_mul_s8. */
ncd_status ncd_nn_run_mul_f32(uint32_t outer, uint32_t size, uint32_t inner, float min, float max, const float *a, const float *b,
                              float *out);
ncd_status ncd_nn_run_max_pool_f32(const ncd_nn_window *window, const float *in, float *out);
ncd_status ncd_nn_run_average_pool_f32(const ncd_nn_window *window, uint8_t count_outside, const float *in, float *out);
ncd_status ncd_nn_run_clamp_f32(uint32_t size, float min, float max, const float *in, float *out);
/* As ncd_nn_run_concat_s8; only positions, size, stride and offset count. */
ncd_status ncd_nn_run_concat_f32(const ncd_nn_concat_s8 *layer, const float *in, float *out);
ncd_status ncd_nn_run_softmax_f32(uint32_t count, uint32_t size, const float *in, float *out);
ncd_status ncd_nn_run_log_softmax_f32(uint32_t count, uint32_t size, const float *in, float *out);

/* A function of each value; out may be in. numbers: the function's constants, null where it has none. Those below are
 * PyTorch's; constants in brackets. */
typedef float ncd_nn_function_f32(float x, const float *numbers);
ncd_status ncd_nn_run_function_f32(uint32_t size, ncd_nn_function_f32 *function, const float *numbers, const float *in,
                                   float *out);
ncd_nn_function_f32 ncd_nn_abs_f32, ncd_nn_gelu_f32, ncd_nn_gelu_tanh_f32, ncd_nn_hard_sigmoid_f32, ncd_nn_hard_swish_f32,
    ncd_nn_log_sigmoid_f32, ncd_nn_mish_f32, ncd_nn_sigmoid_f32, ncd_nn_silu_f32, ncd_nn_tanh_f32;
ncd_nn_function_f32 ncd_nn_affine_f32;     /* x * [0] + [1] */
ncd_nn_function_f32 ncd_nn_elu_f32;        /* x > 0: x * [1]; else (e^(x * [2]) - 1) * [0] */
ncd_nn_function_f32 ncd_nn_leaky_relu_f32; /* x < 0: x * [0]; else x */
ncd_nn_function_f32 ncd_nn_softplus_f32;   /* x * [0] > [1]: x; else log(1 + e^(x * [0])) / [0] */

typedef struct ncd_nn_cell_f32 {
    uint32_t inputs, hidden;
    ncd_nn_weights input, recurrent;
    const float *input_bias, *recurrent_bias;   /* or null */
} ncd_nn_cell_f32;
ncd_status ncd_nn_run_lstm_f32(const ncd_nn *nn, const ncd_nn_cell_f32 *layer, const float *in, float *state, float *cell);
ncd_status ncd_nn_run_gru_f32(const ncd_nn *nn, const ncd_nn_cell_f32 *layer, const float *in, float *state);

/* ---- scratch ---- */

/* Bytes of scratch that a layer takes, from the t.tile_size of its tensor (whose t.rows and t.cols are the layer's, unless it is
 * coded down its columns); a network needs the most of its layers. For f32 use the macros that end so. Plain weights take less:
 * a convolution 4 bytes a tap, a depthwise one 8, a fully connected layer nothing, cells what hidden takes.
 *
 * Convolution: a tile, or a row where tiles are pieces of rows; both where a row has several channels and several taps
 * (kernel_h * kernel_w), because it is then put in order; and a sum for each tap.
 * NCD_NN_PATCH_SCRATCH more makes it faster where in_c is 1, as in first layers.
 * Depthwise: a tile or a row, and 8 bytes a tap.
 * Fully connected: a tile, and `sums` int32: none where tiles are whole rows, batch where they are pieces of rows, batch
 * * rows where the tensor is coded down its columns.
 * Cells: the larger of both tensors' tile_size and sums; and four int16 (f32: floats) for each of hidden. */
#define NCD_NN_ALIGN(bytes) (((size_t)(bytes) + 3u) & ~(size_t)3u)
#define NCD_NN_MAX(a, b) ((size_t)(a) > (size_t)(b) ? (size_t)(a) : (size_t)(b))
#define NCD_NN_ROWS_SCRATCH(tile_size, cols, taps, bytes)                               \
    ((taps) > 1 && (cols) > (taps)                                                      \
         ? NCD_NN_ALIGN((size_t)(tile_size) * (bytes)) + NCD_NN_ALIGN((size_t)(cols) * (bytes)) \
         : NCD_NN_ALIGN(NCD_NN_MAX(tile_size, cols) * (bytes)))
#define NCD_NN_CONV_SCRATCH(tile_size, cols, taps) \
    (NCD_NN_ROWS_SCRATCH(tile_size, cols, taps, 1) + ((taps) > 1 && (cols) > (taps) ? 4 * (size_t)(taps) : 0))
#define NCD_NN_PATCH_SCRATCH(tile_size, cols) (4 * ((size_t)(tile_size) / (cols)) + 4 * (size_t)(cols))
#define NCD_NN_DEPTHWISE_SCRATCH(tile_size, taps) (NCD_NN_ALIGN(NCD_NN_MAX(tile_size, taps)) + 8 * (size_t)(taps))
#define NCD_NN_LINEAR_SCRATCH(tile_size, sums) (NCD_NN_ALIGN(tile_size) + 4 * (size_t)(sums))
#define NCD_NN_CELL_SCRATCH(tile_size, sums, hidden) (NCD_NN_LINEAR_SCRATCH(tile_size, sums) + 8 * (size_t)(hidden))
#define NCD_NN_CONV_SCRATCH_F32(tile_size, cols, taps) NCD_NN_ROWS_SCRATCH(tile_size, cols, taps, 4)
#define NCD_NN_LINEAR_SCRATCH_F32(tile_size, sums) (4 * (size_t)(tile_size) + 4 * (size_t)(sums))
#define NCD_NN_CELL_SCRATCH_F32(tile_size, sums, hidden) \
    (NCD_NN_LINEAR_SCRATCH_F32(tile_size, sums) + 16 * (size_t)(hidden))

/* ---- checks ---- */

/* Checksum of a tile's levels as they are decoded: Fletcher's over little-endian words of 32 bits, the last filled with zeros:
 * a += word, b += a (both 0 at the start); r = a * 0x9E3779B1 ^ (b rotated left by 13); all mod 2^32; the result is
 * (r ^ r >> 15) * 0x85EBCA77 >> 16. */
uint16_t ncd_nn_checksum(const int8_t *levels, uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
