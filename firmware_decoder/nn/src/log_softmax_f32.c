/* Logarithm of the softmax of floats. */
#include "common.h"

#if NCD_ENABLE_FLOAT

#include <math.h>

ncd_status ncd_nn_run_log_softmax_f32(uint32_t count, uint32_t size, const float *in, float *out)
{
    uint32_t i;
    if (size == 0)
        return NCD_ERR_ARG;
    for (; count > 0; --count, in += size, out += size) {
        float max = in[0], sum = 0.0f;
        for (i = 1; i < size; ++i)
            if (in[i] > max)
                max = in[i];
        for (i = 0; i < size; ++i)
            sum += expf(in[i] - max);
        sum = logf(sum);
        for (i = 0; i < size; ++i)
            out[i] = in[i] - max - sum;
    }
    return NCD_OK;
}

#endif
