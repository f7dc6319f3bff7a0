/* Codec 1: the elements as they are. */
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

ncd_status ncd_raw_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst)
{
    uint32_t row, col, rows, cols;
    const ncd_status status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status == NCD_OK) {
        /* Inside the payload, whose size is a size_t: ncd_raw_bind has compared it. */
        const size_t first = (size_t)row * t->cols + col;
        NCD_COPY(dst, t->data + first * t->elem_size, (size_t)rows * cols * t->elem_size);
    }
    return status;
}
