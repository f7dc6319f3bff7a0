/* Tiles of codec 4 (docs/format.md section 12.2). */
#include "tiles.h"
#include "trellis.h"
#include "trellis_vector.h"

#if NCD_ENABLE_TRELLIS

enum { LOWEST = 1 << 16 };

/* One function that decodes a tile takes less stack than several that call each other. Then what is not wanted while symbols
 * are taken has to be kept from registers. */
#if NCD_TRELLIS_PREPARED && NCD_TRELLIS_CONTEXTS + NCD_TRELLIS_LIGHT + NCD_TRELLIS_RANS + NCD_TRELLIS_PREFIX == 1 && \
    defined(__GNUC__) && defined(__OPTIMIZE_SIZE__)
#define ONE_FRAME 1
#define PART NCD_INLINE
#define LOOP NCD_INLINE
#define PARK(x) __asm__("" : "+m"(x))
#define AGAIN(x) (x)
#define WHERE ncd_tile_where
#define RANGE ncd_tiles_range
#else
#define ONE_FRAME 0
#define PART static
#define LOOP static NCD_NOINLINE
#define PARK(x) ((void)0)
#define AGAIN(x) ((void)0)
#define WHERE (void)ncd_tile_place
#define RANGE ncd_tiles_extent
#endif

typedef ncd_trellis_lane lane;

/* Takes a word where the state needs one and there is one. */
#define REFILL(l)                                                              \
    do {                                                                       \
        if ((l)->x < LOWEST && (l)->src != (l)->end) {                         \
            (l)->x = (l)->x << 16 | (uint32_t)(l)->src[1] << 8 | (l)->src[0];  \
            (l)->src += 2;                                                     \
        }                                                                      \
    } while (0)

/* The same where there is a word, without a branch, which a host would often foresee wrongly. */
#define REFILL_SURE(l)                                                                                  \
    do {                                                                                                \
        const uint32_t wants = (l)->x < LOWEST;                                                         \
        (l)->x = (l)->x << (wants << 4) | (((uint32_t)(l)->src[1] << 8 | (l)->src[0]) & (0u - wants));  \
        (l)->src += wants << 1;                                                                         \
    } while (0)

/* What a model's symbols are decoded with. */
typedef struct search {
    const uint8_t *ws, *bins;
    const uint16_t *cells;
    uint32_t m, mask, narrow, bin_shift;
} search;

NCD_INLINE search search_of(const uint32_t *memory)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    search k;
    k.ws = (const uint8_t *)memory;
    k.bins = w->bins;
    k.cells = (const uint16_t *)(const void *)(k.ws + w->cells);
    k.m = w->m;
    k.mask = (1u << k.m) - 1u;
    k.narrow = k.m - NCD_TRELLIS_INDEX_LOG2;
    k.bin_shift = w->bin_shift;
    return k;
}

/* The entry of the next symbol. `many`, a constant where this is called: there is a word, should the state need one. */
NCD_INLINE uint32_t next_entry(const search *k, lane *l, const int many)
{
    const uint32_t cell = k->bins[l->a >> k->bin_shift] + (l->e >> 24 & 31u) + (l->s & 1u);
    const ncd_trellis_table *const t = (const ncd_trellis_table *)(const void *)(k->ws + 2u * k->cells[cell]);
    const uint16_t *const sums = (const uint16_t *)(const void *)(t + 1);
    const uint32_t slot = l->x & k->mask;
    const uint16_t *sum = sums + 1 + t->index[slot >> k->narrow];
    uint32_t e;
    while (slot >= sum[0])
        ++sum;
    while (slot < sum[-1])
        --sum;
    e = *(const uint32_t *)(const void *)(k->ws + t->entries + 4 * (sum - sums));
    l->x = (uint32_t)(sum[0] - sum[-1]) * (l->x >> k->m) + (slot - sum[-1]);
    if (many)
        REFILL_SURE(l);
    else
        REFILL(l);
    l->a = l->a - (l->a >> 3) + ((e >> 16 & 255u) << 4);
    l->s = l->s >> 1 ^ (e >> 8 & 255u);
    l->e = e;
    return e;
}

/* Decodes n symbols; with `wide` a constant where it is called. Gives 0 where a level does not fit. */
NCD_INLINE int take_symbols(const uint32_t *memory, lane *left, const int wide, void *out, uint32_t n)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    const search k = search_of(memory);
    lane l = *left;
    int8_t *dst8 = (int8_t *)out;
    int16_t *dst16 = (int16_t *)out;
    do {
        const uint32_t e = next_entry(&k, &l, 0);
        if (wide) {
            int32_t level = (int32_t)(e & 255u) - (int32_t)(e >> 31 << 8);
            if (w->raw_bits) {
                const uint32_t u = w->union_shift, low = (uint32_t)level & ((1u << u) - 1u);
                const uint32_t raw = l.x & ((1u << w->raw_bits) - 1u);
                l.x >>= w->raw_bits;
                REFILL(&l);
                level = (level - (int32_t)low) * (int32_t)(1u << w->raw_bits) + (int32_t)(raw << u | low);
                if (level > 32767 || level < -32768)
                    return 0;
            }
            *dst16++ = (int16_t)level;
        } else {
            *dst8++ = (int8_t)(uint8_t)e;
        }
    } while (--n > 0);
    *left = l;
    return 1;
}

/* ---- Entries that tell all of a slot, or of a code ---- */

/* What an entry tells, and which one is next. `step` is the bytes, or entries, from one quantizer's to the other's. */
#if NCD_TRELLIS_BYTE_LOADS
/* The state stands in the low byte of s. */
typedef const uint8_t *direct;
#define LEVEL(e) (e)[0]
#define BYTE1(e) (e)[1]
#define BYTE2(e) (e)[2]
#define MOVE(s, e) ((s) = (s) >> 1 ^ (e)[3])
#define STEP 0
#if defined(__riscv)
#define ALONE(x) ((void)0)
#else
#define ALONE(x) __asm__("" : "+l"(x)) /* two shifts, where compilers would load a mask */
#endif

NCD_INLINE direct direct_entry(const uint32_t *entries, uint32_t s, uint32_t bits, uint32_t step)
{
    (void)step;
    bits <<= 24;
    ALONE(bits);
    bits >>= 22;
    ALONE(bits);
    s <<= 31;
    ALONE(s);
    s >>= 31 - 2 - NCD_TRELLIS_SLOTS_LOG2;
    ALONE(s);
    return (const uint8_t *)entries + bits + s;
}

/* The same of an entry of 16 bits, whose state stands in the top nibble of a half-word. */
NCD_INLINE uint32_t code_entry(const uint32_t *entries, uint32_t s, uint32_t bits, uint32_t step)
{
    (void)step;
    bits <<= 24;
    ALONE(bits);
    bits >>= 23;
    ALONE(bits);
    s <<= 19;
    ALONE(s);
    s >>= 31;
    ALONE(s);
    s <<= 1 + NCD_TRELLIS_SLOTS_LOG2;
    ALONE(s);
    bits += s;
    ALONE(bits);
    return *(const uint16_t *)(const void *)((const uint8_t *)entries + bits);
}
#else
/* The state stands in the top byte of s; what is below is of no account. */
typedef uint32_t direct;
#define LEVEL(e) (uint8_t)(e)
#define BYTE1(e) ((e) >> 8 & 255u)
#define BYTE2(e) ((e) >> 16 & 255u)
#define MOVE(s, e) ((s) = (s) >> 1 ^ (e))
#define STEP (1u << NCD_TRELLIS_SLOTS_LOG2)
#define ALONE(x) ((void)0)

NCD_INLINE direct direct_entry(const uint32_t *entries, uint32_t s, uint32_t bits, uint32_t step)
{
    uint32_t of = s >> (24 - NCD_TRELLIS_SLOTS_LOG2) & step;
    NCD_KEEP(of); /* a shift that costs nothing, and then a sum with a byte that costs no more than a sum */
    return entries[of + (bits & 255u)];
}

NCD_INLINE uint32_t code_entry(const uint32_t *entries, uint32_t s, uint32_t bits, uint32_t step)
{
    uint32_t of = s >> (12 - NCD_TRELLIS_SLOTS_LOG2) & step;
    NCD_KEEP(of);
    return ((const uint16_t *)(const void *)entries)[of + (bits & 255u)];
}
#endif

/* n symbols, of which an entry tells all of a slot. */
LOOP void take_slots(const uint32_t *entries, lane *left, uint8_t *dst, uint32_t n)
{
    const uint8_t *const last = dst + n;
    uint32_t s = 0, step = STEP;
    lane l = *left;
    NCD_KEEP(step);
#define TAKE()                                                                      \
    do {                                                                            \
        const direct e = direct_entry(entries, s, l.x, step);                       \
        l.x = BYTE2(e) * (l.x >> NCD_TRELLIS_SLOTS_LOG2) + BYTE1(e);                \
        *dst++ = LEVEL(e);                                                          \
        MOVE(s, e);                                                                 \
        REFILL(&l);                                                                 \
    } while (0)
    if (n & 1u)
        TAKE();
    while (dst != last) {
        TAKE();
        TAKE();
    }
#undef TAKE
    left->src = l.src;
    left->x = l.x;
}

#if NCD_TRELLIS_LIGHT
/* LIGHT_FIND finds the entry of a slot, the low byte of x, in a block; s is the state of the trellis, and `ahead` what a
 * workspace says. The others say what it tells (trellis.h); LIGHT_BOTH is bytes 2 and 3. */
#if NCD_TRELLIS_BYTE_LOADS
/* The state stands in the low byte, and LIGHT_FIND moves it by a bit. */
#if defined(__thumb__) && !defined(__thumb2__) && defined(__GNUC__)
/* What compilers do not find, or do with moves between registers. The bit that is shifted out is the quantizer: the carry. */
#define LIGHT_SCALE(x, rest)                                                                        \
    do {                                                                                            \
        uint32_t off;                                                                               \
        __asm__(".syntax unified\n\tlsrs %1, %0, #8\n\tmuls %1, %2, %1\n\tsubs %0, %0, %1"          \
                : "+l"(x), "=&l"(off) : "l"(rest) : "cc");                                          \
    } while (0)
#define LIGHT_PLACE(at, s, x)                                                                       \
    __asm__(".syntax unified\n\tlsrs %1, %1, #1\n\tuxtb %0, %2\n\tadcs %0, %0, %0"                  \
            : "=&l"(at), "+l"(s) : "l"(x) : "cc")
#else
#define LIGHT_PLACE(at, s, x)                                                                       \
    do {                                                                                            \
        (at) = 2u * ((x) & 255u) + ((s) & 1u);                                                      \
        (s) >>= 1;                                                                                  \
    } while (0)
#endif
#define LIGHT_FIND(e, block, s, x, ahead)                                                           \
    uint32_t at;                                                                                    \
    const uint8_t *e;                                                                               \
    LIGHT_PLACE(at, s, x);                                                                          \
    at = (block)[at] + (ahead);                                                                     \
    e = (block) + 8u * at;                                                                          \
    NCD_KEEP(e)
#define LIGHT_NEXT(e) ((const uint16_t *)(const void *)(e))[0]
#define LIGHT_START(e) (e)[2]
#define LIGHT_REST(e) (e)[3]
#define LIGHT_BOTH(e) ((const uint16_t *)(const void *)(e))[1]
#define LIGHT_LEVEL(e) (e)[4]
#define LIGHT_MOVE(s, e) ((s) ^= (e)[5])
#else
/* It stands in bits 8-15; what is below is of no account. */
#define LIGHT_FIND(e, block, s, x, ahead)                                                           \
    uint32_t of = (s) & 1u << NCD_TRELLIS_SLOTS_LOG2, e, e##1;                                      \
    const uint8_t *at;                                                                              \
    (void)(ahead);                                                                                  \
    NCD_KEEP(of); /* a sum with a byte, then, costs no more than a sum */                           \
    at = (block) + 8u * (block)[of + ((x) & 255u)];                                                 \
    NCD_KEEP(at); /* and loads can add the rest */                                                  \
    e = ((const uint32_t *)(const void *)(at + NCD_TRELLIS_LIGHT_AT))[0];                           \
    e##1 = ((const uint32_t *)(const void *)(at + NCD_TRELLIS_LIGHT_AT))[1]
#define LIGHT_NEXT(e) ((e) & 0xFFFFu)
#define LIGHT_START(e) ((e) >> 16 & 255u)
#define LIGHT_REST(e) ((e) >> 24)
#define LIGHT_BOTH(e) ((e) >> 16)
#define LIGHT_LEVEL(e) (uint8_t)(e##1)
#define LIGHT_MOVE(s, e) ((s) = (s) >> 1 ^ e##1)
#endif

#ifndef LIGHT_SCALE
#define LIGHT_SCALE(x, rest) ((x) -= (rest) * ((x) >> NCD_TRELLIS_SLOTS_LOG2))
#endif

/* A symbol: stores its value, moves both states, and takes off x what a slot takes off but for the symbol's first slot. */
#define LIGHT_TAKE(e, x, s, to, ahead)                                                              \
    LIGHT_FIND(e, block, s, x, ahead);                                                              \
    LIGHT_SCALE(x, LIGHT_REST(e));                                                                  \
    *(to) = LIGHT_LEVEL(e);                                                                         \
    block = base + LIGHT_NEXT(e);                                                                   \
    LIGHT_MOVE(s, e)

/* With y = x - 2^16, which is below 0 where x wants a word: y -= LIGHT_BOTH(e), and takes a word, which is there, where that is
 * below 0. */
#if defined(__thumb__) && !defined(__thumb2__) && defined(__GNUC__)
/* Compilers compare before they subtract. */
#define LIGHT_REFILL(y, e, src)                                                                     \
    do {                                                                                            \
        uint32_t byte = LIGHT_BOTH(e);                                                              \
        __asm__(".syntax unified\n\tsubs %0, %0, %2\n\tbcs 0f\n\tldrb %2, [%1, #1]\n\t"             \
                "subs %0, %0, #1\n\tlsls %0, %0, #8\n\tadds %0, %0, %2\n\tldrb %2, [%1]\n\t"        \
                "lsls %0, %0, #8\n\tadds %0, %0, %2\n\tadds %1, %1, #2\n0:"                         \
                : "+l"(y), "+l"(src), "+l"(byte) : : "cc", "memory");                               \
    } while (0)
#else
#if defined(__thumb2__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
#define LIGHT_SUBTRACT(y, e, below)                                                                 \
    __asm__("subs %0, %0, %2, lsr #16" : "+r"(y), "=@cclo"(below) : "r"(e)) /* compilers take three */
#else
#define LIGHT_SUBTRACT(y, e, below)                                                                 \
    do {                                                                                            \
        (below) = (y) < LIGHT_BOTH(e);                                                              \
        (y) -= LIGHT_BOTH(e);                                                                       \
    } while (0)
#endif
#define LIGHT_REFILL(y, e, src)                                                                     \
    do {                                                                                            \
        int below;                                                                                  \
        LIGHT_SUBTRACT(y, e, below);                                                                \
        if (below) {                                                                                \
            uint32_t word = (uint32_t)(src)[1] << 8 | (src)[0];                                     \
            NCD_KEEP(word);                                                                         \
            (y) = ((y) - 1u) << 16 | word;                                                          \
            (src) += 2;                                                                             \
        }                                                                                           \
    } while (0)
#endif

NCD_INLINE uint32_t ahead_of(const uint32_t *memory)
{
    return NCD_TRELLIS_BYTE_LOADS ? ((const ncd_trellis_workspace *)(const void *)memory)->ahead : 0;
}

/* Symbols of a group, and as many bytes are the most that they take: a symbol leaves of x a 2^8th at least, which with a word is 2^24 and
 * more, so that the next symbol takes none. */
#if !defined(__OPTIMIZE_SIZE__)
#define LIGHT_GROUP 16u
#elif NCD_TRELLIS_PREPARED
#define LIGHT_GROUP (NCD_TRELLIS_BYTE_LOADS ? 8u : 12u)
#else /* one after the other */
#define LIGHT_GROUP 0u
#endif

/* n symbols, each with the table that the automaton picks. */
LOOP void take_light(const uint32_t *memory, lane *left, uint8_t *dst, uint32_t n)
{
    const uint8_t *base = (const uint8_t *)memory + NCD_TRELLIS_ENTRIES, *block;
    const uint8_t *const last = dst + n;
    const uint32_t ahead = ahead_of(memory);
    uint32_t s = left->s;
    lane l = *left;
    NCD_KEEP(base);
    block = base + left->a;
#if LIGHT_GROUP
    /* As long as there are words, whatever the symbols. What an entry takes off x for each 2^8 of it, it takes off for each of
     * y and 2^8 times besides, as LIGHT_BOTH does. */
    if (l.x >= LOWEST && ahead == 0) {
        uint32_t y = l.x - LOWEST;
        for (;;) {
            const size_t room = (size_t)(last - dst) / LIGHT_GROUP, words = (size_t)(l.end - l.src) / LIGHT_GROUP;
            const uint8_t *const stop = dst + LIGHT_GROUP * (room < words ? room : words);
            if (dst == stop)
                break;
            do {
#define TAKE(i)                                                                                     \
    do {                                                                                            \
        LIGHT_TAKE(e, y, s, dst + (i), 0);                                                          \
        LIGHT_REFILL(y, e, l.src);                                                                  \
    } while (0)
                TAKE(0);
                TAKE(1);
                TAKE(2);
                TAKE(3);
                TAKE(4);
                TAKE(5);
                TAKE(6);
                TAKE(7);
#if LIGHT_GROUP > 8
                TAKE(8);
                TAKE(9);
                TAKE(10);
                TAKE(11);
#endif
#if LIGHT_GROUP > 12
                TAKE(12);
                TAKE(13);
                TAKE(14);
                TAKE(15);
#endif
#undef TAKE
                dst += LIGHT_GROUP;
                NCD_KEEP(dst);
            } while (dst != stop);
        }
        l.x = y + LOWEST;
    }
#endif
    for (; dst != last; ++dst) {
        LIGHT_TAKE(e, l.x, s, dst, ahead);
        l.x -= LIGHT_START(e);
        REFILL(&l);
    }
    left->src = l.src;
    left->x = l.x;
#if NCD_TRELLIS_LANES > 1
    left->a = (uint32_t)(block - base);
    left->s = s;
#endif
}
#endif

/* Prefix codes. Gives 0 where the tile does not end with the last of them. */
#define TAKE_CODES(TAKE)                                                    \
    const uint8_t *const pairs = src == end ? end : end - 1;                \
    uint32_t window = 0, s = 0;                                             \
    int32_t bits = 0; /* in the window; below 0 where codes went past the end */ \
    NCD_KEEP(step);                                                         \
    for (; n >= 4; n -= 4, dst += 4) {                                      \
        FILL();                                                             \
        TAKE(0);                                                            \
        TAKE(1);                                                            \
        FILL();                                                             \
        TAKE(2);                                                            \
        TAKE(3);                                                            \
    }                                                                       \
    for (; n > 0; --n, ++dst) {                                             \
        FILL();                                                             \
        TAKE(0);                                                            \
    }                                                                       \
    return src == end && bits >= 0 && bits < 8 && window == 0
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
#define SHIFT(length)                                                       \
    do {                                                                    \
        window >>= (length);                                                \
        bits -= (int32_t)(length);                                          \
    } while (0)

LOOP int take_codes(const uint32_t *entries, const uint8_t *src, const uint8_t *end, uint8_t *dst, uint32_t n)
{
    uint32_t step = STEP;
#define TAKE(i)                                                             \
    do {                                                                    \
        const uint32_t e = code_entry(entries, s, window, step);            \
        uint32_t length = e << 20;                                          \
        ALONE(length);                                                      \
        length >>= 28;                                                      \
        dst[i] = (uint8_t)e;                                                \
        s = s >> 1 ^ e;                                                     \
        SHIFT(length);                                                      \
    } while (0)
    TAKE_CODES(TAKE);
#undef TAKE
}

LOOP int take_wide_codes(const uint32_t *entries, const uint8_t *src, const uint8_t *end, uint8_t *dst, uint32_t n)
{
    uint32_t step = STEP;
#define TAKE(i)                                                             \
    do {                                                                    \
        const direct e = direct_entry(entries, s, window, step);            \
        const uint32_t length = BYTE1(e);                                   \
        SHIFT(length);                                                      \
        dst[i] = LEVEL(e);                                                  \
        MOVE(s, e);                                                         \
    } while (0)
    TAKE_CODES(TAKE);
#undef TAKE
}
#undef TAKE_CODES
#undef FILL
#undef SHIFT

#if NCD_TRELLIS_LANES > 1
/* ---- Tiles side by side ---- */

/* What is done for each lane, by number. */
#define TWO(DO, ...) DO(0, __VA_ARGS__) DO(1, __VA_ARGS__)
#define THREE(DO, ...) DO(0, __VA_ARGS__) DO(1, __VA_ARGS__) DO(2, __VA_ARGS__)
#define FOUR(DO, ...) DO(0, __VA_ARGS__) DO(1, __VA_ARGS__) DO(2, __VA_ARGS__) DO(3, __VA_ARGS__)
#define START(q, level)            \
    lane l##q = lanes[q];          \
    level *const out##q = out[q];
#define FEWEST(q, bytes) bytes = l##q.end - l##q.src < bytes ? l##q.end - l##q.src : bytes;
#define TAKE(q, NEXT, of, many) out##q[i] = NEXT((of), &l##q, (many));
#define LEAVE(q, left) (left)[q] = l##q;

/* n symbols of each of so many tiles. NEXT gives a level, for which a state takes so many words at most: see next_entry. */
#define TAKE_SIDE(LANES, NEXT, of, level, words)                                            \
    LANES(START, level)                                                                     \
    uint32_t i = 0;                                                                         \
    for (;;) {                                                                              \
        ptrdiff_t sure = PTRDIFF_MAX; /* so many have words enough, whatever they are */    \
        LANES(FEWEST, sure)                                                                 \
        sure /= 2 * (words);                                                                \
        if (sure == 0 || i == n)                                                            \
            break;                                                                          \
        for (sure = sure < (ptrdiff_t)(n - i) ? sure : (ptrdiff_t)(n - i); sure > 0; --sure, ++i) { \
            LANES(TAKE, NEXT, of, 1)                                                        \
        }                                                                                   \
    }                                                                                       \
    for (; i < n; ++i) {                                                                    \
        LANES(TAKE, NEXT, of, 0)                                                            \
    }                                                                                       \
    LANES(LEAVE, lanes)

NCD_INLINE int8_t next_level(const search *k, lane *l, const int many)
{
    return (int8_t)(uint8_t)next_entry(k, l, many);
}

static NCD_NOINLINE void take_four_narrow(const uint32_t *memory, lane *lanes, int8_t *const *out, uint32_t n)
{
    const search k = search_of(memory);
    TAKE_SIDE(FOUR, next_level, &k, int8_t, 1)
}

static NCD_NOINLINE void take_three_narrow(const uint32_t *memory, lane *lanes, int8_t *const *out, uint32_t n)
{
    const search k = search_of(memory);
    TAKE_SIDE(THREE, next_level, &k, int8_t, 1)
}

static NCD_NOINLINE void take_two_narrow(const uint32_t *memory, lane *lanes, int8_t *const *out, uint32_t n)
{
    const search k = search_of(memory);
    TAKE_SIDE(TWO, next_level, &k, int8_t, 1)
}

/* What raw bits take, and what levels do: those that do not fit leave a bit from 2^16 on. */
typedef struct raw_search {
    search k;
    uint32_t bits, shift, beyond;
} raw_search;

NCD_INLINE int16_t next_wide(const search *k, lane *l, const int many)
{
    const uint32_t e = next_entry(k, l, many);
    return (int16_t)((int32_t)(e & 255u) - (int32_t)(e >> 31 << 8));
}

NCD_INLINE int16_t next_raw(raw_search *r, lane *l, const int many)
{
    const int32_t value = next_wide(&r->k, l, many), low = (int32_t)((uint32_t)value & ((1u << r->shift) - 1u));
    const uint32_t raw = l->x & ((1u << r->bits) - 1u);
    const int32_t level = (value - low) * (int32_t)(1u << r->bits) + (int32_t)(raw << r->shift) + low;
    l->x >>= r->bits;
    if (many)
        REFILL_SURE(l);
    else
        REFILL(l);
    r->beyond |= (uint32_t)(level + 32768);
    return (int16_t)(uint16_t)((uint32_t)level & 0xFFFFu);
}

static NCD_NOINLINE void take_four_wide(const uint32_t *memory, lane *lanes, int16_t *const *out, uint32_t n)
{
    const search k = search_of(memory);
    TAKE_SIDE(FOUR, next_wide, &k, int16_t, 1)
}

static NCD_NOINLINE int take_four_raw(const uint32_t *memory, lane *lanes, int16_t *const *out, uint32_t n)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    raw_search r;
    r.k = search_of(memory);
    r.bits = w->raw_bits;
    r.shift = w->union_shift;
    r.beyond = 0;
    {
        TAKE_SIDE(FOUR, next_raw, &r, int16_t, 2)
    }
    return r.beyond >> 16 == 0;
}

#if NCD_TRELLIS_LIGHT
NCD_INLINE int8_t next_light(const uint32_t *memory, lane *l, const int many)
{
    const uint8_t *const base = (const uint8_t *)memory + NCD_TRELLIS_ENTRIES, *block = base + l->a;
    uint8_t level;
    LIGHT_TAKE(e, l->x, l->s, &level, ahead_of(memory));
    l->x -= LIGHT_START(e);
    if (many)
        REFILL_SURE(l);
    else
        REFILL(l);
    l->a = (uint32_t)(block - base);
    return (int8_t)level;
}

static NCD_NOINLINE void take_four_light(const uint32_t *memory, lane *lanes, int8_t *const *out, uint32_t n)
{
    TAKE_SIDE(FOUR, next_light, memory, int8_t, 1)
}
#endif
#undef TWO
#undef THREE
#undef FOUR
#undef START
#undef FEWEST
#undef TAKE
#undef LEAVE
#undef TAKE_SIDE
#endif

/* ---- Tiles ---- */

PART void widen(const int8_t *narrow, int16_t *dst, uint32_t n)
{
    const int16_t *const last = dst + n;
#ifndef __OPTIMIZE_SIZE__
    for (; last - dst >= 4; dst += 4, narrow += 4) {
        dst[0] = narrow[0];
        dst[1] = narrow[1];
        dst[2] = narrow[2];
        dst[3] = narrow[3];
    }
#endif
    while (dst != last)
        *dst++ = *narrow++;
}

LOOP int take_narrow(const uint32_t *memory, lane *left, void *out, uint32_t n)
{
    return take_symbols(memory, left, 0, out, n);
}

LOOP int take_wide(const uint32_t *memory, lane *left, void *out, uint32_t n)
{
    return take_symbols(memory, left, 1, out, n);
}

/* The next `width` bits, at most 15. */
PART uint32_t take_bits(lane *left, uint32_t width)
{
    const uint32_t bits = left->x & ((1u << width) - 1u);
    left->x >>= width;
    REFILL(left);
    return bits;
}

/* ---- Open ends ---- */

#if NCD_TRELLIS_OPEN_ENDS
/* The distance of a level from the value of its symbol, which is open, in steps of its quantizer. */
PART int32_t take_distance(lane *left)
{
    const uint32_t length = take_bits(left, 4);
    return (int32_t)((1u << length) - 1u + take_bits(left, length));
}

/* FOUR finds those of four levels that are not above low and below high: nonzero bytes. */
#if (defined(__OPTIMIZE_SIZE__) && !NCD_TRELLIS_PREPARED) || !defined(__GNUC__) || \
    __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ /* the first level is the low byte of four */
#define FOUR_AT_ONCE 0
#elif defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
#define FOUR_AT_ONCE 1
#define FOUR_APART 0u /* addresses are whole multiples of four but for these bits */
#define FOUR_FITS(low, high) ((high) - (low) > 1)
#define FOUR_A(low, high) (((uint32_t)(-(low) - 1) & 255u) * 0x01010101u)
#define FOUR_B(low, high) ((uint32_t)((high) - (low) - 2) * 0x01010101u)
#define FOUR_MASK(m) (m)
#define FOUR(levels, a, b)                                                          \
    do {                                                                            \
        __asm__("uadd8 %0, %0, %1" : "+r"(levels) : "r"(a));                        \
        __asm__("uqsub8 %0, %0, %1" : "+r"(levels) : "r"(b));                       \
    } while (0)
#else
#define FOUR_AT_ONCE 1
#define FOUR_APART 3u
/* Then values are from -64 to 63, bytes are levels and 128, and neither sum carries from a byte to the next. */
#define FOUR_FITS(low, high) ((low) >= -61 && (high) <= 60)
#define FOUR_A(low, high) ((uint32_t)(high) * 0x01010101u)
#define FOUR_B(low, high) ((uint32_t)((low) + 256) * 0x01010101u)
#define FOUR(levels, a, b)                                                          \
    do {                                                                            \
        (levels) ^= 0x80808080u;                                                    \
        (levels) = ((levels) - (a)) | ((b) - (levels));                             \
    } while (0)
#define FOUR_MASK(m) ((m) & 0x80808080u)
#endif

#if !FOUR_AT_ONCE || NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LANES > 1
/* The value of a level without its raw bits; in two's complement these are below those that the quantizers share, `low`. */
NCD_INLINE int32_t without_raw(int32_t level, uint32_t shift, uint32_t low)
{
    const uint32_t sum = (uint32_t)(level + 32768) >> shift;
    return ((int32_t)sum - (int32_t)(32768u >> shift)) * (int32_t)(low + 1u) + (int32_t)((uint32_t)level & low);
}

/* Moves the levels of open symbols outwards, one after the other. Gives 0 where one does not fit. */
NCD_INLINE int move_each(const uint32_t *memory, lane *left, const int wide, void *out, uint32_t n)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    const uint32_t raw_bits = NCD_TRELLIS_CONTEXTS ? w->raw_bits : 0, shift = raw_bits + w->union_shift;
    const uint32_t low = (1u << w->union_shift) - 1u;
    const int32_t from = w->high, to = w->low;
    uint32_t i;
    if (from == 32767)
        return 1;
    for (i = 0; i < n; ++i) {
        int32_t level = wide ? ((int16_t *)out)[i] : ((int8_t *)out)[i], value = level, by;
        if (raw_bits)
            value = without_raw(level, shift, low);
        if (value < from && value > to)
            continue;
        by = take_distance(left) * (int32_t)(1u << shift);
        level += value < from ? -by : by;
        if (level != (wide ? (int16_t)level : (int8_t)level))
            return 0;
        if (wide)
            ((int16_t *)out)[i] = (int16_t)level;
        else
            ((int8_t *)out)[i] = (int8_t)level;
    }
    return 1;
}
#endif

/* Moves the levels of open symbols outwards. Gives 0 where one does not fit. Wide levels may be bytes yet, those of `narrow`, if
 * it is not null, and are widened as well. */
#if !FOUR_AT_ONCE
PART int open_ends(const uint32_t *memory, lane *left, const int wide, void *out, uint32_t n, const int8_t *narrow)
{
    (void)narrow; /* there is none */
    return move_each(memory, left, wide, out, n);
}
#else
NCD_INLINE uint32_t four_of(const int8_t *p)
{
    uint32_t four;
    NCD_COPY(&four, FOUR_APART ? (const int8_t *)NCD_ALIGNED(p, 4) : p, 4);
    return four;
}

/* Of levels that are bytes. */
NCD_INLINE int move_bytes(const uint32_t *memory, lane *left, const int wide, const int8_t *p, void *out, uint32_t n)
{
    const ncd_trellis_workspace *w = (const ncd_trellis_workspace *)(const void *)memory;
    const int8_t *const first = p, *const last = p + n;
    uint32_t a = FOUR_A(w->low, w->high), b = FOUR_B(w->low, w->high);
    NCD_KEEP(a); /* compilers would compute them again and again */
    NCD_KEEP(b);
    if (w->high == 32767)
        return 1;
    while (p != last) {
        const int8_t *stop = p; /* what is before it has been looked at */
        uint32_t open = 0;      /* a byte for each level up to stop, 0 where its symbol is not open */
        if (FOUR_FITS(w->low, w->high) && ((uintptr_t)p & FOUR_APART) == 0) {
            for (; last - p >= 16; p += 16) {
                uint32_t m0 = four_of(p), m1 = four_of(p + 4), m2 = four_of(p + 8), m3 = four_of(p + 12);
                FOUR(m0, a, b);
                FOUR(m1, a, b);
                FOUR(m2, a, b);
                FOUR(m3, a, b);
                if (FOUR_MASK(m0 | m1 | m2 | m3))
                    break;
                if (wide)
                    widen(p, (int16_t *)out + (p - first), 16);
            }
            for (; last - p >= 4; p += 4) {
                open = four_of(p);
                FOUR(open, a, b);
                open = FOUR_MASK(open);
                if (open)
                    break;
                if (wide)
                    widen(p, (int16_t *)out + (p - first), 4);
            }
            if (p == last)
                break;
            stop = p + 4;
        }
        if (!open) {
            NCD_KEEP(w); /* what is read again need not be kept */
            open = *p >= w->high || *p <= w->low;
            stop = p + 1;
            if (!wide && !open) {
                p = stop;
                continue;
            }
        }
        for (; wide ? p != stop : open != 0; ++p, open >>= 8) {
            int32_t level = *p, by;
            if (open & 255u) {
                by = take_distance(left);
                NCD_KEEP(w);
                NCD_KEEP(p);
                by *= (int32_t)(1u << w->union_shift);
                level = *p;
                level += level < w->high ? -by : by;
                if (level != (wide ? (int16_t)level : (int8_t)level))
                    return 0;
            } else if (!wide) {
                continue;
            }
            if (wide)
                ((int16_t *)out)[p - first] = (int16_t)level;
            else
                ((int8_t *)out)[p - first] = (int8_t)level;
        }
        if (wide || FOUR_APART != 0)
            p = stop;
    }
    return 1;
}

#if NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LANES > 1
/* Of levels that have 16 bits already. */
static NCD_NOINLINE int move_wide(const uint32_t *memory, lane *left, int16_t *out, uint32_t n)
{
    return move_each(memory, left, 1, out, n);
}
#endif

#ifndef __OPTIMIZE_SIZE__
static NCD_NOINLINE int move_narrow(const uint32_t *memory, lane *left, const int8_t *narrow, int16_t *out, uint32_t n)
{
    return move_bytes(memory, left, 1, narrow, out, n);
}
#endif

#ifdef __OPTIMIZE_SIZE__
PART
#else
static NCD_NOINLINE /* alone, its loop has registers enough */
#endif
int open_ends(const uint32_t *memory, lane *left, const int wide, void *out, uint32_t n, const int8_t *narrow)
{
#if NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LANES > 1
    if (wide && !narrow)
        return move_wide(memory, left, (int16_t *)out, n);
#endif
#ifdef __OPTIMIZE_SIZE__
    return move_bytes(memory, left, wide, wide ? narrow : (int8_t *)out, out, n);
#else
    return wide ? move_narrow(memory, left, narrow, (int16_t *)out, n) : move_bytes(memory, left, 0, (int8_t *)out, out, n);
#endif
}
#endif
#else
#define FOUR_AT_ONCE 0
#define open_ends(memory, left, wide, out, n, narrow) ((void)(memory), (void)(wide), 1)
#endif

/* The data of a tile. */
PART ncd_status begin(const ncd_tensor *t, uint32_t tile, const uint32_t *memory, lane *l)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    size_t size;
    ncd_status status;
#if !NCD_TRELLIS_PREPARED
    if (!NCD_GIVEN(memory) || !NCD_GIVEN(((uintptr_t)memory & 3u) == 0) || memory[0] != ncd_trellis_tag(t))
        return NCD_ERR_WORKSPACE;
#endif
    status = RANGE(t, tile, &l->src, &size);
    if (status != NCD_OK)
        return status;
    l->end = l->src + size;
    l->x = 0;
    if (NCD_TRELLIS_PREFIX && w->kind >= NCD_TRELLIS_CODES)
        return NCD_OK;
    if (size & 1u)
        return NCD_ERR_CORRUPT;
    (void)take_bits(l, 0);
    (void)take_bits(l, 0);
    l->a = w->start;
    l->s = 0;
    if (NCD_TRELLIS_CONTEXTS)
        l->e = w->first;
    return NCD_OK;
}

/* What stands behind the symbols, and whether all of the tile has been used; narrow: see open_ends. */
PART ncd_status finish(const uint32_t *memory, lane *l, int wide, void *dst, uint32_t n, const int8_t *narrow)
{
    if (l->x != 0 || l->src != l->end) {
        if (!open_ends(memory, l, wide, dst, n, narrow))
            return NCD_ERR_CORRUPT;
    } else if (narrow) {
        widen(narrow, (int16_t *)dst, n);
    }
    return l->x == 0 && l->src == l->end ? NCD_OK : NCD_ERR_CORRUPT;
}

static int is_wide(const ncd_tensor *t)
{
    return NCD_TRELLIS_WIDE && t->mode == NCD_MODE_WIDE;
}

static uint32_t kind_of(const uint32_t *memory)
{
    return ((const ncd_trellis_workspace *)(const void *)memory)->kind;
}

#if NCD_TRELLIS_SKIP
NCD_INLINE uint32_t is_coded(const ncd_tensor *t, uint32_t row)
{
    row >>= t->rows_log2;
    return (uint32_t)t->coded_rows[row >> 3] >> (row & 7u) & 1u;
}

/* Levels of a tile that are coded. */
PART uint32_t coded_of(const ncd_tensor *t, uint32_t tile)
{
    uint32_t row, col, rows, cols, coded = 0;
    WHERE(t, tile, &row, &col, &rows, &cols);
    for (rows += row; row != rows; ++row)
        coded += is_coded(t, row);
    return coded * cols;
}

/* Moves the n levels that are coded from the front of a tile to their rows: from the last one on, until all that are left are
 * coded. */
PART void place_rows(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n)
{
    const uint32_t wide = is_wide(t) ? 1 : 0;
    uint32_t row, col, rows, cols;
    const uint8_t *src = dst + (n << wide);
    WHERE(t, tile, &row, &col, &rows, &cols);
    row += rows;
    cols <<= wide;
    dst += rows * cols;
    while (src != dst) {
        uint32_t left = cols;
        const uint32_t coded = is_coded(t, --row);
        do
            *--dst = coded ? *--src : 0;
        while (--left > 0);
    }
}
#endif

/* A tile to decode. */
typedef struct job {
    const ncd_tensor *t;
    uint32_t tile;
    void *dst;
    uint32_t n; /* its levels that are coded */
#if !NCD_TRELLIS_PREPARED
    const uint32_t *memory;
#endif
} job;

#if NCD_TRELLIS_PREPARED
#define MEMORY(j) ((const uint32_t *)(const void *)(j)->t->tables[0])
#else
#define MEMORY(j) (j)->memory
#endif

/* Its levels that are coded, one behind the other. */
PART ncd_status take_levels(job *j, lane *l)
{
    const uint32_t *const entries = MEMORY(j) + NCD_TRELLIS_ENTRIES / 4;
    const uint32_t kind = kind_of(MEMORY(j));
    const int8_t *narrow = NULL;
    int wide = is_wide(j->t);
    if (NCD_TRELLIS_PREFIX && kind == NCD_TRELLIS_CODES)
        return take_codes(entries, l->src, l->end, (uint8_t *)j->dst, j->n) ? NCD_OK : NCD_ERR_CORRUPT;
    if (NCD_TRELLIS_PREFIX && NCD_TRELLIS_WIDE_CODES && kind == NCD_TRELLIS_CODES_WIDE)
        return take_wide_codes(entries, l->src, l->end, (uint8_t *)j->dst, j->n) ? NCD_OK : NCD_ERR_CORRUPT;
    if (NCD_TRELLIS_RANS && (!NCD_TRELLIS_OPEN_ENDS || kind == NCD_TRELLIS_SLOTS))
        take_slots(entries, l, (uint8_t *)j->dst, j->n);
#if NCD_TRELLIS_LIGHT
    else if (!NCD_TRELLIS_CONTEXTS || kind == NCD_TRELLIS_LIGHT_SLOTS) {
        /* Wide levels start as bytes in the second half, and are widened from the first one on. */
        take_light(MEMORY(j), l, (uint8_t *)j->dst + (wide ? j->n : 0), j->n);
        PARK(*j);
        AGAIN(wide = is_wide(j->t));
#if FOUR_AT_ONCE
        narrow = wide ? (const int8_t *)j->dst + j->n : NULL;
#else
        if (wide)
            widen((const int8_t *)j->dst + j->n, (int16_t *)j->dst, j->n);
#endif
    }
#endif
    else if (NCD_TRELLIS_CONTEXTS && (!NCD_TRELLIS_SKIP || j->n) &&
             !(wide ? take_wide(MEMORY(j), l, j->dst, j->n) : take_narrow(MEMORY(j), l, j->dst, j->n)))
        return NCD_ERR_CORRUPT;
    PARK(*j);
    AGAIN(wide = is_wide(j->t));
    return finish(MEMORY(j), l, wide, j->dst, j->n, narrow);
}

PART ncd_status take_tile(job *j)
{
    lane l;
    ncd_status status;
    if (j->t->zeros) {
        NCD_FILL(j->dst, 0, is_wide(j->t) ? 2u * (size_t)j->n : j->n);
        return NCD_OK;
    }
    PARK(*j);
#if NCD_TRELLIS_SKIP
    if (j->t->coded_rows)
        j->n = coded_of(j->t, j->tile);
    PARK(*j);
#endif
    status = begin(j->t, j->tile, MEMORY(j), &l);
    if (status != NCD_OK)
        return status;
    PARK(*j);
    status = take_levels(j, &l);
#if NCD_TRELLIS_SKIP
    PARK(*j);
    if (status == NCD_OK && j->t->coded_rows)
        place_rows(j->t, j->tile, (uint8_t *)j->dst, j->n);
#endif
    return status;
}

#if NCD_TRELLIS_PREPARED
ncd_status ncd_trellis_prepared(const ncd_tensor *t, uint32_t tile, void *dst, size_t capacity)
{
    uint32_t row, col, rows, cols;
    job j;
    j.t = t;
    j.tile = tile;
    j.dst = dst;
    if (tile >= t->tiles)
        return NCD_ERR_ARG;
    WHERE(t, tile, &row, &col, &rows, &cols);
    j.n = rows * cols;
    return capacity < j.n ? NCD_ERR_CAPACITY : take_tile(&j);
}
#else
ncd_status ncd_trellis_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *memory)
{
    job j;
    j.t = t;
    j.tile = tile;
    j.dst = dst;
    j.n = n;
    j.memory = memory;
    return take_tile(&j);
}
#endif

#if NCD_TRELLIS_LANES > 1
static int is_light(const uint32_t *memory)
{
    return NCD_TRELLIS_LIGHT && kind_of(memory) == NCD_TRELLIS_LIGHT_SLOTS;
}

/* So many tiles are faster side by side, of four some perhaps idle, than one after the other. */
static uint32_t worth(const uint32_t *memory, const int wide)
{
    return wide || is_light(memory) ? 3 : 2;
}

uint32_t ncd_trellis_together(const ncd_tensor *t, uint32_t tiles, const uint32_t *memory)
{
    if (t->zeros || !NCD_GIVEN(memory) || (kind_of(memory) != NCD_TRELLIS_SEARCH && !is_light(memory)) ||
        tiles < worth(memory, t->mode == NCD_MODE_WIDE))
        return 1;
#if NCD_TRELLIS_VECTOR
    if (kind_of(memory) == NCD_TRELLIS_SEARCH && ((const ncd_trellis_workspace *)(const void *)memory)->vector)
        return tiles < NCD_TRELLIS_TILES ? tiles : (uint32_t)NCD_TRELLIS_TILES;
#endif
    return tiles < 4 ? tiles : 4;
}

/* n symbols of each of `count` tiles, of which there are four, the idle ones alike to the first. Gives 0 where a level does not
 * fit. */
static int take_side(const uint32_t *memory, lane *lanes, uint8_t *const *out, uint32_t n, uint32_t count, const int wide)
{
    int8_t *narrow[4];
    int16_t *levels[4];
    uint32_t i;
    for (i = 0; i < 4; ++i) {
        narrow[i] = (int8_t *)out[i];
        levels[i] = (int16_t *)(void *)out[i];
    }
#if NCD_TRELLIS_LIGHT
    if (is_light(memory) && count == 1)
        take_light(memory, lanes, out[0], n);
    else if (is_light(memory))
        take_four_light(memory, lanes, narrow, n);
    else
#endif
    if (count == 1)
        return wide ? take_wide(memory, lanes, out[0], n) : take_narrow(memory, lanes, out[0], n);
    else if (wide && ((const ncd_trellis_workspace *)(const void *)memory)->raw_bits)
        return take_four_raw(memory, lanes, levels, n);
    else if (wide)
        take_four_wide(memory, lanes, levels, n);
    else if (count == 2)
        take_two_narrow(memory, lanes, narrow, n);
    else if (count == 3)
        take_three_narrow(memory, lanes, narrow, n);
    else
        take_four_narrow(memory, lanes, narrow, n);
    return 1;
}

/* Decodes n - done symbols of each of some tiles, four at a time while that is faster. Gives 0 where a level does not fit. */
static int take_tiles(const uint32_t *memory, lane *l, uint8_t *const *out, const uint32_t *n, uint32_t *done, uint32_t count,
                      const int wide)
{
    for (;;) {
        lane side[4];
        uint8_t *to[4];
        uint32_t of[4], busy = 0, least = UINT32_MAX, i;
        for (i = 0; i < count && busy < 4; ++i) {
            const uint32_t left = n[i] - done[i];
            if (!left)
                continue;
            of[busy++] = i;
            least = left < least ? left : least;
        }
        if (!busy)
            return 1;
        if (busy < worth(memory, wide))
            busy = 1;
        for (i = 0; i < 4; ++i) { /* idle lanes do what the first one does */
            const uint32_t k = of[i < busy ? i : 0];
            side[i] = l[k];
            to[i] = out[k] + ((size_t)done[k] << wide);
        }
        if (!take_side(memory, side, to, least, busy, wide))
            return 0;
        for (i = 0; i < busy; ++i) {
            l[of[i]] = side[i];
            done[of[i]] += least;
        }
    }
}

ncd_status ncd_trellis_tiles(const ncd_tensor *t, uint32_t first, uint32_t count, const uint32_t *sizes, void *dst,
                             const uint32_t *memory)
{
    const int wide = t->mode == NCD_MODE_WIDE;
    lane l[NCD_TRELLIS_TILES];
    uint8_t *out[NCD_TRELLIS_TILES], *to[NCD_TRELLIS_TILES], *at = (uint8_t *)dst;
    uint32_t n[NCD_TRELLIS_TILES], done[NCD_TRELLIS_TILES], i = 0;
    do {
        const ncd_status status = begin(t, first + i, memory, &l[i]);
        if (status != NCD_OK)
            return status;
        n[i] = sizes[i];
#if NCD_TRELLIS_SKIP
        if (t->coded_rows)
            n[i] = coded_of(t, first + i);
#endif
        done[i] = 0;
        out[i] = at;
        to[i] = at + (wide && is_light(memory) ? n[i] : 0); /* see take_levels */
        at += (size_t)sizes[i] << wide;
    } while (++i < count);
#if NCD_TRELLIS_LIGHT
    if (is_light(memory)) {
        (void)take_tiles(memory, l, to, n, done, count, 0);
        for (i = 0; wide && i < count; ++i)
            widen((const int8_t *)to[i], (int16_t *)(void *)out[i], n[i]);
    } else
#endif
    {
#if NCD_TRELLIS_VECTOR
        if (!ncd_trellis_vector_take(memory, l, to, n, done, count, wide))
            return NCD_ERR_CORRUPT;
#endif
        if (!take_tiles(memory, l, to, n, done, count, wide))
            return NCD_ERR_CORRUPT;
    }
    for (i = 0; i < count; ++i) {
        const ncd_status status = finish(memory, &l[i], wide, out[i], n[i], NULL);
        if (status != NCD_OK)
            return status;
#if NCD_TRELLIS_SKIP
        if (t->coded_rows)
            place_rows(t, first + i, out[i], n[i]);
#endif
    }
    return NCD_OK;
}
#endif

#endif
