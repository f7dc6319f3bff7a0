/* Models of codec 5 (docs/format.md section 14.1). */
#include "autoencoder.h"

#if NCD_ENABLE_AUTOENCODER

static int32_t s16(const uint8_t *p)
{
    const int32_t v = (int32_t)ncd_ae_u16(p);
    return v < 32768 ? v : v - 65536;
}

void ncd_ae_class_of(const uint8_t *model, uint32_t index, ncd_ae_class *c)
{
    const uint32_t classes = model[1] + 1u;
    const uint8_t *p = model + 2u + index * NCD_AE_WEIGHTS;
    uint32_t i;
    c->model = model;
    c->offsets = model + 2u + classes * NCD_AE_WEIGHTS + 2u * NCD_AE_TABLES * index;
    for (i = 0; i < NCD_AE_FEATURES; ++i, p += 2)
        c->weights[i] = s16(p);
    c->bias = s16(p) + s16(p + 2) * 65536 + (s16(p) < 0 ? 65536 : 0);
}

ncd_status ncd_ae_model_read(const uint8_t *model, size_t size, uint32_t index, ncd_ae_class *c, size_t *used)
{
    uint32_t classes, tables, i, k;
    size_t at;
    if (size < 2)
        return NCD_ERR_CORRUPT;
    if (model[0] != 1 || model[1] > 15)
        return NCD_ERR_UNSUPPORTED;
    classes = model[1] + 1u;
    tables = classes * NCD_AE_TABLES;
    at = 2u + classes * NCD_AE_WEIGHTS + 2u * tables;
    if (size < at)
        return NCD_ERR_CORRUPT;
    for (i = 0; i < classes; ++i) { /* sums of products of a weight and a logarithm must stay below 2^31 */
        ncd_ae_class_of(model, i, c);
        for (k = 0; k < NCD_AE_FEATURES; ++k)
            if (c->weights[k] > 8191 || c->weights[k] < -8191)
                return NCD_ERR_CORRUPT;
        if (c->bias > 0xFFFFFF || c->bias < -0xFFFFFF)
            return NCD_ERR_CORRUPT;
    }
    for (i = 0; i < tables; ++i) {
        const uint8_t *const table = model + at;
        uint32_t count, last = 0;
        if (ncd_ae_u16(model + 2u + classes * NCD_AE_WEIGHTS + 2u * i) != at || size == at)
            return NCD_ERR_CORRUPT;
        count = table[0];
        if (count - 2u > NCD_AE_TOKENS - 2u || size - at < 1u + 2u * count)
            return NCD_ERR_CORRUPT;
        for (k = 0; k < count; ++k) {
            const uint32_t sum = ncd_ae_u16(table + 1 + 2u * k);
            if (sum <= last)
                return NCD_ERR_CORRUPT;
            last = sum;
        }
        if (last != (uint32_t)1 << NCD_AE_SLOTS_LOG2)
            return NCD_ERR_CORRUPT;
        at += 1u + 2u * count;
    }
    if (index >= classes)
        return NCD_ERR_CORRUPT;
    ncd_ae_class_of(model, index, c);
    *used = at;
    return NCD_OK;
}

#endif
