/* Codec 1: the elements as they are. */
#include <string.h>

#include "internal.h"

enum { RAW_TILE = 1024 };

ncd_status ncd_raw_bind(ncd_tensor *t)
{
    const ncd_status status = ncd_tiles_cut(t, RAW_TILE);
    if (status == NCD_OK && (uint64_t)t->rows * t->cols * t->elem_size != t->payload_size)
        return NCD_ERR_CORRUPT;
    t->data = t->payload;
    return status;
}

void ncd_raw_bytes(const ncd_tensor *t, uint32_t row, uint32_t col, uint8_t *dst, uint32_t n)
{
    /* Inside the payload, whose size is a size_t: ncd_raw_bind has compared it. */
    const size_t first = (size_t)row * t->cols + col;
    memcpy(dst, t->data + first * t->elem_size, (size_t)n * t->elem_size);
}
