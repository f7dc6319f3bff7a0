/* Tensors: from a record to tiles of levels or bytes. */
#include <string.h>

#include "internal.h"

ncd_status ncd_tensor_bind(const ncd_model *m, const ncd_record *r, const uint8_t *payload, ncd_tensor *t)
{
    static const uint8_t sizes[16] = {4, 2, 2, 8, 1, 1, 2, 4, 8, 1, 1, 1, 2, 4, 8, 8};

    if (!m || !r || !t || !payload || r->codec == NCD_CODEC_TIED || r->dtype < NCD_F32 || r->dtype > NCD_COMPLEX64)
        return NCD_ERR_ARG;
    if (r->codec != NCD_CODEC_RAW && !(NCD_ENABLE_HUFFMAN && r->codec == NCD_CODEC_HUFFMAN))
        return NCD_ERR_UNSUPPORTED;
    memset(t, 0, sizeof *t);
    t->payload = payload;
    t->payload_size = r->payload_size;
    t->payload_crc = r->payload_crc;
    t->rows = r->rows;
    t->cols = r->cols;
    t->codec = r->codec;
    t->dtype = r->dtype;
    t->elem_size = sizes[r->dtype - 1];
    t->mode = NCD_MODE_LOSSLESS;
    if (t->rows == 0 || t->cols == 0)
        return t->payload_size == 0 ? NCD_OK : NCD_ERR_CORRUPT;
#if NCD_ENABLE_HUFFMAN
    if (r->codec == NCD_CODEC_HUFFMAN)
        return ncd_huffman_bind(m, t);
#endif
    return ncd_raw_bind(t);
}

ncd_status ncd_tensor_check(const ncd_tensor *t)
{
    if (!t)
        return NCD_ERR_ARG;
    return ncd_crc32(0, t->payload, t->payload_size) == t->payload_crc ? NCD_OK : NCD_ERR_CHECKSUM;
}

size_t ncd_tensor_workspace(const ncd_tensor *t)
{
#if NCD_ENABLE_HUFFMAN
    if (t && t->codec == NCD_CODEC_HUFFMAN)
        return ncd_huffman_workspace(t);
#endif
    (void)t;
    return 0;
}

/* A workspace that is needed must be there and aligned. */
static int usable(const ncd_tensor *t, const void *workspace)
{
    return (workspace && ((uintptr_t)workspace & 3u) == 0) || ncd_tensor_workspace(t) == 0;
}

ncd_status ncd_tensor_prepare(const ncd_tensor *t, void *workspace, size_t size)
{
    if (!t)
        return NCD_ERR_ARG;
    if (size < ncd_tensor_workspace(t) || !usable(t, workspace))
        return NCD_ERR_WORKSPACE;
#if NCD_ENABLE_HUFFMAN
    if (t->codec == NCD_CODEC_HUFFMAN)
        ncd_huffman_prepare(t, (uint32_t *)workspace);
#endif
    return NCD_OK;
}

/* Decodes a tile to elements of `size` bytes: 1 for levels. */
static ncd_status decode(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity, uint32_t size,
                         const void *workspace)
{
    uint32_t row, col, rows, cols;
    ncd_status status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
    rows *= cols;
    if (capacity < rows * size)
        return NCD_ERR_CAPACITY;
    if (!usable(t, workspace))
        return NCD_ERR_WORKSPACE;
#if NCD_ENABLE_HUFFMAN
    if (t->codec == NCD_CODEC_HUFFMAN) {
        if (t->mode == NCD_MODE_LEVELS)
            return ncd_huffman_levels(t, tile, dst, rows, (const uint32_t *)workspace);
#if NCD_ENABLE_LOSSLESS
        return ncd_huffman_lossless(t, tile, dst, rows, (const uint32_t *)workspace);
#endif
    }
#endif
    ncd_raw_bytes(t, row, col, dst, rows);
    return NCD_OK;
}

ncd_status ncd_decode_tile_i8(const ncd_tensor *t, uint32_t tile, int8_t *dst, size_t capacity, const void *workspace)
{
    if (!t || !dst || (t->mode != NCD_MODE_LEVELS && t->dtype != NCD_I8))
        return NCD_ERR_ARG;
    return decode(t, tile, (uint8_t *)dst, capacity, 1, workspace);
}

ncd_status ncd_decode_tile_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                 const void *workspace)
{
    if (!t || !dst || t->mode == NCD_MODE_LEVELS)
        return NCD_ERR_ARG;
    return decode(t, tile, dst, capacity, t->elem_size, workspace);
}
