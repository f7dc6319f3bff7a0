/* Tiles of codec 4 (docs/format.md section 12.2). */
#include "trellis.h"

#if NCD_ENABLE_TRELLIS

enum { LOWEST = 1 << 16 };

/* Takes a word where the state needs one and there is one. */
#define REFILL()                                                   \
    do {                                                           \
        if (x < LOWEST && src != end) {                            \
            x = x << 16 | (uint32_t)src[1] << 8 | src[0];          \
            src += 2;                                              \
        }                                                          \
    } while (0)

/* What is left of a tile behind its symbols. */
typedef struct rest {
    const uint8_t *src, *end;
    uint32_t x;
} rest;

/* Decodes n symbols; with `wide` a constant where it is called. Gives 0 where a level does not fit. */
NCD_INLINE int take_symbols(const uint32_t *memory, rest *left, const int wide, void *out, uint32_t n)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    const uint8_t *const ws = (const uint8_t *)memory, *const bins = w->bins;
    const uint16_t *const cells = (const uint16_t *)(const void *)(ws + w->cells);
    const uint32_t m = w->m, mask = (1u << m) - 1u, narrow = m - NCD_TRELLIS_INDEX_LOG2, bin_shift = w->bin_shift;
    const uint8_t *src = left->src, *const end = left->end;
    uint32_t x = left->x, a = w->start, s = 0, e = w->first;
    int8_t *dst8 = (int8_t *)out;
    int16_t *dst16 = (int16_t *)out;
    REFILL();
    REFILL();
    do {
        const uint32_t cell = bins[a >> bin_shift] + (e >> 24 & 31u) + (s & 1u);
        const ncd_trellis_table *const t = (const ncd_trellis_table *)(const void *)(ws + 2u * cells[cell]);
        const uint16_t *const sums = (const uint16_t *)(const void *)(t + 1);
        const uint32_t slot = x & mask;
        uint32_t i = t->index[slot >> narrow];
        while (slot >= sums[i + 1u])
            ++i;
        e = *(const uint32_t *)(const void *)(ws + t->entries + 4u * i);
        x = (uint32_t)(sums[i + 1u] - sums[i]) * (x >> m) + (slot - sums[i]);
        REFILL();
        a = a - (a >> 3) + ((e >> 16 & 255u) << 4);
        s = s >> 1 ^ (e >> 8 & 255u);
        if (wide) {
            int32_t level = (int32_t)(e & 255u) - (int32_t)(e >> 31 << 8);
            if (w->raw_bits) {
                const uint32_t u = w->union_shift, low = (uint32_t)level & ((1u << u) - 1u);
                const uint32_t raw = x & ((1u << w->raw_bits) - 1u);
                x >>= w->raw_bits;
                REFILL();
                level = (level - (int32_t)low) * (int32_t)(1u << w->raw_bits) + (int32_t)(raw << u | low);
                if (level > 32767 || level < -32768)
                    return 0;
            }
            *dst16++ = (int16_t)level;
        } else {
            *dst8++ = (int8_t)(uint8_t)e;
        }
    } while (--n > 0);
    left->src = src;
    left->x = x;
    return 1;
}

/* In the loops below the state stands in the top byte of s; what is below is of no account. */
NCD_INLINE uint32_t direct_entry(const uint32_t *entries, uint32_t s, uint32_t bits)
{
    uint32_t u = s >> 24 & 1u;
    NCD_KEEP(u); /* a bit field, and then a shift that costs nothing: one instruction less than compilers take */
    return entries[(bits & 255u) | u << NCD_TRELLIS_SLOTS_LOG2];
}

/* The same where an entry tells all of a slot. */
static NCD_NOINLINE void take_slots(const uint32_t *entries, rest *left, uint8_t *dst, uint32_t n)
{
    const uint8_t *src = left->src, *const end = left->end, *const last = dst + n;
    uint32_t x = left->x, s = 0;
    REFILL();
    REFILL();
    do {
        const uint32_t e = direct_entry(entries, s, x);
        x = (e >> 16 & 255u) * (x >> NCD_TRELLIS_SLOTS_LOG2) + (e >> 8 & 255u);
        *dst++ = (uint8_t)e;
        s = s >> 1 ^ e;
        REFILL();
    } while (dst != last);
    left->src = src;
    left->x = x;
}

/* Prefix codes. Gives 0 where the tile does not end with the last of them. */
static NCD_NOINLINE int take_codes(const uint32_t *entries, const uint8_t *src, const uint8_t *end, uint8_t *dst,
                                   uint32_t n)
{
    const uint8_t *const pairs = src == end ? end : end - 1;
    uint32_t window = 0, s = 0, e;
    int32_t bits = 0; /* in the window; below 0 where codes went past the end */
#define FILL()                                                              \
    do {                                                                    \
        if (bits < 16) {                                                    \
            if (NCD_LIKELY(src < pairs)) {                                  \
                window |= ((uint32_t)src[1] << 8 | src[0]) << bits;         \
                src += 2;                                                   \
                bits += 16;                                                 \
            } else if (src != end) {                                        \
                window |= (uint32_t)*src++ << bits;                         \
                bits += 8;                                                  \
            }                                                               \
        }                                                                   \
    } while (0)
#define TAKE(i)                                                             \
    do {                                                                    \
        e = direct_entry(entries, s, window);                               \
        window >>= e >> 8 & 255u;                                           \
        bits -= (int32_t)(e >> 8 & 255u);                                   \
        s = s >> 1 ^ e;                                                     \
        dst[i] = (uint8_t)e;                                                \
    } while (0)
    for (; n >= 4; n -= 4, dst += 4) {
        FILL();
        TAKE(0);
        TAKE(1);
        FILL();
        TAKE(2);
        TAKE(3);
    }
    for (; n > 0; --n, ++dst) {
        FILL();
        TAKE(0);
    }
#undef FILL
#undef TAKE
    return src == end && bits >= 0 && bits < 8 && window == 0;
}

static NCD_NOINLINE int take_narrow(const uint32_t *memory, rest *left, void *out, uint32_t n)
{
    return take_symbols(memory, left, 0, out, n);
}

static NCD_NOINLINE int take_wide(const uint32_t *memory, rest *left, void *out, uint32_t n)
{
    return take_symbols(memory, left, 1, out, n);
}

/* The next `width` bits, at most 15. */
static uint32_t take_bits(rest *left, uint32_t width)
{
    const uint8_t *src = left->src, *const end = left->end;
    uint32_t x = left->x;
    const uint32_t bits = x & ((1u << width) - 1u);
    x >>= width;
    REFILL();
    left->src = src;
    left->x = x;
    return bits;
}

/* Moves the levels of open symbols outwards. Gives 0 where one does not fit. */
static int open_ends(const uint32_t *memory, rest *left, const int wide, void *out, uint32_t n)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    const uint32_t shift = w->raw_bits + w->union_shift, low = (1u << w->union_shift) - 1u;
    const int32_t most = wide ? 32767 : 127;
    uint32_t i;
    if (w->high == 32767)
        return 1;
    for (i = 0; i < n; ++i) {
        int32_t level = wide ? ((int16_t *)out)[i] : ((int8_t *)out)[i], value = level, by;
        uint32_t length;
        if (w->raw_bits) { /* without them; two's complement, shifted down */
            const uint32_t sum = (uint32_t)(level + 32768) >> shift;
            value = ((int32_t)sum - (int32_t)(32768u >> shift)) * (int32_t)(low + 1u) + (int32_t)((uint32_t)level & low);
        }
        if (value < w->high && value > w->low)
            continue;
        length = take_bits(left, 4);
        by = (int32_t)((1u << length) - 1u + (length ? take_bits(left, length) : 0)) * (int32_t)(1u << shift);
        level = value >= w->high ? level + by : level - by;
        if (level > most || level < -most - 1)
            return 0;
        if (wide)
            ((int16_t *)out)[i] = (int16_t)level;
        else
            ((int8_t *)out)[i] = (int8_t)level;
    }
    return 1;
}

ncd_status ncd_trellis_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *memory)
{
    const int wide = t->mode == NCD_MODE_WIDE;
    const uint32_t *entries;
    uint32_t kind;
    rest left;
    size_t size;
    ncd_status status;

    if (t->zeros) {
        NCD_FILL(dst, 0, wide ? 2u * (size_t)n : n);
        return NCD_OK;
    }
    if (!NCD_GIVEN(memory) || !NCD_GIVEN(((uintptr_t)memory & 3u) == 0) || memory[0] != ncd_trellis_tag(t))
        return NCD_ERR_WORKSPACE;
    status = ncd_tiles_extent(t, tile, &left.src, &size);
    if (status != NCD_OK)
        return status;
    entries = memory + NCD_TRELLIS_ENTRIES / 4;
    kind = ((const ncd_trellis_workspace *)(const void *)memory)->kind;
    left.end = left.src + size;
    left.x = 0;
    if (kind == NCD_TRELLIS_CODES)
        return take_codes(entries, left.src, left.end, (uint8_t *)dst, n) ? NCD_OK : NCD_ERR_CORRUPT;
    if (size & 1u)
        return NCD_ERR_CORRUPT;
    if (kind == NCD_TRELLIS_SLOTS)
        take_slots(entries, &left, (uint8_t *)dst, n);
    else if (!(wide ? take_wide(memory, &left, dst, n) : take_narrow(memory, &left, dst, n)))
        return NCD_ERR_CORRUPT;
    if ((left.x != 0 || left.src != left.end) && !open_ends(memory, &left, wide, dst, n))
        return NCD_ERR_CORRUPT;
    return left.x == 0 && left.src == left.end ? NCD_OK : NCD_ERR_CORRUPT;
}

#endif
