/* Code tables (docs/format.md section 7): their check, the look-up built from them, and the bitwise decoder. */
#include "internal.h"

#if NCD_ENABLE_HUFFMAN

enum { LISTED = 1, PAIRS = 2, ZEROS = 4, RANKS = 8, HEAD = 2 };

/* A bit for each value of the flags that there may be: 0, LISTED, and that with PAIRS or ZEROS; RANKS. */
#define FLAGS (1u << 0 | 1u << LISTED | 1u << (LISTED | PAIRS) | 1u << (LISTED | ZEROS) | (uint32_t)NCD_ENABLE_KMEANS << RANKS)

#define TWO_ZEROS 0x80u

#if NCD_FULL_CHECK
/* Whether no byte occurs twice. */
static int distinct(const uint8_t *p, uint32_t n)
{
    uint32_t seen[8], i;
    NCD_FILL(seen, 0, sizeof seen);
    for (i = 0; i < n; ++i) {
        const uint32_t bit = (uint32_t)1 << (p[i] & 31u);
        if (seen[p[i] >> 5] & bit)
            return 0;
        seen[p[i] >> 5] |= bit;
    }
    return 1;
}
#endif

ncd_status ncd_table_read(ncd_cursor *c)
{
    const uint32_t lengths = ncd_get_u8(c), min = lengths & 15u, max = lengths >> 4;
    uint32_t flags, symbols = 0, left = 1u << 15, i;
    const uint8_t *p;

    if (min > max)
        return NCD_ERR_CORRUPT;
    flags = ncd_get_u8(c);
    if (flags > 31u || !(FLAGS >> flags & 1u))
        return NCD_ERR_UNSUPPORTED;
    p = ncd_get_bytes(c, max - min + 1);
    if (!p || p[0] == 0 || p[max - min] == 0)
        return NCD_ERR_CORRUPT;
    for (i = min; i <= max; ++i) {
        const uint32_t count = *p++;
        symbols += count;
        left -= count << (15 - i); /* at most 255 * 2^16 in all, so that it cannot come back to 0 */
    }
    if (left != 0 || symbols > 256)
        return NCD_ERR_CORRUPT;
    if (flags & LISTED) {
        p = ncd_get_bytes(c, symbols);
        if (!p)
            return NCD_ERR_CORRUPT;
#if NCD_FULL_CHECK
        if (!distinct(p, symbols))
            return NCD_ERR_CORRUPT;
#endif
    }
    return NCD_OK;
}

/* The number of codes of each length, from the shortest on. */
static const uint8_t *counts_of(const uint8_t *table)
{
    return table + HEAD;
}

/* A nibble in two's complement, as a byte. */
static uint32_t nibble_level(uint32_t nibble)
{
    return ((nibble ^ 8u) - 8u) & 255u;
}

uint32_t ncd_table_entry(const uint8_t *table, uint32_t rank, uint32_t bits)
{
    const uint32_t min = ncd_table_min(table), max = table[0] >> 4;
    uint32_t symbol;
    if (ncd_table_is_ranks(table))
        symbol = rank;
    else if (!(table[1] & LISTED))
        symbol = ((rank >> 1) ^ (0u - (rank & 1u))) & 255u;
    else
        symbol = counts_of(table)[rank + max - min + 1];
    if ((table[1] & ZEROS) && symbol == TWO_ZEROS)
        return bits << 16 | 2u << 24;
    if (table[1] & PAIRS)
        return nibble_level(symbol & 15u) | nibble_level(symbol >> 4) << 8 | bits << 16 | 2u << 24;
    return symbol * 0x101u | bits << 16 | 1u << 24;
}

/* The first index after those that begin with a code whose last bit is `bit`, the last of which begin at i. Codes count
 * upwards with their first bit highest, which here is the lowest: so the carry runs down. Comes back to 0. */
static uint32_t next_index(uint32_t i, uint32_t bit)
{
    for (; i & bit; bit >>= 1)
        i ^= bit;
    return i | bit;
}

void ncd_table_build(const uint8_t *table, uint32_t *workspace)
{
    enum { K = NCD_HUFFMAN_LOOKUP_BITS, SIZE = 1 << K };
    uint32_t *const lut = workspace + 1;
    const uint8_t *counts = counts_of(table);
    const uint32_t max = table[0] >> 4;
    uint32_t length = ncd_table_min(table), rank = 0, d = 0, i = 0;

    for (; length <= max && length <= K; ++length) {
        const uint32_t step = 1u << length;
        uint32_t n;
        for (n = *counts++; n > 0; --n) {
            const uint32_t entry = ncd_table_entry(table, rank++, length);
            uint32_t k = i;
            do {
                lut[k] = entry;
                k += step;
            } while (k < SIZE);
            i = next_index(i, step >> 1);
        }
    }
    workspace[0] = ncd_tag(table, 0);

    /* What is left begins longer codes; the code is complete, so they end where the look-up does. */
    if (max > K) {
        d = rank << 8;
        do {
            lut[i] = d++;
            i = next_index(i, SIZE >> 1);
        } while (i != 0);
    }

    /* Two codes in one look-up where the second, too, lies in the K bits. The second one's entry, at a lower index,
     * has not been widened yet. */
    for (i = SIZE; i-- > 0;) {
        const uint32_t first = lut[i], bits = first >> 16 & 255u;
        if (first >> 24 == 1) {
            const uint32_t second = lut[i >> bits], both = bits + (second >> 16 & 255u);
            if (second >> 24 == 1 && both <= K)
                lut[i] = (first & 255u) | (second & 255u) << 8 | both << 16 | 2u << 24;
        }
    }
}

#if NCD_ENABLE_KMEANS

uint32_t ncd_table_symbols(const uint8_t *table)
{
    const uint32_t min = ncd_table_min(table), max = table[0] >> 4;
    uint32_t sum = 0, i;
    for (i = 0; i <= max - min; ++i)
        sum += counts_of(table)[i];
    return sum;
}

void ncd_table_map(const uint8_t *map, uint32_t *workspace)
{
    uint32_t i;
    if (!map)
        return;
    for (i = 1; i <= (uint32_t)1 << NCD_HUFFMAN_LOOKUP_BITS; ++i) {
        const uint32_t entry = workspace[i];
        if (entry >> 16) /* else it begins a longer code */
            workspace[i] = (entry & 0xFFFF0000u) | (uint32_t)map[entry >> 8 & 255u] << 8 | map[entry & 255u];
    }
}

#endif

uint32_t ncd_table_walk(const ncd_codes *codes, uint32_t pos, uint32_t length, uint32_t e)
{
    const uint8_t *const table = codes->table;
    const uint32_t min = ncd_table_min(table), max = table[0] >> 4;
    uint32_t rank = e >> 8, d = e & 255u;
    pos += length;
    while (length < max) {
        if (pos >= codes->bits)
            break;
        d = d << 1 | ((uint32_t)codes->src[pos >> 3] >> (pos & 7u) & 1u);
        ++pos;
        ++length;
        if (length >= min) {
            const uint32_t count = counts_of(table)[length - min];
            if (d < count)
                return ncd_table_entry(table, rank + d, length);
            d -= count;
            rank += count;
        }
    }
    return 0;
}

#endif
