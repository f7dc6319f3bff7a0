/* What the modules of codec 4 share (docs/format.md section 12). */
#ifndef NCD_TRELLIS_H
#define NCD_TRELLIS_H

#include "internal.h"

/* ---- trellis_model.c ---- */

enum { NCD_TRELLIS_BINS = 64 };

/* Whether tables may be picked by the levels before. */
#define NCD_TRELLIS_PICKS (NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LIGHT)

/* A model that has been checked, and what its bytes say. */
typedef struct ncd_trellis_model {
    uint8_t states_log2, open, m, raw_bits, lo, hi, cap, start;
    uint8_t constant;  /* whether a table has but one symbol */
    uint8_t n_tables[2];
    uint8_t classes, n_signs;
    uint16_t values[2];
    uint16_t frequencies; /* of all tables */
    const uint8_t *tables[2];
    const uint8_t *end;
#if NCD_TRELLIS_PICKS
    const uint8_t *magnitudes, *signs; /* thresholds */
    const uint8_t *map[2];
#endif
} ncd_trellis_model;

/* Checks a model and moves the cursor behind it. */
ncd_status ncd_trellis_model_read(ncd_cursor *c, ncd_trellis_model *f);

/* The kind of workspace, below, for tiles with a model; wide: of 16-bit levels; lanes: tiles decoded at a time. */
uint32_t ncd_trellis_model_kind(const ncd_trellis_model *f, int wide, uint32_t lanes);

/* Bytes of a workspace of this kind; index: bytes of the index of a table. */
uint32_t ncd_trellis_model_size(const ncd_trellis_model *f, uint32_t kind, uint32_t index);

/* ---- Workspace ----
 *
 * Offsets count bytes from its start. These are the kinds: */

enum {
    NCD_TRELLIS_SEARCH, /* any model: a table takes 20 bytes and 2 a symbol, because the symbol of a slot is found by a
                         * look-up of the slot's first few bits and a few comparisons */
    NCD_TRELLIS_LIGHT_SLOTS, /* tables of 2^8 slots: a table takes 256 bytes, which tell the place of each slot's entry,
                              * and 8 a symbol */
    NCD_TRELLIS_SLOTS,  /* one table a quantizer, 2^8 slots: 1 KB for each quantizer, which tells all of each slot */
    NCD_TRELLIS_CODES,  /* prefix codes of up to 8 bits and at most 16 states: 512 bytes for each quantizer */
    NCD_TRELLIS_CODES_WIDE /* and more states: 1 KB */
};

typedef struct ncd_trellis_workspace {
    uint32_t tag;
    uint32_t first;       /* entry that stands for the level before the first one */
    uint16_t cells;       /* offset of: by magnitude class, sign class and quantizer, half the offset of the table; not of LIGHT_SLOTS */
    uint16_t start;       /* running magnitude */
    int16_t low, high;    /* symbols up to and from here on are open; beyond all values where there are no open ends */
    uint8_t kind, m, bin_shift, raw_bits;
    uint8_t union_shift;  /* 2 where there are two quantizers, else 0 */
    uint8_t unused[3];    /* bins start at a word */
    uint8_t bins[NCD_TRELLIS_BINS]; /* by bits of the running magnitude: place of the first cell of its class */
} ncd_trellis_workspace;

/* Where the entries of the kinds with 256 a quantizer begin: they have no bins. */
enum { NCD_TRELLIS_ENTRIES = 24 };

/* So many states' number fits into a nibble. */
enum { NCD_TRELLIS_NIBBLE_STATES_LOG2 = 4 };
#define NCD_TRELLIS_SLOTS_LOG2 8u /* no enumerator: C++ warns where these meet other integers */

/* LIGHT_SLOTS: so many entries at most, since a byte tells which. Offsets of tables count from the bins; cells are half-words
 * behind these, their places count from there as well, and entries come at a fixed offset. */
#define NCD_TRELLIS_LIGHT_ENTRIES 256u
#define NCD_TRELLIS_LIGHT_CELL (NCD_TRELLIS_BINS / 2u)
#define NCD_TRELLIS_LIGHT_AT (NCD_TRELLIS_BINS + 160u)

/* A table to search. Behind it are the sums of the frequencies before each of its symbols, and of all. */
enum { NCD_TRELLIS_INDEX = 1 << NCD_TRELLIS_INDEX_LOG2 };

typedef struct ncd_trellis_table {
    uint8_t index[NCD_TRELLIS_INDEX]; /* by the first bits of a slot: the likeliest symbol of such slots */
    uint16_t entries;                 /* offset of the entry before that of the first symbol */
} ncd_trellis_table;

/* An entry tells what a value does: byte 0 the value, or its low 8 bits. Then
 *   SEARCH: byte 1 what changes the state; byte 2 the magnitude, capped; bits 24-28 the place of its sign class among
 *           cells; bit 31 whether it is negative;
 *   LIGHT_SLOTS: byte 1 2^8 less the number of the symbol's slots; byte 2 the place of the value's sign class among cells; byte 3 the
 *           first slot; bytes 4-5 what the running magnitude gets, byte 7 what changes the state;
 *   SLOTS:  byte 1 the slot's place among its symbol's slots; byte 2 their number; byte 3 what changes the state;
 *   CODES:  16 bits, of which bits 8-11 tell the bits of the code, bits 12-15 what changes the state;
 *   CODES_WIDE: byte 1 the bits of the code; byte 3 what changes the state. */

/* ---- trellis_tile.c ---- */

/* A tile that is being decoded: what is left of its data, and what the next level depends on. */
typedef struct ncd_trellis_lane {
    const uint8_t *src, *end;
    uint32_t x, a, s, e;
} ncd_trellis_lane;

/* Tells a workspace that was prepared for this tensor, or one alike, from others. */
static inline uint32_t ncd_trellis_tag(const ncd_tensor *t)
{
    return (uint32_t)(uintptr_t)t->tables[0] << 2 | (t->mode == NCD_MODE_WIDE ? 2u : 0u) | 1u;
}

#endif
