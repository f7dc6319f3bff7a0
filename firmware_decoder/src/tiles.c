/* Tiles: how a matrix is cut, and where the bytes of a tile lie (docs/format.md section 4). */
#include "internal.h"

/* Offsets of every 32nd tile stand in the index, so a tile is found by adding 31 sizes at most. */
enum { GROUP_LOG2 = 5, GROUP = 1 << GROUP_LOG2 };

/* 65,535 elements of 8 planes and 15 bits are less; a greater least size is wrong for any tile. */
enum { TILE_MAX_SIZE = 1 << 20 };

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

/* Bytes that the offsets take: below 2^30. */
static size_t offsets_size(const ncd_tensor *t)
{
    return (size_t)((t->tiles - 1) >> GROUP_LOG2) * t->checkpoint_width;
}

ncd_status ncd_tiles_read_index(ncd_tensor *t, ncd_cursor *c)
{
    if (t->tiles > 1) {
        t->size_min = ncd_get_varint32(c);
        t->size_width = (uint8_t)ncd_get_u8(c);
        if (c->bad)
            return NCD_ERR_CORRUPT;
        if (t->size_width >> 5)
            return NCD_ERR_UNSUPPORTED;
        if (t->tiles > GROUP)
            t->checkpoint_width = (uint8_t)(ncd_get_u8(c) - 1);
        if (t->size_min > TILE_MAX_SIZE || t->size_width > 24 || t->checkpoint_width > 7)
            return NCD_ERR_CORRUPT;
        ++t->checkpoint_width;
        t->index = c->p;
        ncd_get_bytes(c, offsets_size(t));
        ncd_get_fields(c, t->tiles, t->size_width);
    }
    t->data = c->p;
    return c->bad ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_tiles_extent(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size)
{
    const size_t data_size = (size_t)(t->payload + t->payload_size - t->data);
    const uint32_t group = tile >> GROUP_LOG2, in_group = tile & (GROUP - 1u), width = t->size_width;
    const uint8_t *p = t->index;
    size_t start = 0, next = data_size;
    uint32_t before = in_group * t->size_min, field = 0, have = 0, window = 0, i;

    *src = t->data;
    *size = data_size;
    if (!p)
        return NCD_OK;

    /* Offset `group` lies before its entry, as there is none for the first group. */
    p += (size_t)group * t->checkpoint_width;
    if (group > 0)
        start = ncd_load_size(p - t->checkpoint_width, t->checkpoint_width);
    if (in_group == GROUP - 1u && tile + 1 < t->tiles)
        next = ncd_load_size(p, t->checkpoint_width);

    /* The 32 fields of a group fill 4 * width bytes exactly, so each group starts at a byte. */
    p = t->index + offsets_size(t) + (size_t)group * 4u * width;
    for (i = 0; i <= in_group; ++i) {
        before += field;
        for (; have < width; have += 8)
            window |= (uint32_t)*p++ << have;
        field = window & ((1u << width) - 1u);
        window >>= width;
        have -= width;
    }
    /* Sums of sizes are below 2^30: see TILE_MAX_SIZE. */
    field += t->size_min;
    if (start > data_size || before + field > data_size - start)
        return NCD_ERR_CORRUPT;
    start += before;
    *src += start;
    *size = field;

    /* Where the sum meets an offset or the end of the data, they must agree. */
    if ((in_group == GROUP - 1u || tile + 1 == t->tiles) && start + field != next)
        return NCD_ERR_CORRUPT;
    return NCD_OK;
}
