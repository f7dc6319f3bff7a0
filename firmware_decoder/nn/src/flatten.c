/* From channels last to channels first. */
#include "common.h"

ncd_status ncd_nn_run_flatten_s8(const ncd_nn_flatten *layer, const int8_t *in, int8_t *out)
{
    uint32_t channel, position;
    for (channel = 0; channel < layer->channels; ++channel)
        for (position = 0; position < layer->positions; ++position)
            *out++ = in[(size_t)position * layer->channels + channel];
    return NCD_OK;
}

#if NCD_ENABLE_FLOAT
ncd_status ncd_nn_run_flatten_f32(const ncd_nn_flatten *layer, const float *in, float *out)
{
    uint32_t channel, position;
    for (channel = 0; channel < layer->channels; ++channel)
        for (position = 0; position < layer->positions; ++position)
            *out++ = in[(size_t)position * layer->channels + channel];
    return NCD_OK;
}
#endif
