/* Tensors: from a record to tiles of levels or bytes. */
#include "internal.h"

ncd_status ncd_tensor_bind(const ncd_model *m, const ncd_record *r, const uint8_t *payload, ncd_tensor *t)
{
    if (!m || !r || !t || !payload || r->codec == NCD_CODEC_TIED || r->dtype < NCD_F32 || r->dtype > NCD_COMPLEX64)
        return NCD_ERR_ARG;
    if (r->codec != NCD_CODEC_RAW && !(NCD_ENABLE_HUFFMAN && r->codec == NCD_CODEC_HUFFMAN))
        return NCD_ERR_UNSUPPORTED;
    NCD_FILL(t, 0, sizeof *t);
    t->payload = payload;
    t->payload_size = r->payload_size;
    t->payload_crc = r->payload_crc;
    t->rows = r->rows;
    t->cols = r->cols;
    t->codec = r->codec;
    t->dtype = r->dtype;
    t->elem_size = (uint8_t)(1u << ncd_size_log2[r->dtype]);
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

/* What every decoder of tiles checks first. Gives the number of weights in the tile, which is positive, or a status. */
static NCD_NOINLINE int32_t check_tile(const ncd_tensor *t, uint32_t tile, size_t capacity, uint32_t size,
                                       const void *workspace)
{
    uint32_t row, col, rows, cols;
    const ncd_status status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
    if (capacity < rows * cols * size)
        return NCD_ERR_CAPACITY;
    if (!usable(t, workspace))
        return NCD_ERR_WORKSPACE;
    return (int32_t)(rows * cols);
}

ncd_status ncd_decode_tile_i8(const ncd_tensor *t, uint32_t tile, int8_t *dst, size_t capacity, const void *workspace)
{
#if NCD_ENABLE_HUFFMAN
    int32_t n;
    if (!t || !dst)
        return NCD_ERR_ARG;
    if (t->mode == NCD_MODE_LEVELS) {
        n = check_tile(t, tile, capacity, 1, workspace);
        if (n < 0)
            return (ncd_status)n;
        return ncd_huffman_levels(t, tile, (uint8_t *)dst, (uint32_t)n, (const uint32_t *)workspace);
    }
#endif
    if (!t || t->dtype != NCD_I8)
        return NCD_ERR_ARG;
    return ncd_decode_tile_bytes(t, tile, (uint8_t *)dst, capacity, workspace);
}

ncd_status ncd_decode_tile_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                 const void *workspace)
{
    int32_t n;
    if (!t || !dst || t->mode == NCD_MODE_LEVELS)
        return NCD_ERR_ARG;
    n = check_tile(t, tile, capacity, t->elem_size, workspace);
    if (n < 0)
        return (ncd_status)n;
#if NCD_ENABLE_HUFFMAN && NCD_ENABLE_LOSSLESS
    if (t->codec == NCD_CODEC_HUFFMAN)
        return ncd_huffman_lossless(t, tile, dst, (uint32_t)n, (const uint32_t *)workspace);
#endif
    return ncd_raw_bytes(t, tile, dst);
}
