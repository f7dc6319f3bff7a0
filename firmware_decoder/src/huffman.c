/* Codec 2: canonical prefix codes, levels and lossless (docs/format.md section 6). */
#include <string.h>

#include "internal.h"

#if NCD_ENABLE_HUFFMAN

/* ---- Header ---- */

enum { TABLE_OWN = 1, TABLE_SHARED = 2, LEVELS_SHARED = 4, LEVELS_SCALES = 8 };

static ncd_status read_table(const ncd_model *m, ncd_cursor *c, int shared, const uint8_t **table)
{
    if (shared) {
        const uint32_t index = ncd_get_varint32(c);
        return c->bad ? NCD_ERR_CORRUPT : ncd_model_table(m, index, table);
    }
    *table = c->p;
    return ncd_table_read(c);
}

/* Reads the index, and checks that the data can hold `bits`. */
static ncd_status read_data(ncd_tensor *t, ncd_cursor *c, uint64_t bits)
{
    ncd_status status = NCD_OK;
    t->data = c->p;
    if (bits == 0) /* constant: neither index nor data */
        return c->p == c->end ? NCD_OK : NCD_ERR_CORRUPT;
    status = ncd_tiles_read_index(t, c);
    if (status == NCD_OK && (bits + 7) >> 3 > (uint64_t)(size_t)(c->end - c->p))
        status = NCD_ERR_CORRUPT;
    return status;
}

static ncd_status bind_levels(const ncd_model *m, ncd_tensor *t, ncd_cursor *c, uint32_t mode)
{
    uint64_t codes = (uint64_t)t->rows * t->cols;
    ncd_status status;

    t->step_bits = ncd_get_u32(c);
    if (c->bad || t->dtype > NCD_F64 || t->step_bits == 0 || t->step_bits >= 0x7F800000u)
        return NCD_ERR_CORRUPT; /* the step is finite and positive */
    if (mode & LEVELS_SCALES) {
        const uint32_t width = ncd_get_u8(c);
        if (width >> 4)
            return NCD_ERR_UNSUPPORTED;
        if (width < 1 || width > 8)
            return NCD_ERR_CORRUPT;
        t->scale_width = (uint8_t)width;
        t->scales = ncd_get_bytes(c, ((uint64_t)t->rows * width + 7) >> 3);
    }
    if (c->bad)
        return NCD_ERR_CORRUPT;
    status = read_table(m, c, (mode & LEVELS_SHARED) != 0, &t->tables[0]);
    if (status != NCD_OK)
        return status;
    if (ncd_table_is_pairs(t->tables[0]))
        codes = (codes + 1) >> 1;
    return read_data(t, c, codes * ncd_table_min(t->tables[0]));
}

#if NCD_ENABLE_LOSSLESS
static ncd_status bind_lossless(const ncd_model *m, ncd_tensor *t, ncd_cursor *c)
{
    const uint64_t codes = (uint64_t)t->rows * t->cols;
    uint64_t bits = 0;
    uint32_t p;

    if (t->elem_size > NCD_MAX_PLANES)
        return NCD_ERR_UNSUPPORTED;
    for (p = 0; p < t->elem_size; ++p) {
        const uint32_t kind = ncd_get_u8(c);
        uint32_t length = 8;
        if (c->bad)
            return NCD_ERR_CORRUPT;
        if (kind > TABLE_SHARED)
            return NCD_ERR_UNSUPPORTED;
        if (kind != 0) {
            const ncd_status status = read_table(m, c, kind == TABLE_SHARED, &t->tables[p]);
            if (status != NCD_OK)
                return status;
            if (ncd_table_is_pairs(t->tables[p]))
                return NCD_ERR_CORRUPT;
            length = ncd_table_min(t->tables[p]);
        }
        bits += codes * length;
    }
    return read_data(t, c, bits);
}
#endif

ncd_status ncd_huffman_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    uint32_t mode;
    ncd_status status;

    c.p = t->payload;
    c.end = t->payload + t->payload_size;
    c.bad = 0;
    mode = ncd_get_u8(&c);
    if (c.bad)
        return NCD_ERR_CORRUPT;
    t->mode = (uint8_t)(mode & 3u);
    if (mode >> 4 || t->mode > (NCD_ENABLE_LOSSLESS ? NCD_MODE_LOSSLESS : NCD_MODE_LEVELS) ||
        (t->mode == NCD_MODE_LOSSLESS && mode != NCD_MODE_LOSSLESS))
        return NCD_ERR_UNSUPPORTED;
    status = ncd_tiles_cut(t, ncd_get_varint32(&c));
    if (status != NCD_OK)
        return status;
#if NCD_ENABLE_LOSSLESS
    if (t->mode == NCD_MODE_LOSSLESS)
        return bind_lossless(m, t, &c);
#endif
    return bind_levels(m, t, &c, mode);
}

/* ---- Workspace: one table after the other ---- */

/* Whether table i of the tensor has a look-up. */
static int has_lookup(const ncd_tensor *t, uint32_t i)
{
    return t->tables[i] && ncd_table_min(t->tables[i]) != 0;
}

enum { WORKSPACE_WORDS = NCD_HUFFMAN_WORKSPACE / 4 };

size_t ncd_huffman_workspace(const ncd_tensor *t)
{
    uint32_t i, n = 0;
    for (i = 0; i < NCD_TABLES; ++i)
        n += has_lookup(t, i) ? 1u : 0u;
    return (size_t)n * NCD_HUFFMAN_WORKSPACE;
}

void ncd_huffman_prepare(const ncd_tensor *t, uint32_t *workspace)
{
    uint32_t i;
    for (i = 0; i < NCD_TABLES; ++i) {
        if (has_lookup(t, i)) {
            ncd_table_build(t->tables[i], workspace);
            workspace += WORKSPACE_WORDS;
        }
    }
}

/* ---- The loop that decoding spends its time in ----
 *
 * A window w holds the next bits of the stream, the first lowest. A look-up by its low K bits gives one or two symbols
 * and how many bits they took. Several look-ups go between refills; how the window is refilled suits the machine: */

#define NCD_REFILL_BYTES 0 /* 32 bits, byte by byte: any machine */
#define NCD_REFILL_16 1    /* little-endian without unaligned loads: half-words, to a window that shifts */
#define NCD_REFILL_32 2    /* little-endian with unaligned 32-bit loads */
#define NCD_REFILL_64 3    /* little-endian with unaligned 64-bit loads */

#ifndef NCD_REFILL
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if UINTPTR_MAX > 0xFFFFFFFFu
#define NCD_REFILL NCD_REFILL_64
#elif defined(__ARM_FEATURE_UNALIGNED) || defined(__i386__)
#define NCD_REFILL NCD_REFILL_32
#else
#define NCD_REFILL NCD_REFILL_16
#endif
#else
#define NCD_REFILL NCD_REFILL_BYTES
#endif
#endif

enum { K = NCD_HUFFMAN_LOOKUP_BITS };

/* LOOKUPS: between refills, out of the bits that are sure to be there after one.
 * STEP: bytes that one turn of the loop reads at most, and moves on by at most, a long code (15 bits) at its end
 * included. */
#if NCD_REFILL == NCD_REFILL_64
typedef uint64_t window;
#define LOOKUPS (57 / NCD_HUFFMAN_LOOKUP_BITS)
#define STEP 8u
#elif NCD_REFILL == NCD_REFILL_16
typedef uint32_t window;
#define LOOKUPS (16 / NCD_HUFFMAN_LOOKUP_BITS)
#define STEP 4u
#else
typedef uint32_t window;
#define LOOKUPS (25 / NCD_HUFFMAN_LOOKUP_BITS)
#define STEP 4u
#endif

/* Turns of the loop that n symbols of room allow: 2 * LOOKUPS each. */
NCD_INLINE uint32_t turns(uint32_t n)
{
#if LOOKUPS == 3
    return n * 43691u >> 18; /* n / 6 for n < 2^16, without a division that small cores lack */
#else
    return n / (2u * LOOKUPS);
#endif
}

#if NCD_REFILL == NCD_REFILL_64 || NCD_REFILL == NCD_REFILL_32
NCD_INLINE window load(const uint8_t *p)
{
    window w;
    NCD_COPY(&w, p, sizeof w);
    return w;
}
#elif NCD_REFILL == NCD_REFILL_BYTES
NCD_INLINE window load(const uint8_t *p)
{
    return p[0] | (window)p[1] << 8 | (window)p[2] << 16 | (window)p[3] << 24;
}
#endif

#if NCD_REFILL == NCD_REFILL_16
NCD_INLINE uint32_t load_half(const uint8_t *p)
{
    uint16_t half;
    NCD_COPY(&half, NCD_ALIGNED(p, 2), 2);
    return half;
}
#endif

/* Stores both symbols of an entry; of a single one, the second store is overwritten by what comes next. */
NCD_INLINE void store(uint8_t *o, uint32_t entry, uint32_t shift)
{
#if NCD_REFILL == NCD_REFILL_64 || NCD_REFILL == NCD_REFILL_32
    if (shift == 0) {
        const uint16_t both = (uint16_t)entry;
        NCD_COPY(o, &both, 2);
        return;
    }
#endif
    o[0] = (uint8_t)entry;
    o[(size_t)1 << shift] = (uint8_t)(entry >> 8);
}

#if NCD_REFILL == NCD_REFILL_16
#define SPEND(n) (w >>= (n), have -= (n))
#else
#define SPEND(n) (w >>= (n), pos += (n))
#endif

#define LOOK_UP()                                  \
    do {                                           \
        e = lut[w & ((1u << K) - 1)];              \
        store(o, e, shift);                        \
        o += (size_t)(e >> 24) << shift;           \
        SPEND(e >> 16 & 255u);                     \
    } while (0)

/* Decodes n > 0 symbols from the `size` bytes at src; *used: the bytes they took, whose last bits must be zero.
 * A symbol goes to every 2^shift-th byte. Reads ahead up to `limit`, the end of the memory that may be read. */
NCD_INLINE ncd_status decode(const uint8_t *table, const uint32_t *workspace, const uint8_t *src, size_t size,
                             const uint8_t *limit, uint8_t *o, uint32_t n, const uint32_t shift, size_t *used)
{
    const uint32_t *const lut = workspace + 1;
    uint8_t *const end = o + ((size_t)n << shift);
    ncd_codes codes;
    uint32_t pos = 0, e;

    if ((workspace[0] ^ ncd_table_tag(table)) >> 9)
        return NCD_ERR_WORKSPACE; /* prepared for another tensor, or not at all */
    codes.table = table;
    codes.src = src;
    codes.bits = size < 1u << 20 ? (uint32_t)size * 8 : 1u << 23; /* 65,535 codes of 15 bits are fewer */

    for (;;) {
        const uint8_t *const at = src + (pos >> 3);
        uint32_t left = turns((uint32_t)((size_t)(end - o) >> shift));
        const size_t readable = (size_t)(limit - at) / STEP;
        if (left > readable)
            left = (uint32_t)readable;
#if NCD_REFILL == NCD_REFILL_16
        {
            const uint8_t *next = at;
            uint32_t w, have;
            if (left > 0)
                --left; /* the half-word that starts the window */
            if (left == 0)
                break;
            if ((uintptr_t)at & 1u) {
                w = *next++;
                have = 8;
            } else {
                w = load_half(next);
                next += 2;
                have = 16;
            }
            w >>= pos & 7u;
            have -= pos & 7u;
            do {
                if (have < 16) {
                    w |= load_half(next) << have;
                    next += 2;
                    have += 16;
                }
                LOOK_UP();
#if LOOKUPS > 1
                LOOK_UP();
#endif
            } while (e >> 16 && --left > 0);
            pos = (uint32_t)(next - src) * 8 - have;
            if (e >> 16 == 0) {
                e = ncd_table_walk(&codes, pos, K, e, workspace[0] & 511u);
                if (e == 0)
                    return NCD_ERR_CORRUPT;
                store(o, e, shift);
                o += (size_t)(e >> 24) << shift;
                pos += e >> 16 & 255u;
            }
        }
#else
        if (left == 0)
            break;
        do {
            window w = load(src + (pos >> 3)) >> (pos & 7u);
            LOOK_UP();
            LOOK_UP();
#if LOOKUPS > 2
            LOOK_UP();
#endif
#if LOOKUPS > 3
            LOOK_UP();
#endif
#if LOOKUPS > 4
            LOOK_UP();
#endif
#if LOOKUPS > 5
            LOOK_UP();
#endif
#if LOOKUPS > 6
            LOOK_UP();
#endif
            /* A long code: its entry has moved nothing, so the look-ups after it have met it again. */
            if (e >> 16 == 0) {
                e = ncd_table_walk(&codes, pos, K, e, workspace[0] & 511u);
                if (e == 0)
                    return NCD_ERR_CORRUPT;
                store(o, e, shift);
                o += (size_t)(e >> 24) << shift;
                pos += e >> 16 & 255u;
            }
        } while (--left > 0);
#endif
    }

    /* Near the end of the output or of the input: one code at a time. */
    while (o != end) {
        e = ncd_table_walk(&codes, pos, 0, 0, 0);
        if (e == 0)
            return NCD_ERR_CORRUPT;
        *o = (uint8_t)e;
        o += (size_t)1 << shift;
        if (e >> 24 == 2 && o != end) {
            *o = (uint8_t)(e >> 8);
            o += (size_t)1 << shift;
        }
        pos += e >> 16 & 255u;
    }
    if (pos > codes.bits || ((pos & 7u) && src[pos >> 3] >> (pos & 7u)))
        return NCD_ERR_CORRUPT;
    *used = (pos + 7) >> 3;
    return NCD_OK;
}

ncd_status ncd_huffman_levels(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace)
{
    const uint8_t *const table = t->tables[0];
    const uint8_t *src;
    size_t size, used;
    ncd_status status;

    if (ncd_table_min(table) == 0) {
        const uint32_t e = ncd_table_entry(table, 0, 0);
        memset(dst, (int)(e & 255u), n);
        if (e >> 24 == 2) {
            uint32_t i;
            for (i = 1; i < n; i += 2)
                dst[i] = (uint8_t)(e >> 8);
        }
        return NCD_OK;
    }
    status = ncd_tiles_extent(t, tile, &src, &size);
    if (status == NCD_OK)
        status = decode(table, workspace, src, size, t->payload + t->payload_size, dst, n, 0, &used);
    if (status == NCD_OK && used != size)
        status = NCD_ERR_CORRUPT;
    return status;
}

#if NCD_ENABLE_LOSSLESS

/* Undoes the rotation by one bit: the low bit of an element, its sign, becomes the top bit again. */
static void rotate(uint8_t *p, uint32_t n, uint32_t size)
{
    for (; n > 0; --n) {
        uint32_t carry = p[0], i;
        for (i = 0; i + 1 < size; ++i, ++p)
            p[0] = (uint8_t)(p[0] >> 1 | p[1] << 7);
        p[0] = (uint8_t)(p[0] >> 1 | carry << 7);
        ++p;
    }
}

ncd_status ncd_huffman_lossless(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n,
                                const uint32_t *workspace)
{
    const uint8_t *const limit = t->payload + t->payload_size;
    const uint32_t planes = t->elem_size, shift = planes == 8 ? 3 : planes >> 1;
    const uint8_t *src = limit;
    size_t size = 0, used;
    uint32_t p, i;
    ncd_status status;

    if (t->data != limit) {
        status = ncd_tiles_extent(t, tile, &src, &size);
        if (status != NCD_OK)
            return status;
    }
    for (p = 0; p < planes; ++p) {
        if (!t->tables[p]) {
            uint8_t *o = dst + (planes - 1 - p);
            if (n > size)
                return NCD_ERR_CORRUPT;
            for (i = 0; i < n; ++i)
                o[(size_t)i << shift] = src[i];
            src += n;
            size -= n;
        }
    }
    for (p = 0; p < planes; ++p) {
        const uint8_t *const table = t->tables[p];
        uint8_t *o = dst + (planes - 1 - p);
        if (!table)
            continue;
        if (ncd_table_min(table) == 0) {
            const uint8_t byte = (uint8_t)ncd_table_entry(table, 0, 0);
            for (i = 0; i < n; ++i)
                o[(size_t)i << shift] = byte;
            continue;
        }
        status = decode(table, workspace, src, size, limit, o, n, shift, &used);
        if (status != NCD_OK)
            return status;
        src += used;
        size -= used;
        workspace += WORKSPACE_WORDS;
    }
    if (size != 0)
        return NCD_ERR_CORRUPT;
    if (t->dtype <= NCD_F64)
        rotate(dst, n, planes);
    return NCD_OK;
}

#endif
#endif
