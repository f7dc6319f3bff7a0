/* Vectors times a matrix of weights, for fully connected layers and cells. */
#ifndef NCD_NN_MULTIPLY_H
#define NCD_NN_MULTIPLY_H

#include "common.h"

/* Takes the sums of rows `row` .. row + count - 1 of a vector. */
typedef void ncd_nn_emit(void *to, uint32_t vector, uint32_t row, uint32_t count, const int32_t *sums);

/* For each of `batch` vectors in[vector][cols] and all rows: the sum of weight * (value - zero), modulo 2^32, a few rows at
 * a time. Memory: that of NCD_NN_LINEAR_SCRATCH. */
ncd_status ncd_nn_multiply(const ncd_nn *nn, const ncd_nn_weights *weights, ncd_nn_memory memory, int32_t zero,
                           uint32_t batch, const int8_t *in, ncd_nn_emit *emit, void *to);

#endif
