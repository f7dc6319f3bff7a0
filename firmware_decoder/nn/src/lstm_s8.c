/* One step of an int8 LSTM; cell_s8.c says how it rounds. */
#include "activation_q15.h"
#include "cell_s8.h"

/* The cell state with 12 fractional bits. */
static int32_t to_12_bits(int32_t cell, uint32_t fraction)
{
    return fraction >= 12 ? ncd_nn_round_shift(cell, fraction - 12u) : ncd_nn_saturate_16(cell * (1 << (12u - fraction)));
}

ncd_status ncd_nn_run_lstm_s8(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, const int8_t *in, int8_t *state, int16_t *cell)
{
    const uint32_t hidden = layer->hidden, fraction = layer->cell_fraction;
    uint32_t k;
    int16_t *gates;
    const ncd_status status = ncd_nn_cell_gates(nn, layer, 4, 0, in, state, &gates);
    if (status != NCD_OK)
        return status;
    for (k = 0; k < hidden; ++k) {
        const int32_t i = ncd_nn_sigmoid_q15(gates[k]), f = ncd_nn_sigmoid_q15(gates[hidden + k]);
        const int32_t g = ncd_nn_tanh_q15(gates[2 * hidden + k]), o = ncd_nn_sigmoid_q15(gates[3 * hidden + k]);
        const int32_t kept = ncd_nn_round_shift(f * cell[k], 15), added = ncd_nn_round_shift(i * g, 30u - fraction);
        cell[k] = ncd_nn_saturate_16(kept + added);
        state[k] = (int8_t)ncd_nn_saturate(ncd_nn_round_shift(o * ncd_nn_tanh_q15(to_12_bits(cell[k], fraction)), 23),
                                           -128, 127);
    }
    return NCD_OK;
}
