/* Layers of ncd_nn.h on CMSIS-NN's kernels: a tile of weights is decoded, CMSIS-NN multiplies with it, and the next follows.
 *
 * For trees that have CMSIS-NN, 6.0 or later, as Arm publishes it (forks that add arguments do not fit): put its Include
 * folder on the path and compile cmsis_nn.c with the rest; nothing else refers to it. Structs, outputs and errors are those
 * of ncd_nn_run_..., bit for bit where CMSIS-NN rounds twice as it does unless told otherwise; only the scratch differs.
 * Shifts to the left beyond 32 bits wrap around in CMSIS-NN, where these kernels saturate: outputs some 2^20 times finer than
 * what comes in are not for it.
 *
 *     linear      a tile at a time. Tensors coded down their columns are NCD_ERR_UNSUPPORTED: take ncd_nn_run_linear_s8
 *     conv        groups = 1; as many output channels at a time as the scratch holds, an output row at a time, whose channels
 *                 are then put where they belong. Where it holds all channels, one call does the layer. Others are
 *                 NCD_ERR_UNSUPPORTED
 *     depthwise   CMSIS-NN wants all channels of the input at once, so the scratch holds the whole, small, tensor
 */
#ifndef NCD_CMSIS_NN_H
#define NCD_CMSIS_NN_H

#include "ncd_nn.h"

#ifdef __cplusplus
extern "C" {
#endif

ncd_status ncd_cmsis_run_linear_s8(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out);
ncd_status ncd_cmsis_run_conv_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);
ncd_status ncd_cmsis_run_depthwise_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);

/* Bytes of scratch that a layer takes. tile_size: of its tensor; 0 for plain weights. channels: output channels at a time,
 * 1 at least; more take fewer calls. */
size_t ncd_cmsis_linear_scratch(const ncd_nn_linear_s8 *layer, uint32_t tile_size);
size_t ncd_cmsis_conv_scratch(const ncd_nn_conv_s8 *layer, uint32_t tile_size, uint32_t channels);
size_t ncd_cmsis_depthwise_scratch(const ncd_nn_conv_s8 *layer, uint32_t tile_size);

#ifdef __cplusplus
}
#endif
#endif
