#include "internal.h"

uint32_t ncd_crc32(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    crc = ~crc;
#if NCD_CRC_TABLE
    {
        static const uint32_t nibble[16] = {
            0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
            0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
        };
        while (size-- > 0) {
            crc ^= *p++;
            crc = crc >> 4 ^ nibble[crc & 15u];
            crc = crc >> 4 ^ nibble[crc & 15u];
        }
    }
#else
    while (size-- > 0) {
        uint32_t i;
        crc ^= *p++;
        for (i = 0; i < 8; ++i)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
#endif
    return ~crc;
}
