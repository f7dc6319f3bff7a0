/* Tiles: how a matrix is cut, and where the bytes of a tile lie (docs/format.md section 4). */
#include "tiles.h"

/* 65,535 elements of 8 planes and 15 bits are less; a greater least size is wrong for any tile. */
enum { TILE_MAX_SIZE = 1 << 20 };

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

ncd_status ncd_tiles_cut(ncd_tensor *t, uint32_t T)
{
    uint32_t per_row, rows = 1;
    uint64_t tiles;
    if (T - 1u >= 65535u)
        return NCD_ERR_CORRUPT;
    per_row = ceil_div(t->cols, T);
    if (per_row == 1) {
        rows = T / t->cols;
        if (rows > t->rows)
            rows = t->rows;
        T = t->cols;
    }
    tiles = (uint64_t)ceil_div(t->rows, rows) * per_row;
    if (tiles >> 32)
        return NCD_ERR_CORRUPT;
    t->tile_rows = (uint16_t)rows;
    t->tile_cols = (uint16_t)T;
    t->tile_size = (uint16_t)(rows * T);
    t->tiles = (uint32_t)tiles;
    t->per_row = per_row;
    return NCD_OK;
}

ncd_status ncd_tile_place(const ncd_tensor *t, uint32_t tile, uint32_t *row, uint32_t *col, uint32_t *rows,
                          uint32_t *cols)
{
    if (!NCD_GIVEN(t) || tile >= t->tiles)
        return NCD_ERR_ARG;
    ncd_tile_where(t, tile, row, col, rows, cols);
    return NCD_OK;
}

ncd_status ncd_tiles_read_index(ncd_tensor *t, ncd_cursor *c)
{
    if (t->tiles > 1) {
        t->size_min = ncd_get_varint32(c);
        t->size_width = ncd_get_u8(c);
        if (t->size_width >> 5)
            return NCD_ERR_UNSUPPORTED;
        if (t->size_min > TILE_MAX_SIZE || t->size_width > 24)
            return NCD_ERR_CORRUPT;
        t->index = c->p;
        ncd_get_bytes(c, ncd_offsets_size(t));
        ncd_get_fields(c, t->tiles, t->size_width);
    }
    t->data = c->p;
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_tiles_extent(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size)
{
    return ncd_tiles_range(t, tile, src, size);
}
