/* Models of codec 5 (docs/format.md section 14.1). */
#include "autoencoder.h"

#if NCD_ENABLE_AUTOENCODER

static int32_t s16(const uint8_t *p)
{
    const int32_t v = (int32_t)ncd_ae_u16(p);
    return v < 32768 ? v : v - 65536;
}

enum { TUNED_HEAD = 6, TUNED_CLASS = 5 };

static uint32_t table_size(const uint8_t *table)
{
    return 1u + 2u * table[0];
}

/* A class with all that is its own. */
static void whole_class(const uint8_t *model, uint32_t index, ncd_ae_class *c)
{
    const uint32_t classes = model[1] + 1u;
    const uint8_t *p = model + 2u + index * NCD_AE_WEIGHTS;
    const uint8_t *const offsets = model + 2u + classes * NCD_AE_WEIGHTS + 2u * NCD_AE_TABLES * index;
    uint32_t i;
    for (i = 0; i < NCD_AE_TABLES; ++i)
        c->tables[i] = model + ncd_ae_u16(offsets + 2u * i);
    for (i = 0; i < NCD_AE_FEATURES; ++i, p += 2)
        c->weights[i] = s16(p);
    c->bias = s16(p + 2) * 65536 + (int32_t)ncd_ae_u16(p); /* in this order no sum is below -2^31 */
}

/* A class of a universal model, some of whose tables are replaced. */
static void tuned_class(const uint8_t *model, uint32_t index, ncd_ae_class *c)
{
    const uint8_t *p = model + TUNED_HEAD;
    uint32_t mask, t;
    size_t size;
    for (; index; --index)
        for (mask = ncd_ae_u32(p + 1), p += TUNED_CLASS; mask; mask &= mask - 1u)
            p += table_size(p);
    whole_class(ncd_ae_universal(ncd_ae_u32(model + 2), &size), p[0], c);
    mask = ncd_ae_u32(p + 1);
    p += TUNED_CLASS;
    for (t = 0; t < NCD_AE_TABLES; ++t)
        if (mask >> t & 1u) {
            c->tables[t] = p;
            p += table_size(p);
        }
}

void ncd_ae_class_of(const uint8_t *model, uint32_t index, ncd_ae_class *c)
{
    if (model[0] == NCD_AE_TUNED)
        tuned_class(model, index, c);
    else
        whole_class(model, index, c);
}

/* Whether there is a table at *at, which is moved to its end. */
static int skip_table(const uint8_t *model, size_t size, size_t *at)
{
    const uint8_t *const table = model + *at;
    uint32_t count, last = 0, k;
    if (size == *at)
        return 0;
    count = table[0];
    if (count - 2u > NCD_AE_TOKENS - 2u || size - *at < 1u + 2u * count)
        return 0;
    for (k = 0; k < count; ++k) {
        const uint32_t sum = ncd_ae_u16(table + 1 + 2u * k);
        if (sum <= last)
            return 0;
        last = sum;
    }
    *at += 1u + 2u * count;
    return last == (uint32_t)1 << NCD_AE_SLOTS_LOG2;
}

static ncd_status read_whole(const uint8_t *model, size_t size, ncd_ae_class *c, size_t *used)
{
    const uint32_t classes = model[1] + 1u, tables = classes * NCD_AE_TABLES;
    const size_t offsets = 2u + classes * NCD_AE_WEIGHTS;
    size_t at = offsets + 2u * tables;
    uint32_t i, k;
    if (size < at)
        return NCD_ERR_CORRUPT;
    for (i = 0; i < classes; ++i) { /* sums of products of a weight and a logarithm must stay below 2^31 */
        whole_class(model, i, c);
        for (k = 0; k < NCD_AE_FEATURES; ++k)
            if (c->weights[k] > 8191 || c->weights[k] < -8191)
                return NCD_ERR_CORRUPT;
        if (c->bias > 0xFFFFFF || c->bias < -0xFFFFFF)
            return NCD_ERR_CORRUPT;
    }
    for (i = 0; i < tables; ++i)
        if (ncd_ae_u16(model + offsets + 2u * i) != at || !skip_table(model, size, &at))
            return NCD_ERR_CORRUPT;
    *used = at;
    return NCD_OK;
}

static ncd_status read_tuned(const uint8_t *model, size_t size, size_t *used)
{
    size_t at = TUNED_HEAD, universal_size;
    const uint8_t *universal;
    uint32_t i, mask;
    if (size < at)
        return NCD_ERR_CORRUPT;
    universal = ncd_ae_universal(ncd_ae_u32(model + 2), &universal_size);
    if (!universal)
        return NCD_ERR_UNSUPPORTED;
    for (i = 0; i <= model[1]; ++i) {
        if (size - at < TUNED_CLASS || model[at] > universal[1])
            return NCD_ERR_CORRUPT;
        mask = ncd_ae_u32(model + at + 1);
        if (mask >> NCD_AE_TABLES)
            return NCD_ERR_UNSUPPORTED;
        at += TUNED_CLASS;
        for (; mask; mask &= mask - 1u)
            if (!skip_table(model, size, &at))
                return NCD_ERR_CORRUPT;
    }
    *used = at;
    return NCD_OK;
}

ncd_status ncd_ae_model_read(const uint8_t *model, size_t size, uint32_t index, ncd_ae_class *c, size_t *used)
{
    ncd_status status;
    if (size < 2)
        return NCD_ERR_CORRUPT;
    if ((model[0] != NCD_AE_WHOLE && model[0] != NCD_AE_TUNED) || model[1] >= NCD_AE_CLASSES)
        return NCD_ERR_UNSUPPORTED;
    status = model[0] == NCD_AE_TUNED ? read_tuned(model, size, used) : read_whole(model, size, c, used);
    if (status != NCD_OK)
        return status;
    if (index > model[1])
        return NCD_ERR_CORRUPT;
    ncd_ae_class_of(model, index, c);
    return NCD_OK;
}

#endif
