/* Larger maps, by values that are there several times. */
#include "common.h"

ncd_status ncd_nn_run_upsample(const ncd_nn_upsample *layer, const void *in, void *out)
{
    const size_t size = layer->size;
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = (uint8_t *)out;
    uint32_t y, x, copy;
    size_t i;
    for (y = 0; y < layer->height; ++y) {
        const uint8_t *const row = from;
        for (copy = 0; copy < layer->factor_h; ++copy) {
            from = row;
            for (x = 0; x < layer->width; ++x, from += size) {
                uint32_t times;
                for (times = 0; times < layer->factor_w; ++times)
                    for (i = 0; i < size; ++i)
                        *to++ = from[i];
            }
        }
    }
    return NCD_OK;
}
