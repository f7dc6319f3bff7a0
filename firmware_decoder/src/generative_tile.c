/* Tiles of codec 6 (docs/format.md section 15.3). */
#include "generative.h"
#include "generative_coder.h"

#if NCD_ENABLE_GENERATIVE

#define NCD_GENERATIVE_CODER ncd_generative_decoder
#define NCD_GENERATIVE_CODE(c, p, bit) ((void)(bit), ncd_generative_decode(c, p))

#include "generative_model.h"

static NCD_NOINLINE int take_narrow(ncd_generative_walk *w, int8_t *dst, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; ++i) {
        const int32_t level = ncd_generative_level(w, dst, 0, 0);
        if (level > 127 || level < -128)
            return 0;
        dst[i] = (int8_t)level;
    }
    return 1;
}

static NCD_NOINLINE int take_wide(ncd_generative_walk *w, int16_t *dst, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; ++i) {
        const int32_t level = ncd_generative_level(w, dst, 1, 0);
        if (level > 32767 || level < -32768)
            return 0;
        dst[i] = (int16_t)level;
    }
    return 1;
}

/* Elements of `size` bytes from their stored planes, most significant first, and from levels, which lie in the last n
 * bytes of where the elements go. */
static void join(uint8_t *dst, const uint8_t *stored, uint32_t n, uint32_t size, uint32_t center, int is_rotated)
{
    const uint8_t *const levels = dst + (size_t)n * (size - 1u);
    uint32_t i, b;
    for (i = 0; i < n; ++i) {
        uint8_t bytes[8];
        uint32_t carry = 0;
        bytes[size - 1u] = (uint8_t)(levels[i] + center);
        for (b = 1; b < size; ++b)
            bytes[size - 1u - b] = stored[(size_t)n * (b - 1u) + i];
        if (is_rotated) { /* the sign is the lowest bit */
            carry = (uint32_t)bytes[0] & 1u;
            for (b = size; b-- > 0;) {
                const uint32_t byte = bytes[b];
                bytes[b] = (uint8_t)(byte >> 1 | carry << 7);
                carry = byte & 1u;
            }
        }
        for (b = 0; b < size; ++b)
            dst[(size_t)i * size + b] = bytes[b];
    }
}

ncd_status ncd_generative_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const void *workspace)
{
    /* The caller's memory, which only reads as constant because other codecs leave it alone. */
    ncd_generative_model *const m = (ncd_generative_model *)(uintptr_t)workspace;
    const int is_exact = t->mode == NCD_MODE_LOSSLESS;
    const uint8_t *stored;
    ncd_generative_head head;
    ncd_generative_walk w;
    uint32_t row, col, rows, cols;
    ncd_cursor c;
    ncd_generative_decoder from;
    ncd_status status;
    size_t size, planes = 0;

    if (t->zeros) {
        NCD_FILL(dst, 0, t->mode == NCD_MODE_WIDE ? (size_t)n * 2 : n);
        return NCD_OK;
    }
    if (!NCD_GIVEN(m) || !NCD_GIVEN(((uintptr_t)m & 3u) == 0) || !ncd_generative_is_prepared(t, m))
        return NCD_ERR_WORKSPACE;
    c.p = t->tables[0];
    c.end = t->end;
    status = ncd_generative_read_head(&c, &head);
    if (status == NCD_OK)
        status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status == NCD_OK)
        status = ncd_tiles_extent(t, tile, &stored, &size);
    if (status != NCD_OK)
        return status;
    if (is_exact) /* the stored planes come first */
        planes = (size_t)n * (t->elem_size - 1u);
    if (size < planes)
        return NCD_ERR_CORRUPT;
    status = ncd_generative_start(&from, stored + planes, stored + size);
    if (status != NCD_OK)
        return status;
    ncd_generative_reset(m, ncd_generative_prior);
    if (head.is_tuned) {
        status = ncd_generative_tune(t->tuned, t->model_end, m);
        if (status != NCD_OK)
            return status;
    }
    w.m = m;
    w.coder = &from;
    w.columns = ncd_generative_columns(m);
    w.head = &head;
    ncd_generative_begin(&w, cols, col);
    if (t->mode == NCD_MODE_WIDE ? !take_wide(&w, (int16_t *)dst, n)
                                 : !take_narrow(&w, (int8_t *)dst + planes, n))
        return NCD_ERR_CORRUPT;
    if (from.src != from.end)
        return NCD_ERR_CORRUPT;
    if (is_exact)
        join((uint8_t *)dst, stored, n, t->elem_size, t->center, t->dtype <= NCD_F64);
    return NCD_OK;
}

#endif
