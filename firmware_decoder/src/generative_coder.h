/* The binary arithmetic coder of codec 6 (docs/format.md section 15.1). */
#ifndef NCD_GENERATIVE_CODER_H
#define NCD_GENERATIVE_CODER_H

#include "internal.h"

/* `low` and `high` are the first and the last code of the interval, `code` the one that the string has; where the string
 * has no bytes left, zeros stand for them. */
typedef struct ncd_generative_decoder {
    const uint8_t *src, *end;
    uint32_t low, high, code;
} ncd_generative_decoder;

NCD_INLINE void ncd_generative_shift(ncd_generative_decoder *c)
{
    c->code <<= 8;
    if (c->src != c->end)
        c->code |= *c->src++;
}

/* Begins with the code string from src to end. CORRUPT: its last byte is 0. */
NCD_INLINE ncd_status ncd_generative_start(ncd_generative_decoder *c, const uint8_t *src, const uint8_t *end)
{
    uint32_t i;
    c->src = src;
    c->end = end;
    c->low = c->code = 0;
    c->high = 0xFFFFFFFFu;
    if (src != end && end[-1] == 0)
        return NCD_ERR_CORRUPT;
    for (i = 0; i < 4; ++i)
        ncd_generative_shift(c);
    return NCD_OK;
}

/* The next bit, which is 1 with probability p / 65536, 0 < p < 65536. */
NCD_INLINE uint32_t ncd_generative_decode(ncd_generative_decoder *c, uint32_t p)
{
    const uint32_t range = c->high - c->low;
    const uint32_t middle = c->low + (range >> 16) * p + ((range & 0xFFFFu) * p >> 16);
    const uint32_t bit = c->code <= middle;
    if (bit)
        c->high = middle;
    else
        c->low = middle + 1;
    while (((c->low ^ c->high) >> 24) == 0) {
        c->low <<= 8;
        c->high = c->high << 8 | 255u;
        ncd_generative_shift(c);
    }
    return bit;
}

#endif
