/* Dot products of int8: plain C, the DSP extension, or MVE, bit-identical. Vectors need no alignment.
 *
 * NCD_NN_KERNELS chooses: 0 plain C, 1 DSP extension (SXTB16, SMLAD), 2 MVE. Unset: the best that the compiler's target
 * has. */
#ifndef NCD_NN_DOT_H
#define NCD_NN_DOT_H

#include "common.h"

#ifndef NCD_NN_KERNELS
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define NCD_NN_KERNELS 2
#elif defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__ARM_FEATURE_UNALIGNED)
#define NCD_NN_KERNELS 1
#else
#define NCD_NN_KERNELS 0
#endif
#endif

/* Parts of two vectors that face each other: `count` runs of `length` values, a_step and b_step from start to start. */
typedef struct ncd_nn_runs {
    uint32_t count, length;
    size_t a_step, b_step;
} ncd_nn_runs;

/* sums[k] = the dot product of a and the vector at b + k * b_next, for k = 0 .. 4 * fours - 1. */
void ncd_nn_dot_4(const int8_t *a, const int8_t *b, size_t b_next, const ncd_nn_runs *runs, uint32_t fours, int32_t *sums);

/* The dot product of a and b. */
int32_t ncd_nn_dot_1(const int8_t *a, const int8_t *b, const ncd_nn_runs *runs);

/* The sum of n values. */
int32_t ncd_nn_sum(const int8_t *a, uint32_t n);

/* For four channels at a time, each with weights of its own: weights of four rows of `taps`, packed to 4 * taps int16 in
 * an order that the kernel wants; aligned to 4. */
void ncd_nn_pack_4(const int8_t *rows, uint32_t taps, int16_t *packed);

/* Taps first .. last - 1 of a packed weight's rows; step: from a tap's inputs to those of the next. sums[k] = what channel k
 * gets. */
typedef struct ncd_nn_taps {
    uint32_t rows, cols;      /* taps inside */
    size_t w_row;             /* int16 from one row of taps to the next */
    size_t x_row, x_col;      /* inputs from one row, or one tap, to the next */
} ncd_nn_taps;
void ncd_nn_taps_4(const int16_t *packed, const int8_t *x, const ncd_nn_taps *taps, int32_t sums[4]);

#endif
