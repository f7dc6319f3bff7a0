/* The checksum of a tile's levels. */
#include "common.h"

uint16_t ncd_nn_checksum(const int8_t *levels, uint32_t count)
{
    uint32_t a = 0, b = 0, last = 0, i;
    for (; count >= 4; count -= 4, levels += 4) {
        a += ncd_nn_load_u32(levels);
        b += a;
    }
    if (count > 0) {
        for (i = 0; i < count; ++i)
            last |= (uint32_t)(uint8_t)levels[i] << 8 * i;
        a += last;
        b += a;
    }
    /* A change of the last word adds the same to both sums, and one of a word's highest bit only changes their highest bits:
     * mixed like this, neither cancels. */
    a = a * 0x9E3779B1u ^ (b << 13 | b >> 19);
    return (uint16_t)((a ^ a >> 15) * 0x85EBCA77u >> 16);
}
