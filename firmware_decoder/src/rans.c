/* Frequency tables and rANS (docs/format.md section 11). */
#include "internal.h"

#if NCD_ENABLE_KMEANS || NCD_ENABLE_TRELLIS

/* A field of up to 12 bits; UINT32_MAX past the end. */
static uint32_t take(ncd_frequencies *f, uint32_t width)
{
    uint32_t value = 0, i;
#if NCD_TRELLIS_LANES > 1 /* a host: faster, where enough bytes are known to follow */
    if (f->end && f->end - f->p >= 3) {
        value = ((uint32_t)f->p[0] | (uint32_t)f->p[1] << 8 | (uint32_t)f->p[2] << 16) >> f->bit & ((1u << width) - 1u);
        f->bit += width;
        f->p += f->bit >> 3;
        f->bit &= 7u;
        return value;
    }
#endif
    for (i = 0; i < width; ++i) {
        if (f->p == f->end)
            return UINT32_MAX;
        value |= ((uint32_t)*f->p >> f->bit & 1u) << i;
        f->bit = (f->bit + 1u) & 7u;
        f->p += f->bit == 0;
    }
    return value;
}

uint32_t ncd_frequency_next(ncd_frequencies *f)
{
    const uint32_t length = take(f, 4);
    uint32_t low;
    if (length - 1u >= 13u) /* none; or more than any m allows, or no more bits: a sum that cannot be right */
        return length == 0 ? 0 : UINT32_MAX;
    low = take(f, length - 1u);
    return low == UINT32_MAX ? low : low | (uint32_t)1 << (length - 1u);
}

#endif

#if NCD_ENABLE_KMEANS

enum { HEAD = 2, LOWEST = 1 << 16 };

static void rewind_to(ncd_frequencies *f, const uint8_t *table)
{
    f->p = table + HEAD;
    f->bit = 0;
}

ncd_status ncd_frequencies_read(ncd_cursor *c, uint32_t symbols, uint32_t *constant)
{
    const uint8_t *const table = ncd_get_bytes(c, HEAD);
    ncd_frequencies f;
    uint32_t sum = 0, m, i;
    if (!table)
        return NCD_ERR_CORRUPT;
    m = table[0];
    if (m >> 4)
        return NCD_ERR_UNSUPPORTED;
    if (m - 8u > 4u || table[1] >= symbols)
        return NCD_ERR_CORRUPT;
    *constant = UINT32_MAX;
    rewind_to(&f, table);
    f.end = c->end;
    for (i = 0; i <= table[1]; ++i) {
        const uint32_t frequency = ncd_frequency_next(&f);
        if (frequency > (uint32_t)1 << m)
            return NCD_ERR_CORRUPT;
        if (frequency >> m)
            *constant = i;
        sum += frequency;
    }
    if (sum != (uint32_t)1 << m)
        return NCD_ERR_CORRUPT;
    c->p = f.p + (f.bit != 0);
    return NCD_OK;
}

void ncd_rans_build(const uint8_t *table, const uint8_t *map, uint32_t *slot)
{
    ncd_frequencies f;
    uint32_t i;
    rewind_to(&f, table);
    f.end = NULL; /* never met: the table was read before */
    for (i = 0; i <= table[1]; ++i) {
        const uint32_t frequency = ncd_frequency_next(&f), symbol = map ? map[i] : i;
        uint32_t k;
        for (k = 0; k < frequency; ++k)
            *slot++ = symbol | frequency << 8 | k << 20;
    }
}

/* Takes a word where the state needs one and there is one. */
#define REFILL()                                                   \
    do {                                                           \
        if (x < LOWEST && src != end) {                            \
            x = x << 16 | (uint32_t)src[1] << 8 | src[0];          \
            src += 2;                                              \
        }                                                          \
    } while (0)

ncd_status ncd_rans_decode(uint32_t m, const uint32_t *slots, const uint8_t *src, size_t size, uint8_t *dst, uint32_t n)
{
    const uint8_t *const end = src + size;
    const uint32_t mask = ((uint32_t)1 << m) - 1u;
    uint32_t x = 0;
    if (size & 1u)
        return NCD_ERR_CORRUPT;
    REFILL();
    REFILL();
    do {
        const uint32_t slot = slots[x & mask];
        *dst++ = (uint8_t)slot;
        x = (slot >> 8 & 0xFFFu) * (x >> m) + (slot >> 20);
        REFILL();
    } while (--n > 0);
    return x == 0 && src == end ? NCD_OK : NCD_ERR_CORRUPT;
}

#endif
