/* Convolution of one channel, where kernel rows are short runs in the input: what four positions read is copied side by side, once for all
 * rows of a tile, and borders are filled with the zero point. Gives what ncd_nn_conv_row gives, sooner. */
#ifndef NCD_NN_CONV_PATCH_H
#define NCD_NN_CONV_PATCH_H

#include "conv_row.h"

/* Bytes of memory for tiles of up to `rows` rows; 0: the layer does not gain. */
size_t ncd_nn_patch_size(const ncd_nn_conv_s8 *layer, uint32_t rows);

/* Output channels row .. row + count - 1. memory: of that size, aligned to 4. */
void ncd_nn_patch_rows(const ncd_nn_conv *c, uint32_t row, uint32_t count, const int8_t *weights, void *memory);

#endif
