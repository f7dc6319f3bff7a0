/* Where a tile lies, and where its bytes do. */
#ifndef NCD_TILES_H
#define NCD_TILES_H

#include "internal.h"

/* Offsets of every 16th tile stand in the index, so a tile is found by adding 15 sizes at most. */
enum { NCD_GROUP_LOG2 = 4, NCD_GROUP = 1 << NCD_GROUP_LOG2 };

/* Where a tile that there is lies in the matrix. */
NCD_INLINE void ncd_tile_where(const ncd_tensor *t, uint32_t tile, uint32_t *row, uint32_t *col, uint32_t *rows, uint32_t *cols)
{
    uint32_t r = tile, c = 0;
    if (t->per_row != 1) { /* divisions are slow on small cores */
        r = tile / t->per_row;
        c = (tile - r * t->per_row) * t->tile_cols;
    }
    r *= t->tile_rows;
    *row = r;
    *col = c;
    r = t->rows - r;
    c = t->cols - c;
    *rows = r < t->tile_rows ? r : t->tile_rows;
    *cols = c < t->tile_cols ? c : t->tile_cols;
}

/* Bytes that an offset takes, of an index whose place is known. */
NCD_INLINE uint32_t ncd_offset_size(const ncd_tensor *t)
{
#if SIZE_MAX > UINT32_MAX
    return (size_t)(t->end - t->index) > UINT32_MAX ? 8 : 4;
#else
    (void)t;
    return 4;
#endif
}

/* Bytes that all offsets take: below 2^30, or 2^31. */
NCD_INLINE size_t ncd_offsets_size(const ncd_tensor *t)
{
    return (size_t)((t->tiles - 1) >> NCD_GROUP_LOG2) * ncd_offset_size(t);
}

/* Offset of a group other than the first. */
NCD_INLINE size_t ncd_offset_of(const ncd_tensor *t, uint32_t group)
{
    const uint8_t *const p = t->index + (size_t)(group - 1) * ncd_offset_size(t);
#if SIZE_MAX > UINT32_MAX
    if (ncd_offset_size(t) == 8)
        return (size_t)ncd_load_u32(p + 4) << 32 | ncd_load_u32(p);
#endif
    return ncd_load_u32(p);
}

/* As ncd_tiles_extent, in line: it takes less stack, and code where it is called. */
NCD_INLINE ncd_status ncd_tiles_range(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size)
{
    size_t left = (size_t)(t->end - t->data), start = 0, end;
    const uint32_t group = tile >> NCD_GROUP_LOG2, width = t->size_width;
    uint32_t in_group = tile & (NCD_GROUP - 1u), have = 0, window = 0, field = 0;
    const uint8_t *p;

    *src = t->data;
    *size = left;
    if (!t->index)
        return NCD_OK;

    if (group > 0)
        start = ncd_offset_of(t, group);
    if (start > left)
        return NCD_ERR_CORRUPT;
    *src += start;
    left -= start;

    /* The 16 fields of a group fill 2 * width bytes exactly, so each group starts at a byte. */
    p = t->index + ncd_offsets_size(t) + (size_t)group * 2u * width;
    start = in_group * t->size_min; /* sums are below 2^29: see TILE_MAX_SIZE */
    for (;;) {
        for (; have < width; have += 8)
            window |= (uint32_t)*p++ << have;
        field = window & ((1u << width) - 1u);
        window >>= width;
        have -= width;
        if (in_group-- == 0)
            break;
        start += field;
    }
    field += t->size_min;
    end = start + field;
    *src += start;
    *size = field;
    if (end > left)
        return NCD_ERR_CORRUPT;
#if NCD_FULL_CHECK
    /* Where the sum meets an offset or the end of the data, they must agree. */
    if (tile + 1 == t->tiles)
        return end == left ? NCD_OK : NCD_ERR_CORRUPT;
    if ((tile & (NCD_GROUP - 1u)) == NCD_GROUP - 1u && (size_t)(*src + field - t->data) != ncd_offset_of(t, group + 1))
        return NCD_ERR_CORRUPT;
#endif
    return NCD_OK;
}

#endif
