/* Elementwise product of floats. */
#include "common.h"

#if NCD_ENABLE_FLOAT

ncd_status ncd_nn_run_mul_f32(uint32_t outer, uint32_t size, uint32_t inner, float min, float max, const float *a, const float *b,
                              float *out)
{
    uint32_t i, j;
    for (; outer > 0; --outer)
        for (i = 0; i < size; ++i) {
            const float factor = b[i];
            for (j = 0; j < inner; ++j)
                *out++ = ncd_nn_clamp_f32(*a++ * factor, min, max);
        }
    return NCD_OK;
}

#endif
