/* Codec 4: levels of a trellis quantizer, coded with rANS (docs/format.md section 12). */
#include "internal.h"

#if NCD_ENABLE_TRELLIS

enum { WIDE = 1, COLUMNS = 2, SHARED = 4, ROW_SCALES = 8, COLUMN_SCALES = 16, ZEROS = 32 };
enum { LOWEST = 1 << 16, MOST_TABLES = 64, BINS = 64 };

/* ---- Model ---- */

/* A model that has been checked, and what its bytes say. */
typedef struct model {
    const uint8_t *magnitudes, *signs; /* thresholds */
    const uint8_t *map[2], *tables[2];
    const uint8_t *end;
    uint32_t states_log2, open, m, raw_bits, lo, hi, cap, classes, n_signs, start;
    uint32_t n_tables[2], values[2];
    uint32_t frequencies; /* of all tables */
} model;

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

/* The map of a quantizer. */
static ncd_status read_map(ncd_cursor *c, model *f, uint32_t u)
{
    const uint32_t cells = f->classes * (2u * f->n_signs + 1u), count = ncd_get_u8(c) + 1u, width = bit_length(count - 1u);
    uint32_t i;
    f->n_tables[u] = count;
    f->map[u] = ncd_get_fields(c, cells, width);
    if (ncd_is_bad(c) || count > MOST_TABLES)
        return NCD_ERR_CORRUPT;
    for (i = 0; width > 0 && i < cells; ++i)
        if (field_of(f->map[u], i, width) >= count)
            return NCD_ERR_CORRUPT;
    return NCD_OK;
}

/* The tables of a quantizer. */
static ncd_status read_tables(ncd_cursor *c, model *f, uint32_t u)
{
    uint32_t i, k;
    f->tables[u] = c->p;
    for (i = 0; i < f->n_tables[u]; ++i) {
        const uint32_t first = ncd_get_u8(c), count = ncd_get_u8(c) + 1u;
        ncd_frequencies next;
        uint32_t sum = 0;
        if (ncd_is_bad(c) || first + count > f->values[u])
            return NCD_ERR_CORRUPT;
        next.p = c->p;
        next.end = c->end;
        next.bit = 0;
        for (k = 0; k < count; ++k) {
            const uint32_t frequency = ncd_frequency_next(&next);
            if (frequency > 1u << f->m)
                return NCD_ERR_CORRUPT;
            sum += frequency;
        }
        if (sum != 1u << f->m)
            return NCD_ERR_CORRUPT;
        c->p = next.p + (next.bit != 0);
        f->frequencies += count;
    }
    return NCD_OK;
}

/* Checks a model and moves the cursor behind it. */
static ncd_status read_model(ncd_cursor *c, model *f)
{
    const uint8_t *const head = ncd_get_bytes(c, 7);
    uint32_t u, quantizers, reserved;
    ncd_status status;
    if (!head)
        return NCD_ERR_CORRUPT;
    NCD_FILL(f, 0, sizeof *f);
    f->states_log2 = head[0] & 15u;
    f->open = head[0] >> 4 & 1u;
    if (head[0] >> 5)
        return NCD_ERR_UNSUPPORTED;
    f->m = head[1] & 15u;
    f->raw_bits = head[1] >> 4;
    f->lo = head[2];
    f->hi = head[3];
    f->cap = head[4];
    f->classes = (head[5] & 7u) + 1u;
    f->n_signs = head[5] >> 3 & 3u;
    reserved = head[5] >> 5;
    f->start = head[6];
    if (f->states_log2 == 1 || f->states_log2 > 8 || f->m - 8u > 4u || f->raw_bits > 12 || f->cap - 1u > 126u ||
        (f->open && f->lo + f->hi < (f->states_log2 ? 7u : 1u)))
        return NCD_ERR_CORRUPT;
    if (reserved)
        return NCD_ERR_UNSUPPORTED;
    if (f->n_signs > 2 || f->start >= BINS)
        return NCD_ERR_CORRUPT;
    f->magnitudes = ncd_get_bytes(c, f->classes - 1u);
    f->signs = ncd_get_bytes(c, f->n_signs);
    if (ncd_is_bad(c) || !ascends(f->magnitudes, f->classes - 1u, BINS - 1u) || !ascends(f->signs, f->n_signs, 255))
        return NCD_ERR_CORRUPT;
    quantizers = f->states_log2 ? 2 : 1;
    if (quantizers == 1) {
        f->values[0] = f->lo + f->hi + 1u;
    } else {
        f->values[0] = f->lo / 2u + f->hi / 2u + 1u;
        f->values[1] = (f->lo + 1u) / 2u + (f->hi + 1u) / 2u;
    }
    for (u = 0; u < quantizers; ++u) {
        status = read_map(c, f, u);
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

/* ---- Workspace ----
 *
 * What decoding a symbol needs, small enough for a microcontroller: a table takes 18 bytes and 2 a symbol, because the
 * symbol of a slot is found by a look-up of the slot's first four bits and a few comparisons, not by a table of all slots.
 * All offsets count bytes from the workspace's start. */

typedef struct workspace {
    uint32_t tag;
    uint16_t cells;       /* offset of: for each magnitude class, sign class and quantizer, the offset of its table */
    uint16_t start;       /* running magnitude */
    uint32_t first;       /* entry that stands for the level before the first one */
    uint8_t m, bin_shift, raw_bits, union_shift; /* union_shift: 2 where there are two quantizers, else 0 */
    int16_t low, high;    /* symbols up to and from here on are open; beyond all values where there are no open ends */
    uint8_t bins[BINS];   /* by bits of the running magnitude: place of the first cell of its class */
} workspace;

enum { INDEX = 16, INDEX_LOG2 = 4 };

/* A table. Behind it are the sums of the frequencies before each of its symbols, and of all. */
typedef struct table {
    uint8_t index[INDEX]; /* by the first bits of a slot: the symbol of the first such slot */
    uint16_t entries;     /* offset of the entry of the first symbol */
} table;

/* An entry tells what a value does: byte 0 the value, or its low 8 bits; byte 1 its magnitude, capped; byte 2 what changes
 * the state; bits 24-28 the place of its sign class among cells, bit 31 whether it is negative. */

static uint32_t table_size(uint32_t symbols)
{
    return (uint32_t)sizeof(table) + 2u * (symbols + 1u);
}

static uint32_t cells_of(const model *f)
{
    return 2u * f->classes * (2u * f->n_signs + 1u);
}

static uint32_t workspace_size(const model *f)
{
    const uint32_t tables = f->n_tables[0] + f->n_tables[1];
    return ((uint32_t)sizeof(workspace) + 4u * (f->values[0] + f->values[1]) + 2u * cells_of(f) +
            tables * table_size(0) + 2u * f->frequencies + 3u) & ~3u;
}

static uint32_t entry_of(const model *f, int32_t value, uint32_t u)
{
    /* h0 and h1 without their last bit, by log2 of the number of states from 2 on. */
    static const uint8_t polynomials[7][2] = {{2, 1}, {5, 2}, {9, 2}, {18, 4}, {33, 10}, {78, 43}, {166, 121}};
    const uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    uint32_t change = 0, above = 0, sign = f->n_signs;
    if (f->states_log2) {
        const uint8_t *const h = polynomials[f->states_log2 - 2u];
        change = (u ? h[0] : 0u) ^ ((((uint32_t)value + u) >> 1 & 1u) ? h[1] : 0u);
    }
    while (above < f->n_signs && f->signs[above] <= magnitude)
        ++above;
    sign = value < 0 ? sign - above : sign + above;
    return ((uint32_t)value & 255u) | (magnitude < f->cap ? magnitude : f->cap) << 8 | change << 16 | sign << 25 |
           (value < 0 ? 1u << 31 : 0);
}

/* Builds the tables of a quantizer from offset `at` on, whose entries are at `entries`; gives the offset behind them. */
static uint32_t build_tables(const model *f, uint32_t u, uint8_t *ws, uint32_t entries, uint32_t at, uint16_t *offsets)
{
    const uint8_t *p = f->tables[u];
    uint32_t i, j, k;
    for (i = 0; i < f->n_tables[u]; ++i) {
        table *const t = (table *)(void *)(ws + at);
        uint16_t *const sums = (uint16_t *)(void *)(ws + at + sizeof *t);
        const uint32_t first = p[0], count = p[1] + 1u;
        ncd_frequencies next;
        uint32_t sum = 0;
        next.p = p + 2;
        next.end = f->end;
        next.bit = 0;
        t->entries = (uint16_t)(entries + 4u * first);
        sums[0] = 0;
        for (k = 0; k < count; ++k) {
            sum += ncd_frequency_next(&next);
            sums[k + 1u] = (uint16_t)sum;
        }
        k = 0;
        for (j = 0; j < INDEX; ++j) {
            while (sums[k + 1u] <= j << (f->m - INDEX_LOG2))
                ++k;
            t->index[j] = (uint8_t)k;
        }
        p = next.p + (next.bit != 0);
        offsets[i] = (uint16_t)at;
        at += table_size(count);
    }
    return at;
}

static uint32_t tag_of(const ncd_tensor *t)
{
    return (uint32_t)(uintptr_t)t->tables[0] << 1 | 1u;
}

void ncd_trellis_prepare(const ncd_tensor *t, uint32_t *memory)
{
    workspace *const w = (workspace *)(void *)memory;
    uint8_t *const ws = (uint8_t *)memory;
    uint32_t *entry = (uint32_t *)(void *)(ws + sizeof *w);
    uint16_t offsets[MOST_TABLES];
    ncd_cursor c;
    model f;
    uint32_t at, u, i, cells, row = 0;
    uint16_t *cell;

    c.p = t->tables[0];
    c.end = t->model_end;
    (void)read_model(&c, &f); /* which has been read before */
    w->tag = tag_of(t);
    w->m = (uint8_t)f.m;
    w->raw_bits = (uint8_t)f.raw_bits;
    w->union_shift = f.states_log2 ? 2 : 0;
    for (i = 0; (128u * f.cap + 7u) >> i > 63u; ++i)
        ;
    w->bin_shift = (uint8_t)i;
    w->start = (uint16_t)(f.start << i);
    w->first = entry_of(&f, 0, 0);
    w->low = -32768;
    w->high = 32767;
    if (f.open) {
        const int16_t wide = f.states_log2 ? 3 : 0;
        w->low = (int16_t)(wide - (int16_t)f.lo);
        w->high = (int16_t)((int16_t)f.hi - wide);
    }
    cells = cells_of(&f);
    for (i = 0; i < BINS; ++i) {
        while (row + 1u < f.classes && i >= f.magnitudes[row])
            ++row;
        w->bins[i] = (uint8_t)(row * (cells / f.classes));
    }
    w->cells = (uint16_t)(sizeof *w + 4u * (f.values[0] + f.values[1]));
    cell = (uint16_t *)(void *)(ws + w->cells);
    at = w->cells + 2u * cells;
    for (u = 0; u < (f.states_log2 ? 2u : 1u); ++u) {
        const uint32_t width = bit_length(f.n_tables[u] - 1u), entries = (uint32_t)((uint8_t *)entry - ws);
        int32_t value = -(int32_t)f.lo;
        if (f.states_log2 && ((uint32_t)value & 1u) != u)
            ++value;
        for (i = 0; i < f.values[u]; ++i, value += f.states_log2 ? 2 : 1)
            *entry++ = entry_of(&f, value, u);
        at = build_tables(&f, u, ws, entries, at, offsets);
        for (i = u; i < cells; i += 2)
            cell[i] = offsets[width ? field_of(f.map[u], i >> 1, width) : 0];
    }
}

/* ---- Header ---- */

static ncd_status read_codes(ncd_cursor *c, uint32_t count, uint8_t *width, const uint8_t **codes)
{
    const uint32_t w = ncd_get_u8(c);
    if (w >> 4)
        return NCD_ERR_UNSUPPORTED;
    if (w - 1u > 7u)
        return NCD_ERR_CORRUPT;
    *width = (uint8_t)w;
    *codes = ncd_get_fields(c, count, w);
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_trellis_bind(const ncd_model *m, ncd_tensor *t)
{
    const uint32_t rows = t->rows, cols = t->cols;
    ncd_cursor c, shared, *from = &c;
    ncd_status status;
    model f;
    uint32_t mode;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (ncd_is_bad(&c))
        return NCD_ERR_CORRUPT;
    if (mode >> 6 || (mode & (SHARED | ZEROS)) == (SHARED | ZEROS))
        return NCD_ERR_UNSUPPORTED;
    if (t->dtype > NCD_F64)
        return NCD_ERR_CORRUPT;
    t->mode = mode & WIDE ? NCD_MODE_WIDE : NCD_MODE_LEVELS;
    if (mode & COLUMNS) {
        t->columns = 1;
        t->rows = cols;
        t->cols = rows;
    }
    status = ncd_tiles_cut(t, ncd_get_varint32(&c));
    if (status != NCD_OK)
        return status;
    t->step_bits = ncd_get_u32(&c);
    if (t->step_bits - 1u >= 0x7F7FFFFFu)
        return NCD_ERR_CORRUPT; /* the step is finite and positive */
    if (mode & ROW_SCALES)
        status = read_codes(&c, rows, &t->scale_width, &t->scales);
    if (status == NCD_OK && (mode & COLUMN_SCALES))
        status = read_codes(&c, cols, &t->column_scale_width, &t->column_scales);
    if (status != NCD_OK)
        return status;
    t->data = c.p;
    if (mode & ZEROS) {
        t->zeros = 1;
        return ncd_is_bad(&c) || c.p != c.end ? NCD_ERR_CORRUPT : NCD_OK;
    }
    if (mode & SHARED) {
        status = ncd_model_shared(m, &c, NCD_SHARED_TRELLIS, &shared);
        if (status != NCD_OK)
            return status;
        from = &shared;
    }
    t->tables[0] = from->p;
    t->model_end = from->end;
    status = read_model(from, &f);
    if (status != NCD_OK)
        return status;
    if ((mode & SHARED) && shared.p != shared.end)
        return NCD_ERR_CORRUPT;
    if (t->mode == NCD_MODE_LEVELS && (f.lo > 128 || f.hi > 127 || f.raw_bits))
        return NCD_ERR_CORRUPT;
    if (f.values[0] == 0 || (f.states_log2 && f.values[1] == 0))
        return NCD_ERR_CORRUPT;
    t->model_workspace = workspace_size(&f);
    return ncd_tiles_read_index(t, &c);
}

/* ---- Tiles ---- */

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
    const workspace *const w = (const workspace *)(const void *)memory;
    const uint8_t *const ws = (const uint8_t *)memory, *const bins = w->bins;
    const uint16_t *const cells = (const uint16_t *)(const void *)(ws + w->cells);
    const uint32_t m = w->m, mask = (1u << m) - 1u, narrow = m - INDEX_LOG2, bin_shift = w->bin_shift;
    const uint8_t *src = left->src, *const end = left->end;
    uint32_t x = left->x, a = w->start, s = 0, e = w->first;
    int8_t *dst8 = (int8_t *)out;
    int16_t *dst16 = (int16_t *)out;
    REFILL();
    REFILL();
    do {
        const uint32_t cell = bins[a >> bin_shift] + (e >> 24 & 31u) + (s & 1u);
        const table *const t = (const table *)(const void *)(ws + cells[cell]);
        const uint16_t *const sums = (const uint16_t *)(const void *)(t + 1);
        const uint32_t slot = x & mask;
        uint32_t i = t->index[slot >> narrow];
        while (slot >= sums[i + 1u])
            ++i;
        e = *(const uint32_t *)(const void *)(ws + t->entries + 4u * i);
        x = (uint32_t)(sums[i + 1u] - sums[i]) * (x >> m) + (slot - sums[i]);
        REFILL();
        a = a - (a >> 3) + ((e >> 8 & 255u) << 4);
        s = s >> 1 ^ (e >> 16 & 255u);
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
    const workspace *const w = (const workspace *)(const void *)memory;
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
    rest left;
    size_t size;
    ncd_status status;

    if (t->zeros) {
        NCD_FILL(dst, 0, wide ? 2u * (size_t)n : n);
        return NCD_OK;
    }
    if (!NCD_GIVEN(memory) || !NCD_GIVEN(((uintptr_t)memory & 3u) == 0) || memory[0] != tag_of(t))
        return NCD_ERR_WORKSPACE;
    status = ncd_tiles_extent(t, tile, &left.src, &size);
    if (status != NCD_OK)
        return status;
    if (size & 1u)
        return NCD_ERR_CORRUPT;
    left.end = left.src + size;
    left.x = 0;
    if (!(wide ? take_wide(memory, &left, dst, n) : take_narrow(memory, &left, dst, n)))
        return NCD_ERR_CORRUPT;
    if ((left.x != 0 || left.src != left.end) && !open_ends(memory, &left, wide, dst, n))
        return NCD_ERR_CORRUPT;
    return left.x == 0 && left.src == left.end ? NCD_OK : NCD_ERR_CORRUPT;
}

#endif
