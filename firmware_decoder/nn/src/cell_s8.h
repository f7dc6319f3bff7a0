/* What int8 LSTM and GRU share. */
#ifndef NCD_NN_CELL_S8_H
#define NCD_NN_CELL_S8_H

#include "common.h"

static inline int32_t ncd_nn_saturate(int32_t x, int32_t min, int32_t max)
{
    return x < min ? min : x > max ? max : x;
}

static inline int16_t ncd_nn_saturate_16(int32_t x)
{
    return (int16_t)ncd_nn_saturate(x, -32768, 32767);
}

/* x / 2^bits, halves up; bits 0 to 30. */
static inline int32_t ncd_nn_round_shift(int32_t x, uint32_t bits)
{
    return bits == 0 ? x : ((x >> (bits - 1u)) + 1) >> 1;
}

/* The gates before their functions, 12 fractional bits, in scratch: `count` of them. Of the first ones the parts of the
 * input and of the hidden state are added; of the last `apart` (none, or one: that of r is the first then) the part of the
 * input comes first and that of the hidden state behind. */
ncd_status ncd_nn_cell_gates(const ncd_nn *nn, const ncd_nn_cell_s8 *layer, uint32_t count, uint32_t apart, const int8_t *in,
                             const int8_t *state, int16_t **gates);

#endif
