/* Codec 2: canonical prefix codes, levels and lossless (docs/format.md section 6). */
#include "internal.h"

#if NCD_ENABLE_HUFFMAN

/* ---- Header ---- */

enum { TABLE_OWN = 1, TABLE_SHARED = 2, LEVELS_SHARED = 4, LEVELS_SCALES = 8 };

static ncd_status read_table(const ncd_model *m, ncd_cursor *c, uint32_t shared, const uint8_t **table)
{
    if (shared) {
        const uint32_t index = ncd_get_varint32(c);
        return ncd_is_bad(c) ? NCD_ERR_CORRUPT : ncd_model_table(m, index, table);
    }
    *table = c->p;
    return ncd_table_read(c);
}

static ncd_status bind_levels(const ncd_model *m, ncd_tensor *t, ncd_cursor *c, uint32_t mode)
{
    uint64_t bits;
    ncd_status status = ncd_tensor_read_scales(t, c, mode & LEVELS_SCALES);
    if (status != NCD_OK)
        return status;
    status = read_table(m, c, mode & LEVELS_SHARED, &t->tables[0]);
    if (status != NCD_OK)
        return status;
    if (ncd_table_is_ranks(t->tables[0]))
        return NCD_ERR_UNSUPPORTED;
    bits = ncd_table_min(t->tables[0]);
#if NCD_FULL_CHECK
    {
        const uint64_t n = (uint64_t)t->rows * t->cols;
        bits *= ncd_table_is_double(t->tables[0]) ? (n + 1) >> 1 : n;
    }
#endif
    return ncd_tensor_read_data(t, c, bits);
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
        if (ncd_is_bad(c))
            return NCD_ERR_CORRUPT;
        if (kind > TABLE_SHARED)
            return NCD_ERR_UNSUPPORTED;
        if (kind != 0) {
            const ncd_status status = read_table(m, c, kind == TABLE_SHARED, &t->tables[p]);
            if (status != NCD_OK)
                return status;
            if (ncd_table_is_ranks(t->tables[p]))
                return NCD_ERR_UNSUPPORTED;
            if (ncd_table_is_double(t->tables[p]))
                return NCD_ERR_CORRUPT;
            length = ncd_table_min(t->tables[p]);
        }
        bits += codes * length;
    }
    return ncd_tensor_read_data(t, c, bits);
}
#endif

ncd_status ncd_huffman_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    uint32_t mode;
    ncd_status status;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (mode != NCD_MODE_LOSSLESS || !NCD_ENABLE_LOSSLESS) {
        if (mode & ~(uint32_t)(LEVELS_SHARED | LEVELS_SCALES))
            return NCD_ERR_UNSUPPORTED;
        t->mode = NCD_MODE_LEVELS;
    }
    status = ncd_tiles_cut(t, ncd_get_varint32(&c));
    if (status != NCD_OK)
        return status;
#if NCD_ENABLE_LOSSLESS
    if (t->mode == NCD_MODE_LOSSLESS)
        return bind_lossless(m, t, &c);
#endif
    return bind_levels(m, t, &c, mode);
}

/* ---- The loop that decoding spends its time in ----
 *
 * A window w holds the next bits of the stream, the first lowest. A look-up by its low K bits gives one or two symbols
 * and how many bits they took. Several look-ups go between refills; how the window is refilled suits the machine: */

#define NCD_REFILL_BYTES 0 /* 32 bits, byte by byte: any machine */
#define NCD_REFILL_16 1    /* little-endian without unaligned loads: half-words, into a window that shifts */
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

/* LOOKUPS: between refills, out of the bits that are sure to be there after one. */
#if NCD_REFILL == NCD_REFILL_64
typedef uint64_t window;
#define LOOKUPS (57 / NCD_HUFFMAN_LOOKUP_BITS)
#elif NCD_REFILL == NCD_REFILL_16
typedef uint32_t window;
#define LOOKUPS (16 / NCD_HUFFMAN_LOOKUP_BITS)
#else
typedef uint32_t window;
#define LOOKUPS (25 / NCD_HUFFMAN_LOOKUP_BITS)
#endif

/* One turn of the loop stores up to 2 * LOOKUPS symbols, and reads up to READ bytes from the one on which the next code
 * begins. */
enum { STORED = 2 * LOOKUPS, READ = sizeof(window) };

#if NCD_REFILL == NCD_REFILL_16
NCD_INLINE window load_half(const uint8_t *p)
{
    uint16_t half;
    NCD_COPY(&half, NCD_ALIGNED(p, 2), 2);
    return half;
}
#elif NCD_REFILL == NCD_REFILL_BYTES
NCD_INLINE window load(const uint8_t *p)
{
    return p[0] | (window)p[1] << 8 | (window)p[2] << 16 | (window)p[3] << 24;
}
#else
NCD_INLINE window load(const uint8_t *p)
{
    window w;
    NCD_COPY(&w, p, sizeof w);
    return w;
}
#endif

#if NCD_REFILL == NCD_REFILL_16

/* Shifts by the low byte of n. The core does just that; C would have it masked first. NCD_LOW keeps a value in one of
 * the eight registers that most instructions can use. */
#if defined(__GNUC__) && defined(__thumb__) && !defined(__thumb2__)
#define SHIFT_RIGHT(w, n) __asm__(".syntax unified\n\tlsrs %0, %1" : "+l"(w) : "l"(n) : "cc")
#define SHIFT_LEFT(w, n) __asm__(".syntax unified\n\tlsls %0, %1" : "+l"(w) : "l"(n) : "cc")
#define LOW(x) __asm__("" : "+l"(x))
#else
#define SHIFT_RIGHT(w, n) ((w) >>= (n) & 255u)
#define SHIFT_LEFT(w, n) ((w) <<= (n) & 255u)
#define LOW(x) NCD_KEEP(x)
#endif

/* The cores that want this variant have few registers, so e is used up field by field; what is left at the end is the
 * number of symbols. `have` holds the number of bits in the window in its low five bits; what the symbol counts leave
 * above that is never looked at. */
#define LOOK_UP()                                                 \
    do {                                                          \
        e = w << (32 - K);                                        \
        LOW(e);                                                   \
        e >>= 30 - K; /* times 4: an offset in bytes */           \
        e = *(const uint32_t *)(const void *)((const char *)lut + e); \
        o[0] = (uint8_t)e;                                        \
        e >>= 8;                                                  \
        LOW(e);                                                   \
        o[(size_t)1 << shift] = (uint8_t)e;                       \
        e >>= 8;                                                  \
        LOW(e);                                                   \
        SHIFT_RIGHT(w, e);                                        \
        LOW(w);                                                   \
        have -= e;                                                \
        LOW(have);                                                \
        e >>= 8;                                                  \
        LOW(e);                                                   \
        o += e << shift;                                          \
        LOW(o);                                                   \
    } while (0)

typedef struct turns {
    const uint8_t *next;
    uint8_t *o;
    window w;
    uint32_t have;
} turns;

/* Turns of the loop until o passes the fence, or until a long code comes, which then is the next one. */
NCD_INLINE void take_turns(turns *t, const uint32_t *lut, const uint8_t *fence, const uint32_t shift)
{
    window w = t->w;
    const uint8_t *next = t->next;
    uint8_t *o = t->o;
    uint32_t have = t->have, e;
    do {
        if ((have << 27 & 1u << 31) == 0) { /* below 16 */
            window half = load_half(next);
            next += 2;
            SHIFT_LEFT(half, have);
            w |= half;
            have += 16;
        }
        LOOK_UP();
#if LOOKUPS > 1
        LOOK_UP();
#endif
    } while (e && o <= fence);
    t->next = next;
    t->o = o;
    t->w = w;
    t->have = have & 31u;
}

/* Functions of their own, so that the loop has all registers. */
static NCD_NOINLINE void turns_bytes(turns *t, const uint32_t *lut, const uint8_t *fence)
{
    take_turns(t, lut, fence, 0);
}

#if NCD_ENABLE_LOSSLESS
static NCD_NOINLINE void turns_strided(turns *t, const uint32_t *lut, const uint8_t *fence, uint32_t shift)
{
    take_turns(t, lut, fence, shift);
}
#else
#define turns_strided(t, lut, fence, shift) turns_bytes(t, lut, fence)
#endif

#else

/* Stores both symbols of an entry; where there is one only, what comes next overwrites the second. */
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

#define LOOK_UP()                        \
    do {                                 \
        e = lut[w & ((1u << K) - 1)];    \
        store(o, e, shift);              \
        o += (size_t)(e >> 24) << shift; \
        NCD_KEEP(o);                     \
        w >>= e >> 16 & 255u;            \
        pos += e >> 16 & 255u;           \
    } while (0)

#endif

/* Decodes n > 0 symbols from the `size` bytes at src, a symbol to every 2^shift-th byte. Reads ahead up to `limit`, the
 * end of the payload. A map is in the look-up already. Gives the bytes that the codes took, whose last bits must be zero, or SIZE_MAX. */
NCD_INLINE size_t decode(const uint8_t *table, const uint8_t *map, const uint32_t *workspace, const uint8_t *src,
                         size_t size, const uint8_t *limit, uint8_t *o, uint32_t n, const uint32_t shift)
{
    const uint32_t *const lut = workspace + 1;
    uint8_t *const end = o + ((size_t)n << shift);
    uint32_t pos = 0;
    ncd_codes codes;

    codes.table = table;
    codes.src = src;
    codes.bits = size < 1u << 20 ? (uint32_t)size * 8 : 1u << 23; /* 65,535 codes of 15 bits are fewer */

    do {
        /* Turns may start up to this place in the output: then there is room for what they store, and since a code has
         * at most 15 bits, s symbols on the input has moved by at most 2 * s bytes. */
        const size_t room = (size_t)(end - o) >> shift, readable = (size_t)(limit - (src + (pos >> 3)));
        uint32_t e = 0, length = 0;
        if (room >= STORED && readable >= READ) {
            const size_t by_input = (readable - READ) >> 1, by_output = room - STORED;
            const uint8_t *const fence = o + ((by_output < by_input ? by_output : by_input) << shift);
#if NCD_REFILL == NCD_REFILL_16
            turns t;
            t.next = src + (pos >> 3);
            t.o = o;
            if ((uintptr_t)t.next & 1u) {
                t.w = *t.next;
                t.have = 8;
                t.next += 1;
            } else {
                t.w = load_half(t.next);
                t.have = 16;
                t.next += 2;
            }
            t.w >>= pos & 7u;
            t.have -= pos & 7u;
            if (shift == 0)
                turns_bytes(&t, lut, fence);
            else
                turns_strided(&t, lut, fence, shift);
            o = t.o;
            pos = (uint32_t)(t.next - src) * 8 - t.have;
            if (o > fence)
                continue;
            e = lut[t.w & ((1u << K) - 1)];
#else
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
            } while (NCD_LIKELY(e >> 16) && o <= fence);
            if (NCD_LIKELY(e >> 16))
                continue;
#endif
            /* A long code: its entry has moved nothing, so that the look-ups after it have met it again. */
            length = K;
        }
        /* Bit by bit, also where output or memory end. */
        e = ncd_table_walk(&codes, pos, length, e);
        if (e == 0)
            return SIZE_MAX;
        pos += e >> 16 & 255u;
        *o = map ? map[e & 255u] : (uint8_t)e;
        o += (size_t)1 << shift;
        if (e >> 24 == 2 && o != end) {
            *o = (uint8_t)(e >> 8);
            o += (size_t)1 << shift;
        }
    } while (o != end);
    if (pos > codes.bits || ((pos & 7u) && src[pos >> 3] >> (pos & 7u)))
        return SIZE_MAX;
    return (pos + 7) >> 3;
}

/* Whether the workspace was prepared for this table. */
static int prepared(const uint8_t *table, const uint32_t *workspace)
{
    return NCD_GIVEN(workspace) && NCD_GIVEN(((uintptr_t)workspace & 3u) == 0) &&
           workspace[0] == ncd_tag(table, 0);
}

ncd_status ncd_huffman_levels(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace)
{
    const uint8_t *const table = t->tables[0];
    const uint8_t *src;
    size_t size;
    ncd_status status;

    if (ncd_table_min(table) == 0) {
        const uint32_t e = ncd_table_entry(table, 0, 0);
        uint32_t i;
        for (i = 0; i < n; ++i)
            dst[i] = (uint8_t)(e >> (i & 1u) * 8);
        return NCD_OK;
    }
    if (!prepared(table, workspace))
        return NCD_ERR_WORKSPACE;
    status = ncd_tiles_extent(t, tile, &src, &size);
    if (status == NCD_OK && decode(table, NULL, workspace, src, size, t->end, dst, n, 0) != size)
        status = NCD_ERR_CORRUPT;
    return status;
}

#if NCD_ENABLE_KMEANS
ncd_status ncd_huffman_symbols(const ncd_tensor *t, const uint32_t *workspace, const uint8_t *src, size_t size,
                               uint8_t *dst, uint32_t n)
{
    return decode(t->tables[0], t->map, workspace, src, size, t->end, dst, n, 0) == size ? NCD_OK : NCD_ERR_CORRUPT;
}
#endif

#if NCD_ENABLE_LOSSLESS

#if NCD_REFILL == NCD_REFILL_64
/* On a host, by words: compilers make vectors of these loops. */
static void rotate_words(uint8_t *p, size_t n, uint32_t size)
{
    size_t i;
    if (size == 4) {
        for (i = 0; i < n; ++i) {
            uint32_t x;
            NCD_COPY(&x, p + 4 * i, 4);
            x = x >> 1 | x << 31;
            NCD_COPY(p + 4 * i, &x, 4);
        }
    } else {
        for (i = 0; i < n; ++i) {
            uint16_t x;
            NCD_COPY(&x, p + 2 * i, 2);
            x = (uint16_t)(x >> 1 | x << 15);
            NCD_COPY(p + 2 * i, &x, 2);
        }
    }
}
#endif

/* Undoes the rotation by one bit: the low bit of an element, its sign, becomes the top bit again. */
static void rotate(uint8_t *p, uint32_t n, uint32_t size)
{
#if NCD_REFILL == NCD_REFILL_64
    if (size <= 4) {
        rotate_words(p, n, size);
        return;
    }
#endif
    for (; n > 0; --n) {
        const uint32_t first = p[0];
        uint32_t i;
        for (i = 0; i + 1 < size; ++i, ++p)
            p[0] = (uint8_t)(p[0] >> 1 | p[1] << 7);
        p[0] = (uint8_t)(p[0] >> 1 | first << 7);
        ++p;
    }
}

/* Element bytes of one plane. */
static void spread(uint8_t *o, const uint8_t *src, uint32_t n, uint32_t shift)
{
    size_t i;
#if NCD_REFILL == NCD_REFILL_64
    if (shift == 2) { /* a loop that knows the distance is faster */
        for (i = 0; i < n; ++i)
            o[4 * i] = src[i];
        return;
    }
    if (shift == 1) {
        for (i = 0; i < n; ++i)
            o[2 * i] = src[i];
        return;
    }
#endif
    for (i = 0; i < n; ++i)
        o[i << shift] = src[i];
}

ncd_status ncd_huffman_lossless(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n,
                                const uint32_t *workspace)
{
    const uint8_t *const limit = t->end;
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
            if (n > size)
                return NCD_ERR_CORRUPT;
            spread(dst + (planes - 1 - p), src, n, shift);
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
        if (!prepared(table, workspace))
            return NCD_ERR_WORKSPACE;
        used = decode(table, NULL, workspace, src, size, limit, o, n, shift);
        if (used > size)
            return NCD_ERR_CORRUPT;
        src += used;
        size -= used;
        workspace += NCD_HUFFMAN_WORKSPACE / 4;
    }
    if (size != 0)
        return NCD_ERR_CORRUPT;
    if (t->dtype <= NCD_F64)
        rotate(dst, n, planes);
    return NCD_OK;
}

#endif
#endif
