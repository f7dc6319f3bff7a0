#include "bytes.h"

const uint8_t *ncd_get_bytes(ncd_cursor *c, size_t n)
{
    const uint8_t *p = c->p;
    if (n > (size_t)(c->end - p)) {
        c->bad = 1;
        c->end = p; /* nothing more comes out of it */
        return NULL;
    }
    c->p = p + n;
    return p;
}

const uint8_t *ncd_get_fields(ncd_cursor *c, uint32_t n, uint32_t width)
{
    const uint64_t bits = (uint64_t)n * width, size = (bits + 7) >> 3;
    const uint8_t *p = ncd_get_bytes(c, size > SIZE_MAX ? SIZE_MAX : (size_t)size);
    if (p && (bits & 7u) && c->p[-1] >> (bits & 7u))
        c->bad = 1;
    return p;
}

uint32_t ncd_get_u8(ncd_cursor *c)
{
    const uint8_t *p = ncd_get_bytes(c, 1);
    return p ? *p : 0;
}

uint32_t ncd_get_u32(ncd_cursor *c)
{
    const uint8_t *p = ncd_get_bytes(c, 4);
    return p ? ncd_load_u32(p) : 0;
}

uint64_t ncd_get_varint(ncd_cursor *c)
{
    uint64_t value = 0;
    uint32_t shift = 0, byte;
    do {
        byte = ncd_get_u8(c);
        value |= (uint64_t)(byte & 127u) << shift;
        shift += 7;
    } while (byte > 127u && shift < 56u);
    if (byte > 127u || (byte == 0 && shift > 7u)) {
        c->bad = 1;
        c->end = c->p;
    }
    return value;
}

uint32_t ncd_get_varint32(ncd_cursor *c)
{
    const uint64_t value = ncd_get_varint(c);
    return value >> 32 ? UINT32_MAX : (uint32_t)value;
}

size_t ncd_get_size(ncd_cursor *c)
{
#if SIZE_MAX > UINT32_MAX
    return (size_t)ncd_get_varint(c);
#else
    return ncd_get_varint32(c);
#endif
}

size_t ncd_load_size(const uint8_t *p, uint32_t width)
{
    size_t value = 0;
    while (width-- > 0)
        value = value >> (8 * sizeof value - 8) ? SIZE_MAX : value << 8 | p[width];
    return value;
}

uint32_t ncd_load_u32(const uint8_t *p)
{
    return (uint32_t)ncd_load_size(p, 4);
}
