/* A depthwise kernel of 3x3 places and stride 1, one output channel at a time, for the DSP extension. Gives what
 * ncd_nn_conv_row gives. */
#ifndef NCD_NN_DEPTHWISE_3X3_H
#define NCD_NN_DEPTHWISE_3X3_H

#include "conv_row.h"
#include "dot.h"

#if NCD_NN_KERNELS == 1
/* Whether the layer is one. */
static inline int ncd_nn_is_3x3(const ncd_nn_window *w)
{
    return w->kernel_h == 3 && w->kernel_w == 3 && w->stride_h == 1 && w->stride_w == 1 && w->dilation_h == 1 &&
           w->dilation_w == 1;
}

void ncd_nn_3x3_row(const ncd_nn_conv *c, uint32_t row, const int8_t *weights);
#endif

#endif
