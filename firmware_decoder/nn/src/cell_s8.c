/* One step of an int8 LSTM or GRU: the gates. Roundings:
 *
 * A part of a gate, that of the input or that of the hidden state, is saturate16(requantize(sum + bias, multiplier, shift)),
 * requantized as the outputs of layers are, to 12 - headroom fractional bits. A gate is saturate16(saturate16(sum of its
 * parts) << headroom), with 12. Sigmoid and tanh: activation_q15.c. A shift to the right by n, >> below, rounds:
 * floor(x / 2^n + 1/2).
 *
 * LSTM: cell = saturate16((f * cell >> 15) + (i * g >> 30 - cell_fraction)); t = tanh(cell, brought to 12 fractional bits,
 * saturated); state = saturate8(o * t >> 23).
 * GRU: n = tanh(saturate16(saturate16(input part + (r * hidden part >> 15)) << headroom));
 * state = saturate8(((32768 - z) * n + z * 256 * state) >> 23). */
#include "cell_s8.h"

#include "activation_q15.h"
#include "multiply.h"
#include "requantize.h"

typedef struct gates {
    int16_t *to;
    const ncd_nn_cell_gates_s8 *of;
    uint32_t shared, behind; /* rows that add to what is there; how much further on the others go */
    int adds;
} gates;

static void emit(void *to, uint32_t vector, uint32_t row, uint32_t count, const int32_t *sums)
{
    const gates *const g = (const gates *)to;
    (void)vector;
    for (; count > 0; --count, ++row) {
        const uint32_t i = g->of->per_row ? row : 0;
        const ncd_nn_scale scale = ncd_nn_scale_of(g->of->multiplier[i], g->of->shift[i]);
        const int32_t sum = ncd_nn_wrap_add(*sums++, g->of->bias ? g->of->bias[row] : 0);
        const int16_t part = ncd_nn_saturate_16(ncd_nn_rescale(sum, &scale));
        if (g->adds && row < g->shared)
            g->to[row] = ncd_nn_saturate_16(g->to[row] + part);
        else
            g->to[row + (row < g->shared ? 0 : g->behind)] = part;
    }
}

/* Takes gates to 12 fractional bits. The last ones have to be summed for it, for which their r is needed, of the first ones:
 * the sum is then where the part of the input was, and that of the hidden state 0. */
static void to_12_bits(int16_t *at, uint32_t hidden, uint32_t count, uint32_t apart, uint32_t headroom)
{
    const uint32_t shared = (count - apart) * hidden;
    uint32_t k;
    for (k = 0; k < count * hidden; ++k) {
        int32_t sum = at[k];
        if (k >= shared) {
            const int32_t r = ncd_nn_sigmoid_q15(at[k - shared]);
            sum = ncd_nn_saturate_16(sum + ncd_nn_round_shift(r * at[k + hidden], 15));
            at[k + hidden] = 0;
        }
        at[k] = ncd_nn_saturate_16(sum * ((int32_t)1 << headroom));
    }
}

ncd_status ncd_nn_cell_gates(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, uint32_t count, uint32_t apart, const int8_t *in,
                             const int8_t *state, int16_t **out)
{
    const uint32_t hidden = layer->hidden, rows = count * hidden;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    ncd_status status;
    gates g;
    if (hidden == 0 || layer->inputs == 0 || layer->cell_fraction > 15 || layer->headroom > 12 ||
        layer->input.weights.rows != rows || layer->recurrent.weights.rows != rows ||
        layer->input.weights.cols != layer->inputs || layer->recurrent.weights.cols != hidden)
        return NCD_ERR_ARG;
    *out = g.to = (int16_t *)ncd_nn_take(&memory, sizeof(int16_t) * (size_t)(count + apart) * hidden);
    if (!g.to)
        return NCD_ERR_WORKSPACE;
    g.shared = rows - apart * hidden;
    g.behind = 0;
    g.adds = 0;
    g.of = &layer->input;
    status = ncd_nn_multiply(nn, &layer->input.weights, memory, 0, 1, in, emit, &g);
    if (status != NCD_OK)
        return status;
    g.behind = apart * hidden;
    g.adds = 1;
    g.of = &layer->recurrent;
    status = ncd_nn_multiply(nn, &layer->recurrent.weights, memory, 0, 1, state, emit, &g);
    if (layer->headroom && status == NCD_OK)
        to_12_bits(*out, hidden, count, apart, layer->headroom);
    return status;
}
