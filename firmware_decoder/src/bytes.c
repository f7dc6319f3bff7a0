#include "bytes.h"

const uint8_t *ncd_get_bytes(ncd_cursor *c, uint64_t n)
{
    const uint8_t *p = c->p;
    if (c->bad || n > (uint64_t)(size_t)(c->end - p)) {
        c->bad = 1;
        return NULL;
    }
    c->p = p + (size_t)n;
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
    return p ? (uint32_t)ncd_load_le(p, 4) : 0;
}

uint64_t ncd_get_varint(ncd_cursor *c)
{
    uint64_t value = 0;
    uint32_t shift = 0, byte;
    do {
        byte = ncd_get_u8(c);
        value |= (uint64_t)(byte & 127u) << shift;
        shift += 7;
    } while ((byte & 128u) && shift < 56u);
    if ((byte & 128u) || (byte == 0 && shift > 7u))
        c->bad = 1;
    return c->bad ? 0 : value;
}

uint32_t ncd_get_varint32(ncd_cursor *c)
{
    uint64_t value = ncd_get_varint(c);
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

uint64_t ncd_load_le(const uint8_t *p, uint32_t width)
{
    uint64_t value = 0;
    while (width-- > 0)
        value = value << 8 | p[width];
    return value;
}
