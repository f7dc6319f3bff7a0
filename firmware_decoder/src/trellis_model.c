/* Models of codec 4: checks, and the workspace that tiles are decoded with (docs/format.md section 12.1). */
#include "quantizer.h"
#include "trellis.h"
#include "trellis_vector.h"

#if NCD_ENABLE_TRELLIS

#define MOST_TABLES 64u

/* Whether values have prefix codes; a constant where only these, or none, are compiled in. */
#define HAS_CODES(f) \
    (NCD_TRELLIS_PREFIX && (!(NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LIGHT || NCD_TRELLIS_RANS) || (f)->m == 0))

/* Whether an automaton picks tables; likewise. */
#define HAS_AUTOMATON(f) \
    (NCD_TRELLIS_LIGHT && (!(NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_RANS || NCD_TRELLIS_PREFIX) || (f)->automaton))

/* Whether they are of more states than entries of 16 bits can tell. */
static int has_wide_codes(const ncd_trellis_model *f)
{
    return HAS_CODES(f) && f->states_log2 > NCD_TRELLIS_NIBBLE_STATES_LOG2;
}

/* ---- Model ---- */

#if NCD_TRELLIS_CONTEXTS
/* Whether bytes ascend strictly from 1 to at most `most`. */
static int ascends(const uint8_t *p, uint32_t n, uint32_t most)
{
    uint32_t last = 0;
    for (; n > 0; --n, ++p) {
        if (*p <= last || *p > most)
            return 0;
        last = *p;
    }
    return 1;
}

static uint32_t bit_length(uint32_t value)
{
    uint32_t n = 0;
    while (value >> n)
        ++n;
    return n;
}

/* Field i, of `width` bits, at most 8, of a bit string. */
static uint32_t field_of(const uint8_t *string, uint32_t i, uint32_t width)
{
    const uint32_t bit = i * width;
    uint32_t window = string[bit >> 3];
    if ((bit & 7u) + width > 8u)
        window |= (uint32_t)string[(bit >> 3) + 1u] << 8;
    return window >> (bit & 7u) & ((1u << width) - 1u);
}

#endif

/* The map of a quantizer. */
static ncd_status read_map(ncd_cursor *c, ncd_trellis_model *f, uint32_t u)
{
    const uint32_t count = ncd_get_u8(c) + 1u;
#if NCD_TRELLIS_CONTEXTS
    const uint32_t cells = f->classes * (2u * f->n_signs + 1u), width = bit_length(count - 1u);
    uint32_t i;
    f->map[u] = ncd_get_fields(c, cells, width);
    if (ncd_is_bad(c) || count > (HAS_CODES(f) ? 1u : MOST_TABLES))
        return NCD_ERR_CORRUPT;
    for (i = 0; width > 0 && i < cells; ++i)
        if (field_of(f->map[u], i, width) >= count)
            return NCD_ERR_CORRUPT;
#else
    if (count > 1u)
        return NCD_ERR_UNSUPPORTED; /* bytes that lack show later */
#endif
    f->n_tables[u] = (uint8_t)count;
    return NCD_OK;
}

/* A frequency, or the share of all slots that a code of its length takes; above 2^12 where it is neither. */
static uint32_t next_share(const ncd_trellis_model *f, ncd_frequencies *next)
{
    uint32_t length;
    if (!HAS_CODES(f))
        return ncd_frequency_next(next);
    if (next->p == next->end)
        return UINT32_MAX;
    length = *next->p >> next->bit & 15u;
    next->p += next->bit >> 2;
    next->bit ^= 4u;
    return length > NCD_TRELLIS_SLOTS_LOG2 ? UINT32_MAX : length ? 1u << (NCD_TRELLIS_SLOTS_LOG2 - length) : 0;
}

/* The tables of a quantizer. */
static ncd_status read_tables(ncd_cursor *c, ncd_trellis_model *f, uint32_t u)
{
    const uint32_t slots = 1u << (HAS_CODES(f) ? NCD_TRELLIS_SLOTS_LOG2 : f->m);
    uint32_t i, k;
    f->tables[u] = c->p;
    for (i = 0; i < f->n_tables[u]; ++i) {
        const uint32_t first = ncd_get_u8(c), count = ncd_get_u8(c) + 1u;
        ncd_frequencies next;
        uint32_t sum = 0;
        if (first + count > f->values[u])
            return NCD_ERR_CORRUPT;
        next.p = c->p; /* both are null where bytes lack: then there is no first frequency */
        next.end = c->end;
        next.bit = 0;
        for (k = 0; k < count; ++k) {
            const uint32_t share = next_share(f, &next);
            if (share > slots)
                return NCD_ERR_CORRUPT;
            if (NCD_TRELLIS_RANS)
                f->constant |= share == slots;
            sum += share;
        }
        if (sum != slots)
            return NCD_ERR_CORRUPT;
        c->p = next.p + (next.bit != 0);
        f->frequencies = (uint16_t)(f->frequencies + count); /* of 128 tables at most, 256 each */
#if NCD_TRELLIS_LIGHT
        if (HAS_AUTOMATON(f))
            f->blocks[i] = (uint16_t)(f->blocks[i] + count);
#endif
    }
    return NCD_OK;
}

/* Whether models of such a kind are compiled in; picks: what a model's head says of how tables are picked. */
static int is_compiled_in(const ncd_trellis_model *f, uint32_t picks)
{
    if (f->automaton)
        return NCD_TRELLIS_LIGHT;
    if (!f->m)
        return NCD_TRELLIS_PREFIX && (NCD_TRELLIS_WIDE_CODES || !has_wide_codes(f)) &&
               (NCD_TRELLIS_CONTEXTS || !(f->open || f->raw_bits || picks));
    return NCD_TRELLIS_CONTEXTS ||
           (NCD_TRELLIS_RANS && (NCD_TRELLIS_OPEN_ENDS || !f->open) && !f->raw_bits && !picks);
}

/* Checks the head of a model without an automaton, and reads thresholds of classes. */
static ncd_status read_classes(ncd_cursor *c, ncd_trellis_model *f, uint32_t picks)
{
    if (f->n_signs > 2 || f->start >= NCD_TRELLIS_BINS || (!f->m && (f->open || f->raw_bits || picks)))
        return NCD_ERR_CORRUPT;
#if NCD_TRELLIS_CONTEXTS
    f->magnitudes = ncd_get_bytes(c, f->classes - 1u);
    f->signs = ncd_get_bytes(c, f->n_signs);
    if (ncd_is_bad(c) || !ascends(f->magnitudes, f->classes - 1u, NCD_TRELLIS_BINS - 1u) ||
        !ascends(f->signs, f->n_signs, 255))
        return NCD_ERR_CORRUPT;
#else
    (void)c;
#endif
    return NCD_OK;
}

#if NCD_TRELLIS_LIGHT
/* The rule behind this one. */
static const uint8_t *rule_behind(const uint8_t *rule)
{
    return rule + 2u * rule[0] + 2u;
}

/* The state after a value. */
static uint32_t follow(const uint8_t *rule, int32_t value)
{
    const uint32_t n = rule[0];
    uint32_t i = 0;
    while (i < n && rule[1u + i] <= (uint32_t)(value + 128))
        ++i;
    return rule[1u + n + i];
}
#endif

/* The same of one with an automaton, and its rules. */
static ncd_status read_automaton(ncd_cursor *c, ncd_trellis_model *f)
{
#if NCD_TRELLIS_LIGHT
    uint32_t k, i;
    if (f->m != NCD_TRELLIS_SLOTS_LOG2 || f->raw_bits || f->lo > 128 || f->hi > 127 || f->cap != 1 || f->n_signs ||
        f->start >= f->classes)
        return NCD_ERR_CORRUPT;
    f->n_rules = (uint8_t)(ncd_get_u8(c) + 1u);
    if (f->n_rules != 1 && f->n_rules != f->classes)
        return NCD_ERR_CORRUPT;
    f->rules = c->p;
    for (k = 0; k < f->n_rules; ++k) {
        const uint32_t n = ncd_get_u8(c);
        const uint8_t *const thresholds = ncd_get_bytes(c, 2u * n + 1u); /* and the states */
        if (!thresholds || n > 15)
            return NCD_ERR_CORRUPT;
        for (i = 0; i <= n; ++i)
            if (thresholds[n + i] >= f->classes || (i > 0 && i < n && thresholds[i] <= thresholds[i - 1u]))
                return NCD_ERR_CORRUPT;
    }
#else
    (void)c;
    (void)f;
#endif
    return NCD_OK;
}

ncd_status ncd_trellis_model_read(ncd_cursor *c, ncd_trellis_model *f)
{
    const uint8_t *const head = ncd_get_bytes(c, 7);
    uint32_t u, quantizers, trellis, slots, picks;
    ncd_status status;
    if (!head)
        return NCD_ERR_CORRUPT;
    NCD_FILL(f, 0, sizeof *f);
    trellis = head[0]; /* read before anything is written, after which compilers would read again */
    slots = head[1];
    picks = head[5];
    f->lo = head[2];
    f->hi = head[3];
    f->cap = head[4];
    f->start = head[6];
    if (trellis >> 5)
        return NCD_ERR_UNSUPPORTED;
    f->states_log2 = trellis & 15u;
    f->open = trellis >> 4 & 1u;
    f->m = slots & 15u;
    f->raw_bits = slots >> 4 & 15u;
    f->classes = (uint8_t)((picks & 7u) + 1u);
    f->n_signs = picks >> 3 & 3u;
    f->automaton = picks >> 5 & 1u;
    if (f->states_log2 == 1 || f->states_log2 > 8 || (f->m && f->m - 8u > 4u) || f->raw_bits > 12 || f->cap - 1u > 126u ||
        (f->open && f->lo + f->hi < (f->states_log2 ? 7u : 1u)))
        return NCD_ERR_CORRUPT;
    if (picks >> 6 || !is_compiled_in(f, picks))
        return NCD_ERR_UNSUPPORTED;
    status = HAS_AUTOMATON(f) ? read_automaton(c, f) : read_classes(c, f, picks);
    if (status != NCD_OK)
        return status;
    quantizers = ncd_quantizer_count(f->states_log2);
    for (u = 0; u < quantizers; ++u) {
        f->values[u] = (uint16_t)ncd_quantizer_values(f->states_log2, f->lo, f->hi, u);
        f->n_tables[u] = f->classes;
        status = HAS_AUTOMATON(f) ? NCD_OK : read_map(c, f, u);
        if (status != NCD_OK)
            return status;
    }
    for (u = 0; u < quantizers; ++u) {
        status = read_tables(c, f, u);
        if (status != NCD_OK)
            return status;
    }
    f->end = c->p;
    return NCD_OK;
}

/* ---- Workspace ---- */

static uint32_t quantizers_of(const ncd_trellis_model *f)
{
    return ncd_quantizer_count(f->states_log2);
}

uint32_t ncd_trellis_model_kind(const ncd_trellis_model *f, int wide)
{
    if (HAS_AUTOMATON(f))
        return NCD_TRELLIS_LIGHT_SLOTS;
    if (HAS_CODES(f))
        return has_wide_codes(f) ? NCD_TRELLIS_CODES_WIDE : NCD_TRELLIS_CODES;
    if (NCD_TRELLIS_RANS && !wide && f->m == NCD_TRELLIS_SLOTS_LOG2 && !f->raw_bits && f->lo <= 128 && f->hi <= 127 &&
        !f->constant && f->classes == 1 && f->n_signs == 0 &&
        (uint32_t)f->n_tables[0] + f->n_tables[1] == quantizers_of(f))
        return NCD_TRELLIS_SLOTS;
    return NCD_TRELLIS_SEARCH;
}

static uint32_t table_size(uint32_t symbols, uint32_t index)
{
    return index + 2u + 2u * (symbols + 1u);
}

static uint32_t cells_of(const ncd_trellis_model *f)
{
    return 2u * f->classes * (2u * f->n_signs + 1u);
}

/* log2 of the bytes of an entry that tells all of a slot, or of a code. */
static uint32_t entry_log2(uint32_t kind)
{
    return NCD_TRELLIS_PREFIX && kind == NCD_TRELLIS_CODES ? 1 : 2;
}

uint32_t ncd_trellis_model_size(const ncd_trellis_model *f, uint32_t kind, uint32_t index)
{
    const uint32_t tables = (uint32_t)f->n_tables[0] + f->n_tables[1];
    if (NCD_TRELLIS_LIGHT && kind == NCD_TRELLIS_LIGHT_SLOTS)
        return NCD_TRELLIS_ENTRIES + NCD_TRELLIS_LIGHT_AT * f->classes + 8u * f->frequencies;
    if (!NCD_TRELLIS_CONTEXTS || kind != NCD_TRELLIS_SEARCH)
        return NCD_TRELLIS_ENTRIES + (quantizers_of(f) << (NCD_TRELLIS_SLOTS_LOG2 + entry_log2(kind)));
    return ((uint32_t)sizeof(ncd_trellis_workspace) + 4u * ((uint32_t)f->values[0] + f->values[1]) + 2u * cells_of(f) +
            tables * table_size(0, index) + 2u * f->frequencies + 3u) & ~3u;
}

/* Value of a symbol. */
static int32_t value_of(const ncd_trellis_model *f, uint32_t u, uint32_t symbol)
{
    return ncd_quantizer_value(f->states_log2, f->lo, u, symbol);
}

/* What a value changes of the state, which is the state after it if that before has no other bit than u. */
static uint32_t change_of(const ncd_trellis_model *f, int32_t value, uint32_t u)
{
    return ncd_quantizer_next(ncd_quantizer_polynomials(f->states_log2), u, ncd_quantizer_subset(value, u));
}

#if NCD_TRELLIS_CONTEXTS
static uint32_t entry_of(const ncd_trellis_model *f, int32_t value, uint32_t u)
{
    const uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    uint32_t above = 0, sign = f->n_signs;
    while (above < f->n_signs && f->signs[above] <= magnitude)
        ++above;
    sign = value < 0 ? sign - above : sign + above;
    return ((uint32_t)value & 255u) | change_of(f, value, u) << 8 | (magnitude < f->cap ? magnitude : f->cap) << 16 |
           sign << 25 | (value < 0 ? 1u << 31 : 0);
}
#endif

/* An entry of a slot or a code. */
static uint32_t direct_entry(const ncd_trellis_model *f, uint32_t u, uint32_t symbol, uint32_t bytes12)
{
    const int32_t value = value_of(f, u, symbol);
    return ((uint32_t)value & 255u) | bytes12 << 8 | change_of(f, value, u) << 24;
}

static void first_of(const ncd_trellis_model *f, const uint8_t *table, ncd_frequencies *next)
{
    next->p = table + 2;
    next->end = f->end;
    next->bit = 0;
}

/* The 256 entries of a quantizer: SLOTS. */
static void build_slots(const ncd_trellis_model *f, uint32_t u, uint32_t *entry)
{
    const uint32_t *const end = entry + (1u << NCD_TRELLIS_SLOTS_LOG2);
    uint32_t i = f->tables[u][0];
    ncd_frequencies next;
    first_of(f, f->tables[u], &next);
    for (; entry != end; ++i) {
        uint32_t frequency = ncd_frequency_next(&next), e = direct_entry(f, u, i, frequency << 8);
        for (; frequency > 0; --frequency, e += 1u << 8)
            *entry++ = e;
    }
}

/* The same: CODES and CODES_WIDE. Slots are the next bits, the first one lowest; codes count upwards with the first one highest. So the
 * slots of a code are that of its own bits and all a multiple of 2^length after it, and carries to the next code run
 * down. */
static void build_codes(const ncd_trellis_model *f, uint32_t u, uint32_t kind, uint32_t *entries)
{
    const uint32_t first = f->tables[u][0], count = f->tables[u][1] + 1u, of = u << NCD_TRELLIS_SLOTS_LOG2;
    uint32_t length, i, k, slot = 0;
    for (length = 1; length <= NCD_TRELLIS_SLOTS_LOG2; ++length) {
        for (i = 0; i < count; ++i) {
            uint32_t e, carry = 1u << (length - 1u);
            if ((uint32_t)(f->tables[u][2u + (i >> 1)] >> 4 * (i & 1u) & 15) != length)
                continue;
            e = direct_entry(f, u, first + i, length);
            for (k = of + slot; k < of + (1u << NCD_TRELLIS_SLOTS_LOG2); k += 1u << length) {
                if (!NCD_TRELLIS_WIDE_CODES || kind == NCD_TRELLIS_CODES)
                    ((uint16_t *)entries)[k] = (uint16_t)(e | e >> 24 << 12);
                else
                    entries[k] = e;
            }
            for (; slot & carry; carry >>= 1)
                slot ^= carry;
            slot |= carry;
        }
    }
}

#if NCD_TRELLIS_CONTEXTS
/* Lets the cells of a quantizer, the first one at `cell`, whose table is number i, tell of it. */
static void point_cells(const ncd_trellis_model *f, uint32_t u, uint32_t i, uint16_t *cell, uint32_t of)
{
    const uint32_t width = bit_length(f->n_tables[u] - 1u), cells = cells_of(f);
    uint32_t k;
    for (k = 0; k < cells; k += 2)
        if (!width || field_of(f->map[u], k >> 1, width) == i)
            cell[k] = (uint16_t)of;
}

static void build_bins(const ncd_trellis_model *f, ncd_trellis_workspace *w)
{
    uint32_t i, row = 0;
    for (i = 0; i < NCD_TRELLIS_BINS; ++i) {
        while (row + 1u < f->classes && i >= f->magnitudes[row])
            ++row;
        w->bins[i] = (uint8_t)(row * (cells_of(f) / f->classes));
    }
}
#endif

#if NCD_TRELLIS_LIGHT
static NCD_NOINLINE void build_light(ncd_trellis_model *f, ncd_trellis_workspace *w)
{
    uint8_t *const base = (uint8_t *)w + NCD_TRELLIS_ENTRIES;
    const uint32_t states = f->classes;
    uint32_t at = 0, first = NCD_TRELLIS_BYTE_LOADS ? NCD_TRELLIS_LIGHT_AT / 8u : 0, u, k, i;
    for (k = 0; k <= states; ++k) {
        const uint32_t size = NCD_TRELLIS_LIGHT_AT + 8u * f->blocks[k];
        if (f->blocks[k] > NCD_TRELLIS_LIGHT_FEW)
            first = 0;
        f->blocks[k] = (uint16_t)at;
        at += size;
    }
    w->start = f->blocks[f->start];
    w->ahead = (uint8_t)(NCD_TRELLIS_BYTE_LOADS ? NCD_TRELLIS_LIGHT_AT / 8u - first : 0);
    for (u = 0; u < quantizers_of(f); ++u) {
        const uint8_t *p = f->tables[u], *rule = f->rules;
        for (k = 0; k < states; ++k) {
            uint8_t *const block = base + f->blocks[k];
            uint8_t *index = block + (NCD_TRELLIS_BYTE_LOADS ? u : u << NCD_TRELLIS_SLOTS_LOG2);
            const uint32_t end = p[0] + p[1] + 1u;
            /* Those of quantizer 1 lie behind those of the other one, whose last slot tells of the last. */
            uint32_t n = u ? block[NCD_TRELLIS_BYTE_LOADS ? 510 : 255] - first + 1u : 0, start = 0;
            ncd_frequencies next;
            first_of(f, p, &next);
            for (i = p[0]; i < end; ++i, ++n) {
                uint32_t frequency = ncd_frequency_next(&next);
                uint32_t *const entry = (uint32_t *)(void *)(block + NCD_TRELLIS_LIGHT_AT + 8u * n);
                const int32_t value = value_of(f, u, i);
                entry[0] = f->blocks[follow(rule, value)] | start << 16 | (256u - frequency) << 24;
                entry[1] = ((uint32_t)value & 255u) | change_of(f, value, u) << 8;
                for (start += frequency; frequency > 0; --frequency, index += NCD_TRELLIS_BYTE_LOADS ? 2 : 1)
                    *index = (uint8_t)(first + n);
            }
            p = next.p + (next.bit != 0);
            if (f->n_rules > 1)
                rule = rule_behind(rule);
        }
    }
}
#endif

#if NCD_TRELLIS_CONTEXTS
/* Builds the tables of a quantizer from offset `at` on, whose entries are at `entries`; gives the offset behind them.
 * cell: the first cell of the quantizer; each takes half the offset of its table. */
static uint32_t build_tables(const ncd_trellis_model *f, uint32_t u, uint8_t *ws, uint32_t entries, uint32_t at,
                             uint16_t *cell)
{
    const uint8_t *p = f->tables[u];
    uint32_t i, j, k;
    for (i = 0; i < f->n_tables[u]; ++i) {
        ncd_trellis_table *const t = (ncd_trellis_table *)(void *)(ws + at);
        uint16_t *const sums = (uint16_t *)(void *)(ws + at + sizeof *t);
        const uint32_t count = p[1] + 1u;
        ncd_frequencies next;
        uint32_t sum = 0;
        first_of(f, p, &next);
        t->entries = (uint16_t)(entries + 4u * p[0] - 4u);
        sums[0] = 0;
        for (k = 0; k < count; ++k) {
            sum += ncd_frequency_next(&next);
            sums[k + 1u] = (uint16_t)sum;
        }
        k = 0;
        for (j = 0; j < NCD_TRELLIS_INDEX; ++j) {
            const uint32_t low = j << (f->m - NCD_TRELLIS_INDEX_LOG2);
            const uint32_t high = low + (1u << (f->m - NCD_TRELLIS_INDEX_LOG2));
            uint32_t best, symbol;
            while (sums[k + 1u] <= low)
                ++k;
            best = k;
            for (symbol = k; sums[symbol] < high; ++symbol)
                if (sums[symbol + 1u] - sums[symbol] > sums[best + 1u] - sums[best])
                    best = symbol;
            t->index[j] = (uint8_t)best;
        }
        p = next.p + (next.bit != 0);
        point_cells(f, u, i, cell, at >> 1);
        at += table_size(count, NCD_TRELLIS_INDEX);
    }
    return at;
}

static NCD_NOINLINE void build_search(const ncd_trellis_model *f, ncd_trellis_workspace *w)
{
    uint8_t *const ws = (uint8_t *)w;
    uint32_t *entry = (uint32_t *)(void *)(w + 1);
    const uint32_t cells = cells_of(f);
    uint16_t *cell;
    uint32_t at, u, i;

    build_bins(f, w);
    w->cells = (uint16_t)(sizeof *w + 4u * ((uint32_t)f->values[0] + f->values[1]));
    cell = (uint16_t *)(void *)(ws + w->cells);
    at = w->cells + 2u * cells;
    for (u = 0; u < quantizers_of(f); ++u) {
        const uint32_t entries = (uint32_t)((uint8_t *)entry - ws);
        for (i = 0; i < f->values[u]; ++i)
            *entry++ = entry_of(f, value_of(f, u, i), u);
        at = build_tables(f, u, ws, entries, at, cell + u);
    }
}

#endif

void ncd_trellis_prepare(const ncd_tensor *t, uint32_t *memory)
{
    ncd_trellis_workspace *const w = (ncd_trellis_workspace *)(void *)memory;
    uint32_t *const entries = memory + NCD_TRELLIS_ENTRIES / 4;
    ncd_cursor c;
    ncd_trellis_model f;
    uint32_t i;
    int32_t wide;

    c.p = t->tables[0];
    c.end = t->model_end;
    (void)ncd_trellis_model_read(&c, &f); /* which has been read before */
    w->tag = ncd_trellis_tag(t);
    w->kind = (uint8_t)ncd_trellis_model_kind(&f, t->mode == NCD_MODE_WIDE);
    if (NCD_TRELLIS_CONTEXTS) {
        w->m = (uint8_t)f.m;
        w->raw_bits = (uint8_t)f.raw_bits;
    }
    w->union_shift = f.states_log2 ? 2 : 0;
    wide = f.states_log2 ? 3 : 0;
    w->low = f.open ? (int16_t)(wide - f.lo) : -32768;
    w->high = f.open ? (int16_t)(f.hi - wide) : 32767;
#if NCD_TRELLIS_CONTEXTS
    if (w->kind == NCD_TRELLIS_SEARCH) {
        for (i = 0; (128u * f.cap + 7u) >> i >= NCD_TRELLIS_BINS; ++i)
            ;
        w->bin_shift = (uint8_t)i;
        w->start = (uint16_t)(f.start << i);
        w->first = entry_of(&f, 0, 0);
        build_search(&f, w);
#if NCD_TRELLIS_VECTOR
        w->vector = 0;
        if (ncd_trellis_vector_here() && ncd_trellis_vector_fits(&f, t->tiles)) {
            const uint32_t size = ncd_trellis_model_size(&f, NCD_TRELLIS_SEARCH, NCD_TRELLIS_INDEX); /* below 2^17 */
            w->vector = (uint16_t)(size / 4u);
            ncd_trellis_vector_build(&f, (uint8_t *)memory, size);
        }
#endif
        return;
    }
#endif
#if NCD_TRELLIS_LIGHT
    if (w->kind == NCD_TRELLIS_LIGHT_SLOTS) {
        build_light(&f, w);
        return;
    }
#endif
    for (i = 0; i < quantizers_of(&f); ++i)
        if (NCD_TRELLIS_PREFIX && w->kind >= NCD_TRELLIS_CODES)
            build_codes(&f, i, w->kind, entries);
        else if (NCD_TRELLIS_RANS)
            build_slots(&f, i, entries + (i << NCD_TRELLIS_SLOTS_LOG2));
}

#endif
