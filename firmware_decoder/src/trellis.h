/* What the modules of codec 4 share (docs/format.md section 12). */
#ifndef NCD_TRELLIS_H
#define NCD_TRELLIS_H

#include "internal.h"

/* ---- trellis_model.c ---- */

enum { NCD_TRELLIS_BINS = 64 };

enum { NCD_TRELLIS_AUTOMATON_STATES = 8 }; /* at most */

/* Whether there may be AVX2, which ncd_trellis_vector_here() tells. Not on Windows, where gcc does not align vectors on the
 * stack. */
#if defined(NCD_TRELLIS_VECTOR) /* a test wants it so */
#elif NCD_TRELLIS_LANES > 1 && NCD_TRELLIS_CONTEXTS && defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
#define NCD_TRELLIS_VECTOR 1
#else
#define NCD_TRELLIS_VECTOR 0
#endif

/* Whether there may be open ends. */
#define NCD_TRELLIS_OPEN_ENDS (NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_LIGHT)

/* Whether an automaton picks the tables of all models that are compiled in. */
#define NCD_TRELLIS_LIGHT_ONLY (NCD_TRELLIS_LIGHT && !(NCD_TRELLIS_CONTEXTS || NCD_TRELLIS_RANS || NCD_TRELLIS_PREFIX))

/* A model that has been checked, and what its bytes say. */
typedef struct ncd_trellis_model {
    uint8_t states_log2, open, m, raw_bits, lo, hi, cap, start;
    uint8_t constant;  /* whether a table has but one symbol */
    uint8_t n_tables[2];
    uint8_t automaton; /* whether an automaton picks tables; then classes are its states */
    uint8_t classes, n_signs;
    uint16_t values[2];
    uint16_t frequencies; /* of all tables */
    const uint8_t *tables[2];
    const uint8_t *end;
#if NCD_TRELLIS_CONTEXTS
    const uint8_t *magnitudes, *signs; /* thresholds */
    const uint8_t *map[2];
#endif
#if NCD_TRELLIS_LIGHT
    uint8_t n_rules;      /* of the automaton: one for each state, or one for all */
    const uint8_t *rules; /* each: how many thresholds, these, the states that follow */
    uint16_t blocks[NCD_TRELLIS_AUTOMATON_STATES + 1]; /* symbols of each state of an automaton; then where its block lies */
#endif
} ncd_trellis_model;

/* Checks a model and moves the cursor behind it. */
ncd_status ncd_trellis_model_read(ncd_cursor *c, ncd_trellis_model *f);

/* The kind of workspace, below, for tiles with a model; wide: of 16-bit levels. */
uint32_t ncd_trellis_model_kind(const ncd_trellis_model *f, int wide);

/* Bytes of a workspace of this kind; index: bytes of the index of a table. */
uint32_t ncd_trellis_model_size(const ncd_trellis_model *f, uint32_t kind, uint32_t index);

/* ---- Workspace ----
 *
 * Offsets count bytes from its start. These are the kinds: */

enum {
    NCD_TRELLIS_SEARCH, /* any model without an automaton: a table takes 20 bytes and 2 a symbol, because the symbol of a
                         * slot is found by a look-up of the slot's first few bits and a few comparisons */
    NCD_TRELLIS_LIGHT_SLOTS, /* an automaton: a state takes 512 bytes, which tell the place of each slot's entry, and 8 a
                              * symbol */
    NCD_TRELLIS_SLOTS,  /* one table a quantizer, 2^8 slots: 1 KB for each quantizer, which tells all of each slot */
    NCD_TRELLIS_CODES,  /* prefix codes of up to 8 bits and at most 16 states: 512 bytes for each quantizer */
    NCD_TRELLIS_CODES_WIDE /* and more states: 1 KB */
};

typedef struct ncd_trellis_workspace {
    uint32_t tag;
    uint32_t first;       /* entry that stands for the level before the first one */
    uint16_t cells;       /* offset of: by magnitude class, sign class and quantizer, half the offset of the table; of SEARCH */
    uint16_t start;       /* running magnitude; of LIGHT_SLOTS the offset of the first state's block */
    int16_t low, high;    /* symbols up to and from here on are open; beyond all values where there are no open ends */
    uint8_t kind, m, bin_shift, raw_bits;
    uint8_t union_shift;  /* 2 where there are two quantizers, else 0 */
    uint8_t ahead;        /* of LIGHT_SLOTS, where entries are read byte by byte: what to add to what an index says */
#if NCD_TRELLIS_VECTOR
    uint16_t vector;      /* of SEARCH: a quarter of the offset of what vectors are decoded with, or 0 */
#else
    uint8_t unused[2];    /* bins start at a word */
#endif
    uint8_t bins[NCD_TRELLIS_BINS]; /* by bits of the running magnitude: place of the first cell of its class */
} ncd_trellis_workspace;

/* Where the entries of the other kinds begin: they have no bins. */
enum { NCD_TRELLIS_ENTRIES = 24 };

/* So many states' number fits into a nibble. */
enum { NCD_TRELLIS_NIBBLE_STATES_LOG2 = 4 };
#define NCD_TRELLIS_SLOTS_LOG2 8u /* no enumerator: C++ warns where these meet other integers */

/* LIGHT_SLOTS: each state has a block. Bytes by quantizer and slot, or by slot and quantizer where entries are read byte by byte, tell
 * which of the entries behind them is the slot's: there are 256 at most, as there are values. Where entries are read byte by byte and no
 * block has more than LIGHT_FEW, these count from the start of the block. Offsets of blocks count from ENTRIES. */
#define NCD_TRELLIS_LIGHT_AT (2u << NCD_TRELLIS_SLOTS_LOG2)
#define NCD_TRELLIS_LIGHT_FEW (256u - NCD_TRELLIS_LIGHT_AT / 8u)

/* A table to search. Behind it are the sums of the frequencies before each of its symbols, and of all. */
enum { NCD_TRELLIS_INDEX = 1 << NCD_TRELLIS_INDEX_LOG2 };

typedef struct ncd_trellis_table {
    uint8_t index[NCD_TRELLIS_INDEX]; /* by the first bits of a slot: the likeliest symbol of such slots */
    uint16_t entries;                 /* offset of the entry before that of the first symbol */
} ncd_trellis_table;

/* An entry tells what a value does: byte 0 the value, or its low 8 bits, but for LIGHT_SLOTS. Then
 *   SEARCH: byte 1 what changes the state; byte 2 the magnitude, capped; bits 24-28 the place of its sign class among
 *           cells; bit 31 whether it is negative;
 *   LIGHT_SLOTS: bytes 0-1 the offset of the next state's block; byte 2 the symbol's first slot; byte 3 2^8 less the number of its
 *           slots; byte 4 the value; byte 5 what changes the state of the trellis;
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
    return ncd_tag(t->tables[0], t->mode == NCD_MODE_WIDE);
}

#endif
