/* Codec 1: the elements as they are. */
#include "internal.h"

enum { RAW_TILE = 1024 };

ncd_status ncd_raw_bind(ncd_tensor *t)
{
    const ncd_status status = ncd_tiles_cut(t, RAW_TILE);
    /* The tiles are below 2^32, so the product is below 2^45. */
    if (status == NCD_OK && (uint64_t)t->rows * t->cols * t->elem_size != (size_t)(t->end - t->payload))
        return NCD_ERR_CORRUPT;
    return status;
}

void ncd_raw_bytes(const ncd_tensor *t, uint32_t row, uint32_t col, uint32_t n, uint8_t *dst)
{
    const size_t first = (size_t)row * t->cols + col;
    NCD_COPY(dst, t->payload + first * t->elem_size, (size_t)n * t->elem_size);
}
