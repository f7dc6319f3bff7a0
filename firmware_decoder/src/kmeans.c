/* Codec 3: indices into codebooks (docs/format.md section 10). */
#include "internal.h"

#if NCD_ENABLE_KMEANS

#if NCD_MVE
#include <arm_mve.h>
#endif

enum { FIXED = 0, PREFIX = 1, RANS = 2 };
enum { TABLE_SHARED = 4, SCALES = 8, BOOK_SHARED = 16, GROUPS = 32, STEP = 64 };

/* ---- Header ---- */

/* Reads a codebook, or `count` of one type and size. */
static ncd_status read_book(ncd_cursor *c, uint32_t count, ncd_tensor *t)
{
    const uint32_t type = ncd_get_u8(c), size = ncd_get_u8(c) + 1u;
    if (ncd_is_bad(c))
        return NCD_ERR_CORRUPT;
    if (type > NCD_CENTROID_I8)
        return NCD_ERR_UNSUPPORTED;
    t->centroid_type = (uint8_t)type;
    t->centroids = (uint16_t)size;
    t->book = c->p;
    ncd_get_fields(c, count, 8u * ncd_centroid_size(type) * size);
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : NCD_OK;
}

/* The codebook, or those of the groups. */
static ncd_status find_book(const ncd_model *m, ncd_cursor *c, uint32_t mode, ncd_tensor *t)
{
    uint32_t count = 1;
    if (mode & GROUPS) {
        t->group_rows = ncd_get_varint32(c);
        if (t->group_rows - 1u >= t->rows - 1u)
            return NCD_ERR_CORRUPT;
        count = (t->rows - 1u) / t->group_rows + 1u;
    }
    if (mode & BOOK_SHARED) {
        ncd_cursor shared;
        ncd_status status = ncd_model_shared(m, c, NCD_SHARED_BOOK, &shared);
        if (status == NCD_OK)
            status = read_book(&shared, 1, t);
        return status == NCD_OK && shared.p != shared.end ? NCD_ERR_CORRUPT : status;
    }
    return read_book(c, count, t);
}

/* The table of coding 1 or 2. `least`: bits that a code takes at least; 0: the code is constant. */
static ncd_status find_table(const ncd_model *m, ncd_cursor *c, uint32_t mode, ncd_tensor *t, uint32_t *least)
{
    const int prefix = (mode & 3u) == PREFIX;
    ncd_cursor shared, *from = c;
    ncd_status status;
    if (mode & TABLE_SHARED) {
        status = ncd_model_shared(m, c, prefix ? NCD_SHARED_TABLE : NCD_SHARED_FREQUENCIES, &shared);
        if (status != NCD_OK)
            return status;
        from = &shared;
    }
    t->tables[0] = from->p;
#if NCD_ENABLE_HUFFMAN
    if (prefix) {
        status = ncd_table_read(from);
        if (status == NCD_OK && !ncd_table_is_ranks(t->tables[0]))
            status = NCD_ERR_UNSUPPORTED;
        if (status == NCD_OK && ncd_table_symbols(t->tables[0]) > t->centroids)
            status = NCD_ERR_CORRUPT;
        *least = status == NCD_OK ? ncd_table_min(t->tables[0]) : 0;
    } else
#endif
    {
        uint32_t constant;
        status = ncd_frequencies_read(from, t->centroids, &constant);
        *least = constant == UINT32_MAX;
        if (!*least)
            t->constant = (uint8_t)constant;
    }
    return status == NCD_OK && from != c && from->p != from->end ? NCD_ERR_CORRUPT : status;
}

ncd_status ncd_kmeans_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    ncd_status status;
    uint32_t mode, least;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (ncd_is_bad(&c))
        return NCD_ERR_CORRUPT;
    t->coding = mode & 3u;
    if (mode >> 7 || t->coding > RANS || (t->coding == FIXED && (mode & TABLE_SHARED)) ||
        (mode & (BOOK_SHARED | GROUPS)) == (BOOK_SHARED | GROUPS) || (mode & (SCALES | STEP)) == SCALES ||
        (t->coding == PREFIX && !NCD_ENABLE_HUFFMAN))
        return NCD_ERR_UNSUPPORTED;
    if (t->dtype > NCD_F64)
        return NCD_ERR_CORRUPT;
    status = ncd_tiles_cut(t, ncd_get_varint32(&c));
    if (status == NCD_OK)
        status = find_book(m, &c, mode, t);
    if (status != NCD_OK)
        return status;
    t->mode = t->centroid_type == NCD_CENTROID_I8 ? NCD_MODE_LEVELS : NCD_MODE_INDICES;
    if (t->mode == NCD_MODE_LEVELS) {
        if (!(mode & STEP))
            return NCD_ERR_UNSUPPORTED;
        if (!t->group_rows)
            t->map = t->book;
    }
    if (mode & STEP) {
        status = ncd_tensor_read_scales(t, &c, mode & SCALES);
        if (status != NCD_OK)
            return status;
    }
    if (t->coding == FIXED) {
        uint32_t width = 0;
        while ((uint32_t)1 << width < t->centroids)
            ++width;
        if ((uint32_t)1 << width != t->centroids || ncd_is_bad(&c))
            return NCD_ERR_CORRUPT;
        t->size_width = (uint8_t)width;
        t->data = c.p;
        /* n * width bits; the elements are below 2^56. */
        if ((((uint64_t)t->rows * t->cols) * width + 7) >> 3 != (uint64_t)(size_t)(c.end - c.p))
            return NCD_ERR_CORRUPT;
        return NCD_OK;
    }
    status = find_table(m, &c, mode, t, &least);
    if (status != NCD_OK)
        return status;
    if (least == 0)
        t->is_constant = 1;
    else if (t->coding == RANS) /* which may take no data at all */
        return ncd_tiles_read_index(t, &c);
    return ncd_tensor_read_data(t, &c, (uint64_t)t->rows * t->cols * least);
}

/* ---- Tables ---- */

/* The look-up hangs on the table and, mapped, on the codebook as well. One of the tensor's own tells both. The place of a shared
 * one is spread over all bits: then no other such pair gives the sum, but by a chance of 2^-32; and turned, as both move
 * alike from one stream to another. */
static uint32_t tag_of(const ncd_tensor *t)
{
    const uint32_t spread = (uint32_t)(uintptr_t)t->map * 0x9E3779B1u;
    if ((uintptr_t)t->map - (uintptr_t)t->payload < (size_t)(t->end - t->payload))
        return ncd_tag(t->map, 0);
    return ncd_tag(t->tables[0], spread >> 16 | spread << 16);
}

size_t ncd_kmeans_workspace(const ncd_tensor *t)
{
    if (t->coding == FIXED || t->is_constant)
        return 0;
    return t->coding == PREFIX ? NCD_HUFFMAN_WORKSPACE : NCD_RANS_WORKSPACE((size_t)t->tables[0][0]);
}

void ncd_kmeans_prepare(const ncd_tensor *t, uint32_t *workspace)
{
#if NCD_ENABLE_HUFFMAN
    if (t->coding == PREFIX) {
        ncd_table_build(t->tables[0], workspace);
        ncd_table_map(t->map, workspace);
        workspace[0] = tag_of(t);
        return;
    }
#endif
    workspace[0] = tag_of(t);
    ncd_rans_build(t->tables[0], t->map, workspace + 1);
}

/* ---- Tiles ---- */

#define TAKE()                                             \
    do {                                                   \
        const uint32_t index = window & mask;              \
        window >>= width;                                  \
        *dst++ = mapped ? map[index] : (uint8_t)index;     \
    } while (0)

/* Takes `turn` fields at a time, as many as the 32 bits hold that are loaded: the first of them begins at bit `latest` of
 * a byte, or before, else one is taken alone. Turn and latest are constants where this is called; the loop over a turn is
 * unrolled by hand because -O2 does not. */
NCD_INLINE void take_fields(const uint8_t *src, const uint8_t *end, uint32_t bit, const uint32_t width,
                            const uint32_t turn, const uint32_t latest, const uint8_t *map, const int mapped,
                            uint8_t *dst, uint32_t n)
{
    const uint32_t mask = ((uint32_t)1 << width) - 1u;
    uint32_t window;
    while (n > 0) {
        while (n >= turn && (latest == 7 || bit <= latest) && end - src >= 4) {
            window = ncd_load_u32(src) >> bit;
            TAKE();
            TAKE();
            TAKE();
            TAKE();
            if (turn > 4)
                TAKE();
            if (turn > 5)
                TAKE();
            if (turn > 6) {
                TAKE();
                TAKE();
            }
            n -= turn;
            bit += turn * width;
            src += bit >> 3;
            bit &= 7u;
        }
        if (n == 0)
            return;
        window = (uint32_t)*src >> bit;
        if (bit + width > 8u)
            window |= (uint32_t)src[1] << (8u - bit);
        TAKE();
        --n;
        bit += width;
        src += bit >> 3;
        bit &= 7u;
    }
}

/* Eight fields at a time of 3 or 4 bits, a constant where this is called: 24 bits, whose first may be any of a byte, or
 * whole words. */
NCD_INLINE void take_eights(const uint8_t **source, const uint8_t *end, const uint32_t bit, const uint32_t width,
                            const uint8_t *map, uint8_t **to, uint32_t *left)
{
    const uint32_t mask = ((uint32_t)1 << width) - 1u;
    const uint8_t *src = *source;
    uint8_t *dst = *to;
    uint32_t n = *left, window;
    for (; n >= 8 && end - src >= 4; n -= 8, src += width, dst += 8) {
        window = ncd_load_u32(src) >> bit;
        dst[0] = map[window & mask];
        dst[1] = map[window >> width & mask];
        dst[2] = map[window >> 2 * width & mask];
        dst[3] = map[window >> 3 * width & mask];
        dst[4] = map[window >> 4 * width & mask];
        dst[5] = map[window >> 5 * width & mask];
        dst[6] = map[window >> 6 * width & mask];
        dst[7] = map[window >> 7 * width & mask];
    }
    *source = src;
    *to = dst;
    *left = n;
}

#if NCD_MVE
/* Sixteen fields of 4 bits at a time, from the first bit of a byte on. */
NCD_INLINE void take_sixteens(const uint8_t **source, const uint8_t *end, const uint8_t *map, uint8_t **to, uint32_t *left)
{
    const uint8_t *src = *source;
    uint8_t *dst = *to;
    uint32_t n = *left;
    for (; n >= 16 && end - src >= 8; n -= 16, src += 8, dst += 16) {
        const uint16x8_t pairs = vldrbq_u16(src); /* a byte to a lane, which then moves apart */
        const uint16x8_t apart = vandq_u16(vorrq_u16(pairs, vshlq_n_u16(pairs, 4)), vdupq_n_u16(0x0F0F));
        vstrbq_u8(dst, vldrbq_gather_offset_u8(map, vreinterpretq_u8_u16(apart)));
    }
    *source = src;
    *to = dst;
    *left = n;
}

/* Eight fields of 1 to 8 bits at a time, each in a lane of two bytes, which may begin at any bit. */
NCD_INLINE void take_lanes(const uint8_t **source, const uint8_t *end, uint32_t bit, uint32_t width, const uint8_t *map,
                           uint8_t **to, uint32_t *left)
{
    const uint16x8_t at = vmlaq_n_u16(vdupq_n_u16((uint16_t)bit), vidupq_n_u16(0, 1), (uint16_t)width);
    const uint16x8_t low = vshrq_n_u16(at, 3), high = vaddq_n_u16(low, 1);
    const int16x8_t down = vnegq_s16(vreinterpretq_s16_u16(vandq_u16(at, vdupq_n_u16(7))));
    const uint16x8_t mask = vdupq_n_u16((uint16_t)((1u << width) - 1u));
    const uint8_t *src = *source;
    uint8_t *dst = *to;
    uint32_t n = *left;
    for (; n >= 8 && end - src >= (ptrdiff_t)width + 2; n -= 8, src += width, dst += 8) {
        const uint16x8_t above = vshlq_n_u16(vldrbq_gather_offset_u16(src, high), 8);
        const uint16x8_t both = vorrq_u16(vldrbq_gather_offset_u16(src, low), above);
        vstrbq_u16(dst, vldrbq_gather_offset_u16(map, vandq_u16(vshlq_u16(both, down), mask)));
    }
    *source = src;
    *to = dst;
    *left = n;
}
#endif

NCD_INLINE void take(const ncd_tensor *t, uint64_t first, const uint8_t *map, const int mapped, uint8_t *dst, uint32_t n)
{
    const uint8_t *src = t->data + (size_t)(first >> 3), *const end = t->end;
    const uint32_t bit = (uint32_t)first & 7u, width = t->size_width;
#if NCD_MVE
    if (mapped && width == 4 && bit == 0)
        take_sixteens(&src, end, map, &dst, &n);
    else if (mapped)
        take_lanes(&src, end, bit, width, map, &dst, &n);
#endif
    if (mapped && width == 4 && bit == 0)
        take_eights(&src, end, 0, 4, map, &dst, &n);
    else if (mapped && width == 3)
        take_eights(&src, end, bit, 3, map, &dst, &n);
    if (width == 8)
        for (; n > 0; --n, ++src, ++dst)
            *dst = mapped ? map[*src] : *src;
    else if (width <= 3)
        take_fields(src, end, bit, width, 8, 7, map, mapped, dst, n);
    else if (width == 4)
        take_fields(src, end, bit, 4, 6, 7, map, mapped, dst, n);
    else if (width == 5)
        take_fields(src, end, bit, 5, 5, 7, map, mapped, dst, n);
    else /* four of 7 bits end where the first begins, or four bits off */
        take_fields(src, end, bit, width, 4, 4, map, mapped, dst, n);
}

static NCD_NOINLINE void take_indices(const ncd_tensor *t, uint64_t first, uint8_t *dst, uint32_t n)
{
    take(t, first, NULL, 0, dst, n);
}

static NCD_NOINLINE void take_mapped(const ncd_tensor *t, uint64_t first, uint8_t *dst, uint32_t n)
{
    take(t, first, t->map, 1, dst, n);
}

static ncd_status decode(const ncd_tensor *t, uint32_t tile, uint32_t row, uint32_t col, uint8_t *dst, uint32_t n,
                         const uint32_t *workspace)
{
    const uint8_t *src;
    size_t size;
    ncd_status status;

    if (t->is_constant || (t->coding == FIXED && t->size_width == 0)) {
        NCD_FILL(dst, t->map ? t->map[t->constant] : t->constant, n);
        return NCD_OK;
    }
    if (t->coding == FIXED) {
        const uint64_t first = ((uint64_t)row * t->cols + col) * t->size_width;
        if (t->map)
            take_mapped(t, first, dst, n);
        else
            take_indices(t, first, dst, n);
        return NCD_OK;
    }
    if (!NCD_GIVEN(workspace) || !NCD_GIVEN(((uintptr_t)workspace & 3u) == 0) || workspace[0] != tag_of(t))
        return NCD_ERR_WORKSPACE;
    status = ncd_tiles_extent(t, tile, &src, &size);
    if (status != NCD_OK)
        return status;
#if NCD_ENABLE_HUFFMAN
    if (t->coding == PREFIX)
        return ncd_huffman_symbols(t, workspace, src, size, dst, n);
#endif
    return ncd_rans_decode(t->tables[0][0], workspace + 1, src, size, dst, n);
}

ncd_status ncd_kmeans_tile(const ncd_tensor *t, uint32_t tile, uint8_t *dst, const uint32_t *workspace)
{
    uint32_t row, col, rows, cols, i;
    ncd_status status;
    (void)ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    status = decode(t, tile, row, col, dst, rows * cols, workspace);
    if (status != NCD_OK || t->mode != NCD_MODE_LEVELS || t->map)
        return status;
    /* A codebook for each group of rows. */
    for (; rows > 0; --rows, ++row) {
        const uint8_t *const book = t->book + (size_t)(row / t->group_rows) * t->centroids;
        for (i = 0; i < cols; ++i, ++dst)
            *dst = book[*dst];
    }
    return NCD_OK;
}

ncd_status ncd_tensor_prepare_indices(const ncd_tensor *t, void *workspace, size_t size)
{
    ncd_tensor plain;
    if (!NCD_GIVEN(t) || t->codec != NCD_CODEC_KMEANS)
        return NCD_ERR_ARG;
    plain = *t;
    plain.map = NULL;
    return ncd_tensor_prepare(&plain, workspace, size);
}

ncd_status ncd_decode_tile_indices(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                   const void *workspace)
{
    uint32_t row, col, rows, cols;
    ncd_tensor plain;
    ncd_status status;
    if (!NCD_GIVEN(t) || !NCD_GIVEN(dst) || t->codec != NCD_CODEC_KMEANS)
        return NCD_ERR_ARG;
    status = ncd_tile_place(t, tile, &row, &col, &rows, &cols);
    if (status != NCD_OK)
        return status;
    if (capacity < rows * cols)
        return NCD_ERR_CAPACITY;
    plain = *t;
    plain.map = NULL;
    return decode(&plain, tile, row, col, dst, rows * cols, (const uint32_t *)workspace);
}

ncd_status ncd_codebook(const ncd_tensor *t, uint32_t row, const uint8_t **centroids, uint32_t *count)
{
    if (!NCD_GIVEN(t) || !NCD_GIVEN(centroids) || !NCD_GIVEN(count) || t->codec != NCD_CODEC_KMEANS || row >= t->rows)
        return NCD_ERR_ARG;
    *count = t->centroids;
    *centroids = t->book;
    if (t->group_rows)
        *centroids += (size_t)(row / t->group_rows) * t->centroids * ncd_centroid_size(t->centroid_type);
    return NCD_OK;
}

#endif
