/* One step of an LSTM or GRU of floats, PyTorch's equations. */
#include "multiply_f32.h"

#if NCD_ENABLE_FLOAT

#include <math.h>

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Where the sums of one of the two matrices go: rows below `shared` add to what is there, the others are put `behind`
 * places further on. */
typedef struct gates {
    float *to;
    const float *bias;
    uint32_t shared, behind;
    int adds;
} gates;

static void emit(void *to, uint32_t vector, uint32_t row, uint32_t count, const float *sums)
{
    const gates *const g = (const gates *)to;
    (void)vector;
    for (; count > 0; --count, ++row) {
        const float sum = *sums++ + (g->bias ? g->bias[row] : 0.0f);
        if (g->adds && row < g->shared)
            g->to[row] += sum;
        else
            g->to[row + (row < g->shared ? 0 : g->behind)] = sum;
    }
}

/* The gates before their functions: `count` of them; the last `apart` come for input and hidden state one by one. */
static ncd_status run_gates(const ncd_nn *nn, const ncd_nn_cell_f32 *layer, uint32_t count, uint32_t apart, const float *in,
                            const float *state, float **out)
{
    const uint32_t hidden = layer->hidden, rows = count * hidden;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    ncd_status status;
    gates g;
    if (hidden == 0 || layer->inputs == 0 || layer->input.rows != rows || layer->recurrent.rows != rows ||
        layer->input.cols != layer->inputs || layer->recurrent.cols != hidden)
        return NCD_ERR_ARG;
    g.to = (float *)ncd_nn_take(&memory, sizeof(float) * (size_t)(count + apart) * hidden);
    if (!g.to)
        return NCD_ERR_WORKSPACE;
    g.shared = rows - apart * hidden;
    g.behind = 0;
    g.adds = 0;
    g.bias = layer->input_bias;
    status = ncd_nn_multiply_f32(nn, &layer->input, memory, 1, in, emit, &g);
    g.behind = apart * hidden;
    g.adds = 1;
    g.bias = layer->recurrent_bias;
    if (status == NCD_OK)
        status = ncd_nn_multiply_f32(nn, &layer->recurrent, memory, 1, state, emit, &g);
    *out = g.to;
    return status;
}

ncd_status ncd_nn_run_lstm_f32(const ncd_nn *nn, const ncd_nn_cell_f32 *layer, const float *in, float *state, float *cell)
{
    const uint32_t hidden = layer->hidden;
    uint32_t k;
    float *g;
    const ncd_status status = run_gates(nn, layer, 4, 0, in, state, &g);
    if (status != NCD_OK)
        return status;
    for (k = 0; k < hidden; ++k) {
        const float i = sigmoid(g[k]), f = sigmoid(g[hidden + k]);
        const float c = tanhf(g[2 * hidden + k]), o = sigmoid(g[3 * hidden + k]);
        cell[k] = f * cell[k] + i * c;
        state[k] = o * tanhf(cell[k]);
    }
    return NCD_OK;
}

ncd_status ncd_nn_run_gru_f32(const ncd_nn *nn, const ncd_nn_cell_f32 *layer, const float *in, float *state)
{
    const uint32_t hidden = layer->hidden;
    uint32_t k;
    float *g;
    const ncd_status status = run_gates(nn, layer, 3, 1, in, state, &g);
    if (status != NCD_OK)
        return status;
    for (k = 0; k < hidden; ++k) {
        const float r = sigmoid(g[k]), z = sigmoid(g[hidden + k]);
        const float n = tanhf(g[2 * hidden + k] + r * g[3 * hidden + k]);
        state[k] = (1.0f - z) * n + z * state[k];
    }
    return NCD_OK;
}

#endif
