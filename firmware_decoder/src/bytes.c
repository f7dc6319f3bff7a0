#include "bytes.h"

const uint8_t *ncd_get_bytes(ncd_cursor *c, size_t n)
{
    const uint8_t *p = c->p;
    if (!p || n > (size_t)(c->end - p)) {
        c->p = c->end = NULL; /* nothing more comes out of it */
        return NULL;
    }
    c->p = p + n;
    return p;
}

const uint8_t *ncd_get_fields(ncd_cursor *c, uint32_t n, uint32_t width)
{
    const uint64_t size = ((uint64_t)n * width + 7) >> 3;
    return ncd_get_bytes(c, size > SIZE_MAX ? SIZE_MAX : (size_t)size);
}

uint8_t ncd_get_u8(ncd_cursor *c)
{
    const uint8_t *p = ncd_get_bytes(c, 1);
    return p ? *p : 0;
}

uint32_t ncd_get_u32(ncd_cursor *c)
{
    const uint8_t *p = ncd_get_bytes(c, 4);
    return p ? ncd_load_u32(p) : 0;
}

size_t ncd_get_size(ncd_cursor *c)
{
    enum { LAST = sizeof(size_t) > 4 ? 49 : 28 }; /* place of the last group there can be */
    size_t value = 0;
    uint32_t shift = 0, byte;
    for (;;) {
        byte = ncd_get_u8(c);
        value |= (size_t)(byte & 127u) << shift;
        if (value >> shift != (byte & 127u)) /* bits are lost */
            break;
        if (byte < 128u) {
            if (byte == 0 && shift > 0)
                break;
            return value;
        }
        shift += 7;
        if (shift > LAST)
            break;
    }
    ncd_get_bytes(c, SIZE_MAX);
    return 0;
}

uint32_t ncd_get_varint32(ncd_cursor *c)
{
    const size_t value = ncd_get_size(c);
#if SIZE_MAX > UINT32_MAX
    if (value > UINT32_MAX)
        ncd_get_bytes(c, SIZE_MAX);
#endif
    return (uint32_t)value;
}
