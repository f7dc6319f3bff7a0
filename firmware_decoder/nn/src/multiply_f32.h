/* Vectors of floats times a matrix of weights, for fully connected layers and cells. */
#ifndef NCD_NN_MULTIPLY_F32_H
#define NCD_NN_MULTIPLY_F32_H

#include "common.h"

/* Takes the sums of rows `row` .. row + count - 1 of a vector. */
typedef void ncd_nn_emit_f32(void *to, uint32_t vector, uint32_t row, uint32_t count, const float *sums);

/* For each of `batch` vectors in[vector][cols] and all rows: the sum of weight * value, one or all rows at a time. Memory:
 * that of NCD_NN_LINEAR_SCRATCH_F32. */
ncd_status ncd_nn_multiply_f32(const ncd_nn *nn, const ncd_nn_weights *weights, ncd_nn_memory memory, uint32_t batch,
                               const float *in, ncd_nn_emit_f32 *emit, void *to);

#endif
