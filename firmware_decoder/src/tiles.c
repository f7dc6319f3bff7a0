/* Tiles: how a matrix is cut, and where the bytes of a tile lie (docs/format.md section 4). */
#include "internal.h"

/* Offsets of every 32nd tile stand in the index, so a tile is found by adding 31 sizes at most. */
enum { GROUP_LOG2 = 5, GROUP = 1 << GROUP_LOG2 };

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

ncd_status ncd_tiles_cut(ncd_tensor *t, uint32_t T)
{
    if (T == 0 || T > 65535)
        return NCD_ERR_CORRUPT;
    if (t->cols <= T) {
        uint32_t rows = T / t->cols;
        if (rows > t->rows)
            rows = t->rows;
        t->tile_rows = (uint16_t)rows;
        t->tile_cols = (uint16_t)t->cols;
        t->tiles = ceil_div(t->rows, rows);
    } else {
        const uint64_t tiles = (uint64_t)t->rows * ceil_div(t->cols, T);
        if (tiles > UINT32_MAX)
            return NCD_ERR_CORRUPT;
        t->tile_rows = 1;
        t->tile_cols = (uint16_t)T;
        t->tiles = (uint32_t)tiles;
    }
    t->tile_size = (uint16_t)(t->tile_rows * t->tile_cols);
    return NCD_OK;
}

ncd_status ncd_tile_place(const ncd_tensor *t, uint32_t tile, uint32_t *row, uint32_t *col, uint32_t *rows,
                          uint32_t *cols)
{
    if (!t || tile >= t->tiles)
        return NCD_ERR_ARG;
    if (t->tile_cols == t->cols) {
        const uint32_t first = tile * t->tile_rows, left = t->rows - first;
        *row = first;
        *col = 0;
        *rows = left < t->tile_rows ? left : t->tile_rows;
        *cols = t->cols;
    } else {
        const uint32_t in_row = ceil_div(t->cols, t->tile_cols), r = tile / in_row;
        const uint32_t first = (tile - r * in_row) * t->tile_cols, left = t->cols - first;
        *row = r;
        *col = first;
        *rows = 1;
        *cols = left < t->tile_cols ? left : t->tile_cols;
    }
    return NCD_OK;
}

/* Bytes that the offsets take. */
static uint64_t offsets_size(const ncd_tensor *t)
{
    return (uint64_t)((t->tiles - 1) >> GROUP_LOG2) * t->checkpoint_width;
}

ncd_status ncd_tiles_read_index(ncd_tensor *t, ncd_cursor *c)
{
    t->index = NULL;
    if (t->tiles > 1) {
        uint32_t width;
        t->size_min = ncd_get_varint32(c);
        width = ncd_get_u8(c);
        if (c->bad)
            return NCD_ERR_CORRUPT;
        if (width >> 5)
            return NCD_ERR_UNSUPPORTED;
        if (width > 24)
            return NCD_ERR_CORRUPT;
        t->size_width = (uint8_t)width;
        if (t->tiles > GROUP) {
            t->checkpoint_width = (uint8_t)ncd_get_u8(c);
            if (t->checkpoint_width < 1 || t->checkpoint_width > 8)
                return NCD_ERR_CORRUPT;
        }
        t->index = c->p;
        ncd_get_bytes(c, offsets_size(t));
        ncd_get_bytes(c, ((uint64_t)t->tiles * width + 7) >> 3);
        if (c->bad)
            return NCD_ERR_CORRUPT;
    }
    t->data = c->p;
    return NCD_OK;
}

ncd_status ncd_tiles_extent(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size)
{
    const size_t data_size = (size_t)(t->payload + t->payload_size - t->data);
    const uint32_t group = tile >> GROUP_LOG2, width = t->size_width, mask = ((uint32_t)1 << width) - 1;
    uint64_t start = 0, end, next = data_size;
    const uint8_t *p;
    uint32_t field = 0, bits, have, window, i;

    *src = t->data;
    *size = data_size;
    if (!t->index)
        return NCD_OK;

    if (group > 0) {
        start = ncd_load_le(t->index + (size_t)(group - 1) * t->checkpoint_width, t->checkpoint_width);
        if (start > data_size)
            return NCD_ERR_CORRUPT;
    }
    /* The 32 fields of a group fill 4 * width bytes exactly, so each group starts at a byte. */
    p = t->index + (size_t)offsets_size(t) + (size_t)group * 4u * width;
    have = window = bits = 0;
    for (i = 0; i <= (tile & (GROUP - 1u)); ++i) {
        bits += field;
        while (have < width) {
            window |= (uint32_t)*p++ << have;
            have += 8;
        }
        field = window & mask;
        window = width ? window >> width : 0;
        have -= width;
    }
    start += bits + (uint64_t)t->size_min * (tile & (GROUP - 1u));
    end = start + field + t->size_min;
    if (end > data_size)
        return NCD_ERR_CORRUPT;

    /* Where the sum meets an offset or the end of the data, they must agree. */
    if (tile + 1 < t->tiles) {
        if ((tile + 1) & (GROUP - 1u))
            next = end;
        else
            next = ncd_load_le(t->index + (size_t)group * t->checkpoint_width, t->checkpoint_width);
    }
    if (end != next)
        return NCD_ERR_CORRUPT;
    *src += (size_t)start;
    *size = (size_t)(end - start);
    return NCD_OK;
}
