/* One step of an int8 GRU; cell_s8.c says how it rounds. */
#include "activation_q15.h"
#include "cell_s8.h"

ncd_status ncd_nn_run_gru_s8(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, const int8_t *in, int8_t *state)
{
    const uint32_t hidden = layer->hidden;
    uint32_t k;
    int16_t *gates;
    const ncd_status status = ncd_nn_cell_gates(nn, layer, 3, 1, in, state, &gates);
    if (status != NCD_OK)
        return status;
    for (k = 0; k < hidden; ++k) {
        const int32_t r = ncd_nn_sigmoid_q15(gates[k]), z = ncd_nn_sigmoid_q15(gates[hidden + k]);
        const int32_t from_state = ncd_nn_round_shift(r * gates[3 * hidden + k], 15);
        const int32_t n = ncd_nn_tanh_q15(ncd_nn_saturate_16(gates[2 * hidden + k] + from_state));
        const int32_t mix = (32768 - z) * n + z * (256 * state[k]);
        state[k] = (int8_t)ncd_nn_saturate(ncd_nn_round_shift(mix, 23), -128, 127);
    }
    return NCD_OK;
}
