/* Sum, clamp and concat of floats. */
#include "common.h"

#if NCD_ENABLE_FLOAT

ncd_status ncd_nn_run_add_f32(uint32_t size, float min, float max, const float *a, const float *b, float *out)
{
    uint32_t i;
    for (i = 0; i < size; ++i)
        out[i] = ncd_nn_clamp_f32(a[i] + b[i], min, max);
    return NCD_OK;
}

ncd_status ncd_nn_run_clamp_f32(uint32_t size, float min, float max, const float *in, float *out)
{
    uint32_t i;
    for (i = 0; i < size; ++i)
        out[i] = ncd_nn_clamp_f32(in[i], min, max);
    return NCD_OK;
}

ncd_status ncd_nn_run_concat_f32(const ncd_nn_concat_s8 *layer, const float *in, float *out)
{
    uint32_t position, i;
    for (position = 0; position < layer->positions; ++position) {
        float *const to = out + layer->offset + (size_t)position * layer->stride;
        for (i = 0; i < layer->size; ++i)
            to[i] = *in++;
    }
    return NCD_OK;
}

#endif
