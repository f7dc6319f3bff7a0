/* Sigmoid and tanh of numbers with 12 fractional bits, to 15 fractional bits. */
#ifndef NCD_NN_ACTIVATION_Q15_H
#define NCD_NN_ACTIVATION_Q15_H

#include "common.h"

/* x: an int16. */
int32_t ncd_nn_sigmoid_q15(int32_t x);
int32_t ncd_nn_tanh_q15(int32_t x);

#endif
