/* Tiles of codec 4 side by side in vectors, with AVX2: eight tiles at a time, or sixteen, each in a lane of its own. The same
 * levels as trellis_tile.c gives (docs/format.md section 12.2), of models whose tables are searched. */
#include "quantizer.h"
#include "trellis_vector.h"

#if NCD_ENABLE_TRELLIS && NCD_TRELLIS_VECTOR

#include <immintrin.h>

enum {
    ENTRIES = 1 << 12,     /* at most: their numbers have so many bits */
    INDEX_LOG2 = 8,        /* at least, so that 4 bits of a slot are left at most */
    INDEX_ROOM = 1 << 13,  /* places of all indices that are made larger than that: they should stay in the first cache */
    WORTH = 5,             /* so many tiles are faster here than four at a time */
    CELL_LOG2 = 4,         /* log2 of the cells of a bin: sign class and quantizer */
    CHAINS = NCD_TRELLIS_TILES / 8
};

/* What the tables of a workspace look like here. Behind it are an entry for each symbol of each table that has a frequency: byte
 * 0 the symbol, bits 8-19 its first slot, bits 20-31 2^m less its frequency; then an index for each table by the first bits of
 * a slot: bits 0-11 the number of the first of these slots' entry, bits 12-15 the last of these slots that it has (more slots than
 * these can tell are never left). */
typedef struct tables {
    uint32_t index_log2, index; /* index: its offset in bytes from here on */
    int32_t lo, cap, signs[2];
    uint32_t odd;               /* what tells the quantizer of odd values from that of symbol 0 */
    uint32_t halves[2];
    uint32_t cells[NCD_TRELLIS_BINS << CELL_LOG2]; /* place of a table's index, by bits of the running magnitude */
} tables;

/* ---- Building ---- */

int ncd_trellis_vector_fits(const ncd_trellis_model *f, uint32_t tiles)
{
    return tiles >= WORTH && f->frequencies <= ENTRIES && f->values[0] <= 256;
}

static uint32_t index_log2_of(const ncd_trellis_model *f)
{
    const uint32_t count = (uint32_t)f->n_tables[0] + f->n_tables[1];
    uint32_t log2 = INDEX_LOG2;
    while (log2 < f->m && count << (log2 + 1u) <= INDEX_ROOM)
        ++log2;
    return log2;
}

uint32_t ncd_trellis_vector_size(const ncd_trellis_model *f)
{
    const uint32_t count = (uint32_t)f->n_tables[0] + f->n_tables[1];
    /* A gather takes 4 bytes of the last place's 2. */
    return (uint32_t)sizeof(tables) + 4u * f->frequencies + (2u * count << index_log2_of(f)) + 4u;
}

/* Adds the entries of a table that has sums of frequencies, whose first symbol is `symbol`, and its index. Gives the number of
 * the next entry. */
static uint32_t build_table(const uint16_t *sums, uint32_t symbol, uint32_t m, uint32_t index_log2, uint32_t *entries,
                            uint32_t number, uint16_t *index)
{
    const uint32_t slots = 1u << m, width = slots >> index_log2;
    uint32_t low = 0;
    for (; sums[0] != slots; ++sums, ++symbol) {
        const uint32_t start = sums[0], end = sums[1];
        if (start == end)
            continue;
        entries[number] = symbol | start << 8 | (slots - (end - start)) << 20;
        for (; low < end; low += width) {
            const uint32_t last = end - low - 1u;
            *index++ = (uint16_t)(number | (last < 15u ? last : 15u) << 12);
        }
        ++number;
    }
    return number;
}

void ncd_trellis_vector_build(const ncd_trellis_model *f, uint8_t *ws, uint32_t offset)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)ws;
    const uint16_t *const cells = (const uint16_t *)(const void *)(ws + w->cells);
    tables *const t = (tables *)(void *)(ws + offset);
    uint32_t *const entries = (uint32_t *)(t + 1);
    uint16_t *const index = (uint16_t *)(void *)(entries + f->frequencies);
    const uint8_t *const halves = ncd_quantizer_polynomials(f->states_log2);
    const uint32_t quantizers = ncd_quantizer_count(f->states_log2), of_class = 2u * (2u * f->n_signs + 1u);
    uint32_t place[256], number = 0, at = 0, i, k;

    t->index_log2 = index_log2_of(f);
    t->index = (uint32_t)((const uint8_t *)index - (const uint8_t *)t);
    t->lo = f->lo;
    t->cap = f->cap;
    for (i = 0; i < 2; ++i) {
        t->signs[i] = i < f->n_signs ? f->signs[i] : 256;
        t->halves[i] = halves[i];
    }
    t->odd = quantizers > 1 ? f->lo & 1u : 0;
    for (i = 0; i < of_class * f->classes; ++i) {
        place[i] = 0;
        if ((i & 1u) >= quantizers)
            continue;
        for (k = i & 1u; cells[k] != cells[i]; k += 2)
            ;
        place[i] = place[k];
        if (k == i) { /* the first cell that has this table */
            const ncd_trellis_table *const table = (const ncd_trellis_table *)(const void *)(ws + 2u * cells[i]);
            const uint32_t first = (uint32_t)sizeof *w + 4u * (i & 1u) * f->values[0] - 4u;
            number = build_table((const uint16_t *)(const void *)(table + 1), (table->entries - first) / 4u, f->m, t->index_log2,
                                 entries, number, index + at);
            place[i] = at;
            at += 1u << t->index_log2;
        }
    }
    for (i = 0; i < NCD_TRELLIS_BINS; ++i)
        for (k = 0; k < of_class; ++k)
            t->cells[i << CELL_LOG2 | k] = place[w->bins[i] + k];
}

/* ---- Decoding ---- */

#define AVX2 __attribute__((target("avx2")))
#define INLINE_AVX2 static inline __attribute__((always_inline, target("avx2")))

/* Eight tiles. Places in the data are offsets from what the first of all tiles begins with. */
typedef struct chain {
    __m256i x, a, s;   /* as those of a lane */
    __m256i sign;      /* twice the sign class of the value before */
    __m256i src, end;
    __m256i words;     /* the next two, 0 where there are none */
} chain;

/* What is the same for all lanes and symbols. */
typedef struct constants {
    const int *cells, *entries, *index, *data;
    __m128i m, bin_shift, narrow, raw_bits, symbol_shift, union_shift;
    __m256i slots, below, raw, low, lo, odd, cap, sign1, sign2, signs, h0, h1;
} constants;

/* The next two words. A gather takes 4 bytes: where there are fewer, those before are of the tile's as well, or of what stands
 * before its tensor's data in the payload (six bytes and more). */
INLINE_AVX2 void look_ahead(const constants *k, chain *c)
{
    const __m256i last = _mm256_sub_epi32(c->end, _mm256_set1_epi32(4)), at = _mm256_min_epi32(c->src, last);
    c->words = _mm256_srlv_epi32(_mm256_i32gather_epi32(k->data, at, 1), _mm256_slli_epi32(_mm256_sub_epi32(c->src, at), 3));
}

/* Takes a word where the state needs one and there is one. */
INLINE_AVX2 void refill(chain *c)
{
    const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(c->x, 16), _mm256_setzero_si256());
    const __m256i takes = _mm256_and_si256(low, _mm256_cmpgt_epi32(c->end, c->src));
    const __m256i next = _mm256_or_si256(_mm256_slli_epi32(c->x, 16), _mm256_and_si256(c->words, _mm256_set1_epi32(0xFFFF)));
    c->x = _mm256_blendv_epi8(c->x, next, takes);
    c->words = _mm256_srlv_epi32(c->words, _mm256_and_si256(takes, _mm256_set1_epi32(16)));
    c->src = _mm256_add_epi32(c->src, _mm256_and_si256(takes, _mm256_set1_epi32(2)));
}

/* The next symbol of each chain, to its value. What chains do is interleaved in steps that wait for memory: the reorder buffer
 * of a processor does not hold much more than one chain's. */
INLINE_AVX2 void next_values(const constants *k, chain *c, __m256i *value, const int chains)
{
    __m256i u[CHAINS], slot[CHAINS], place[CHAINS], number[CHAINS];
    int q;
    for (q = 0; q < chains; ++q) {
        const __m256i bin = _mm256_slli_epi32(_mm256_srl_epi32(c[q].a, k->bin_shift), CELL_LOG2);
        u[q] = _mm256_and_si256(c[q].s, _mm256_set1_epi32(1));
        place[q] = _mm256_i32gather_epi32(k->cells, _mm256_add_epi32(bin, _mm256_add_epi32(c[q].sign, u[q])), 4);
    }
    for (q = 0; q < chains; ++q) {
        slot[q] = _mm256_and_si256(c[q].x, k->slots);
        place[q] = _mm256_add_epi32(place[q], _mm256_srl_epi32(slot[q], k->narrow));
        number[q] = _mm256_i32gather_epi32(k->index, place[q], 2);
    }
    for (q = 0; q < chains; ++q) {
        const __m256i last = _mm256_and_si256(_mm256_srli_epi32(number[q], 12), _mm256_set1_epi32(15));
        const __m256i behind = _mm256_cmpgt_epi32(_mm256_and_si256(slot[q], k->below), last);
        number[q] = _mm256_sub_epi32(_mm256_and_si256(number[q], _mm256_set1_epi32(ENTRIES - 1)), behind);
        value[q] = _mm256_i32gather_epi32(k->entries, number[q], 4);
    }
    for (q = 0; q < chains; ++q) {
        __m256i rest, start, magnitude, subset, sign;
        for (;;) { /* mostly once: few slots that share a place in the index are those of more than two symbols */
            __m256i over;
            rest = _mm256_srli_epi32(value[q], 20);
            start = _mm256_and_si256(_mm256_srli_epi32(value[q], 8), _mm256_set1_epi32(0xFFF));
            over = _mm256_cmpgt_epi32(_mm256_add_epi32(_mm256_sub_epi32(slot[q], start), rest), k->slots);
            if (NCD_LIKELY(_mm256_testz_si256(over, over)))
                break;
            number[q] = _mm256_sub_epi32(number[q], over);
            value[q] = _mm256_i32gather_epi32(k->entries, number[q], 4);
        }
        c[q].x = _mm256_sub_epi32(_mm256_sub_epi32(c[q].x, start), _mm256_mullo_epi32(rest, _mm256_srl_epi32(c[q].x, k->m)));
        value[q] = _mm256_sll_epi32(_mm256_and_si256(value[q], _mm256_set1_epi32(255)), k->symbol_shift);
        value[q] = _mm256_add_epi32(value[q], _mm256_sub_epi32(_mm256_xor_si256(u[q], k->odd), k->lo));
        magnitude = _mm256_abs_epi32(value[q]);
        c[q].a = _mm256_add_epi32(_mm256_sub_epi32(c[q].a, _mm256_srli_epi32(c[q].a, 3)),
                                  _mm256_slli_epi32(_mm256_min_epi32(magnitude, k->cap), 4));
        sign = _mm256_add_epi32(_mm256_cmpgt_epi32(magnitude, k->sign1), _mm256_cmpgt_epi32(magnitude, k->sign2));
        c[q].sign = _mm256_sub_epi32(k->signs, _mm256_sign_epi32(_mm256_add_epi32(sign, sign), value[q]));
        subset = _mm256_srai_epi32(_mm256_slli_epi32(_mm256_add_epi32(value[q], u[q]), 30), 31);
        c[q].s = _mm256_xor_si256(_mm256_srli_epi32(c[q].s, 1), _mm256_and_si256(subset, k->h1));
        c[q].s = _mm256_xor_si256(c[q].s, _mm256_and_si256(_mm256_sub_epi32(_mm256_setzero_si256(), u[q]), k->h0));
        refill(&c[q]);
    }
}

/* The level that a value and raw bits make. */
INLINE_AVX2 __m256i with_raw_bits(const constants *k, chain *c, __m256i value)
{
    const __m256i bits = _mm256_and_si256(c->x, k->raw), low = _mm256_and_si256(value, k->low);
    c->x = _mm256_srl_epi32(c->x, k->raw_bits);
    refill(c);
    value = _mm256_sll_epi32(_mm256_sub_epi32(value, low), k->raw_bits);
    return _mm256_add_epi32(value, _mm256_add_epi32(_mm256_sll_epi32(bits, k->union_shift), low));
}

INLINE_AVX2 constants constants_of(const ncd_trellis_workspace *w, const tables *t)
{
    constants k;
    k.cells = (const int *)(const void *)t->cells;
    k.entries = (const int *)(const void *)(t + 1);
    k.index = (const int *)(const void *)((const uint8_t *)t + t->index);
    k.data = NULL;
    k.m = _mm_cvtsi32_si128(w->m);
    k.bin_shift = _mm_cvtsi32_si128(w->bin_shift);
    k.narrow = _mm_cvtsi32_si128(w->m - (int)t->index_log2);
    k.raw_bits = _mm_cvtsi32_si128(w->raw_bits);
    k.symbol_shift = _mm_cvtsi32_si128(w->union_shift >> 1);
    k.union_shift = _mm_cvtsi32_si128(w->union_shift);
    k.slots = _mm256_set1_epi32((1 << w->m) - 1);
    k.below = _mm256_set1_epi32((1 << (w->m - (int)t->index_log2)) - 1);
    k.raw = _mm256_set1_epi32((1 << w->raw_bits) - 1);
    k.low = _mm256_set1_epi32((1 << w->union_shift) - 1);
    k.lo = _mm256_set1_epi32(t->lo);
    k.odd = _mm256_set1_epi32((int)t->odd);
    k.cap = _mm256_set1_epi32(t->cap);
    k.sign1 = _mm256_set1_epi32(t->signs[0] - 1);
    k.sign2 = _mm256_set1_epi32(t->signs[1] - 1);
    k.signs = _mm256_set1_epi32((int)(w->first >> 24 & 31u));
    k.h0 = _mm256_set1_epi32((int)t->halves[0]);
    k.h1 = _mm256_set1_epi32((int)t->halves[1]);
    return k;
}

/* What a vector holds of eight lanes. */
#define EACH(what)                                                                                                   \
    _mm256_setr_epi32((int)(l[0].what), (int)(l[1].what), (int)(l[2].what), (int)(l[3].what), (int)(l[4].what),      \
                      (int)(l[5].what), (int)(l[6].what), (int)(l[7].what))

/* Four levels of each of eight tiles, if wide 16 bits each, to where they belong. */
INLINE_AVX2 void store(const __m256i *levels, uint8_t *const *out, size_t at, const int wide)
{
    uint32_t i;
    uint32_t four[8], two[8];
    if (wide) {
        const __m256i half = _mm256_set1_epi32(0xFFFF);
        _mm256_storeu_si256((__m256i *)(void *)two, _mm256_or_si256(_mm256_and_si256(levels[0], half), _mm256_slli_epi32(levels[1], 16)));
        _mm256_storeu_si256((__m256i *)(void *)four, _mm256_or_si256(_mm256_and_si256(levels[2], half), _mm256_slli_epi32(levels[3], 16)));
        for (i = 0; i < 8; ++i) {
            NCD_COPY(out[i] + 2 * at, two + i, 4);
            NCD_COPY(out[i] + 2 * at + 4, four + i, 4);
        }
    } else {
        const __m256i byte = _mm256_set1_epi32(0xFF);
        const __m256i low = _mm256_or_si256(_mm256_and_si256(levels[0], byte), _mm256_slli_epi32(_mm256_and_si256(levels[1], byte), 8));
        const __m256i high = _mm256_or_si256(_mm256_slli_epi32(_mm256_and_si256(levels[2], byte), 16), _mm256_slli_epi32(levels[3], 24));
        _mm256_storeu_si256((__m256i *)(void *)four, _mm256_or_si256(low, high));
        for (i = 0; i < 8; ++i)
            NCD_COPY(out[i] + at, four + i, 4);
    }
}

/* n symbols, a multiple of 4, of each lane. Gives 0 where a level does not fit. The rest are constants where this is called. */
INLINE_AVX2 int take(const ncd_trellis_workspace *w, ncd_trellis_lane *lanes, uint8_t *const *out, uint32_t n, const int chains,
                     const int wide, const int raw)
{
    const uint8_t *base = lanes[0].src;
    constants k = constants_of(w, (const tables *)(const void *)((const uint8_t *)w + 4u * w->vector));
    __m256i beyond = _mm256_setzero_si256();
    chain c[CHAINS];
    uint32_t i, j;
    int q;
    for (i = 1; i < 8u * (uint32_t)chains; ++i)
        if (lanes[i].src < base)
            base = lanes[i].src;
    k.data = (const int *)(const void *)base;
    for (q = 0; q < chains; ++q) {
        const ncd_trellis_lane *const l = lanes + 8 * q;
        c[q].x = EACH(x);
        c[q].a = EACH(a);
        c[q].s = EACH(s);
        c[q].sign = EACH(e >> 24 & 31u);
        c[q].src = EACH(src - base);
        c[q].end = EACH(end - base);
        c[q].words = _mm256_setzero_si256();
    }
    for (i = 0; i < n; i += 4) {
        __m256i levels[4][CHAINS];
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 4
#endif
        for (j = 0; j < 4; ++j) {
            for (q = 0; q < chains; ++q)
                if (raw || j % 2 == 0)
                    look_ahead(&k, &c[q]);
            next_values(&k, c, levels[j], chains);
            for (q = 0; raw && q < chains; ++q) {
                levels[j][q] = with_raw_bits(&k, &c[q], levels[j][q]);
                beyond = _mm256_or_si256(beyond, _mm256_add_epi32(levels[j][q], _mm256_set1_epi32(32768)));
            }
        }
        for (q = 0; q < chains; ++q) {
            const __m256i four[4] = {levels[0][q], levels[1][q], levels[2][q], levels[3][q]};
            store(four, out + 8 * q, i, wide);
        }
    }
    for (q = 0; q < chains; ++q) {
        uint32_t x[8], a[8], s[8], sign[8], src[8];
        _mm256_storeu_si256((__m256i *)(void *)x, c[q].x);
        _mm256_storeu_si256((__m256i *)(void *)a, c[q].a);
        _mm256_storeu_si256((__m256i *)(void *)s, c[q].s);
        _mm256_storeu_si256((__m256i *)(void *)sign, c[q].sign);
        _mm256_storeu_si256((__m256i *)(void *)src, c[q].src);
        for (i = 0; i < 8; ++i) {
            ncd_trellis_lane *const l = lanes + 8 * q + i;
            l->x = x[i];
            l->a = a[i];
            l->s = s[i];
            l->e = sign[i] << 24;
            l->src = base + src[i];
        }
    }
    return !raw || _mm256_testz_si256(_mm256_srli_epi32(beyond, 16), _mm256_srli_epi32(beyond, 16));
}

/* One for each of what is constant. */
#define TAKE(name, chains, wide, raw)                                                                                 \
    AVX2 static NCD_NOINLINE int name(const ncd_trellis_workspace *w, ncd_trellis_lane *lanes, uint8_t *const *out, uint32_t n) \
    {                                                                                                                 \
        return take(w, lanes, out, n, chains, wide, raw);                                                             \
    }
TAKE(take_8, 1, 0, 0)
TAKE(take_16, 2, 0, 0)
TAKE(take_8_wide, 1, 1, 0)
TAKE(take_16_wide, 2, 1, 0)
TAKE(take_8_raw, 1, 1, 1)
TAKE(take_16_raw, 2, 1, 1)
#undef TAKE

int ncd_trellis_vector_here(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Whether places in the lanes' data are near enough to each other for offsets of 32 bits. */
static int are_near(const ncd_trellis_lane *lanes, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; ++i) {
        const ptrdiff_t at = lanes[i].src - lanes[0].src;
        if (at < -(1 << 28) || at > 1 << 28 || lanes[i].end - lanes[i].src > 1 << 28)
            return 0;
    }
    return 1;
}

int ncd_trellis_vector_take(const uint32_t *memory, ncd_trellis_lane *lanes, uint8_t *const *out, const uint32_t *n,
                            uint32_t *done, uint32_t count, int wide)
{
    const ncd_trellis_workspace *const w = (const ncd_trellis_workspace *)(const void *)memory;
    uint32_t i;
    for (i = 0; i < count; ++i)
        done[i] = 0;
    if (!w->vector || !are_near(lanes, count))
        return 1;
    for (;;) {
        ncd_trellis_lane side[NCD_TRELLIS_TILES];
        uint8_t *to[NCD_TRELLIS_TILES];
        uint32_t of[NCD_TRELLIS_TILES], busy = 0, steps = UINT32_MAX, used;
        int fits;
        for (i = 0; i < count; ++i) {
            const uint32_t left = (n[i] - done[i]) & ~3u;
            if (!left)
                continue;
            of[busy++] = i;
            steps = left < steps ? left : steps;
        }
        if (busy < WORTH)
            return 1;
        used = busy > 8 ? 16 : 8;
        for (i = 0; i < used; ++i) { /* idle lanes do what the first one does */
            const uint32_t k = of[i < busy ? i : 0];
            side[i] = lanes[k];
            to[i] = out[k] + ((size_t)done[k] << wide);
        }
        if (wide && w->raw_bits)
            fits = used > 8 ? take_16_raw(w, side, to, steps) : take_8_raw(w, side, to, steps);
        else if (wide)
            fits = used > 8 ? take_16_wide(w, side, to, steps) : take_8_wide(w, side, to, steps);
        else
            fits = used > 8 ? take_16(w, side, to, steps) : take_8(w, side, to, steps);
        if (!fits)
            return 0;
        for (i = 0; i < busy; ++i) {
            lanes[of[i]] = side[i];
            done[of[i]] += steps;
        }
    }
}

#endif
