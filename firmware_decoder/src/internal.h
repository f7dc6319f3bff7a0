/* What the modules of the decoder share. Nothing here is part of the interface. */
#ifndef NCD_INTERNAL_H
#define NCD_INTERNAL_H

#include "bytes.h"
#include "ncd.h"

#if NCD_HUFFMAN_LOOKUP_BITS < 8 || NCD_HUFFMAN_LOOKUP_BITS > 12
#error "NCD_HUFFMAN_LOOKUP_BITS must be 8 to 12"
#endif
#if NCD_MAX_PLANES < 1 || NCD_MAX_PLANES > 8
#error "NCD_MAX_PLANES must be 1 to 8"
#endif

#if defined(__GNUC__)
#define NCD_INLINE static inline __attribute__((always_inline))
#define NCD_NOINLINE __attribute__((noinline))
#define NCD_COPY __builtin_memcpy /* with -ffreestanding a small memcpy would be a call, and there is no string.h */
#define NCD_FILL __builtin_memset
#define NCD_ALIGNED __builtin_assume_aligned
#define NCD_LIKELY(x) __builtin_expect(!!(x), 1)
#define NCD_KEEP(x) __asm__("" : "+r"(x)) /* compute x here, once; compilers split sums of pointers otherwise */
#else
#include <string.h>
#define NCD_INLINE static inline
#define NCD_NOINLINE
#define NCD_COPY memcpy
#define NCD_FILL memset
#define NCD_ALIGNED(p, n) (p)
#define NCD_LIKELY(x) (x)
#define NCD_KEEP(x) ((void)0)
#endif

/* What mode says in bits 0-1. */
enum { NCD_MODE_LEVELS = 0, NCD_MODE_LOSSLESS = 1 };

/* ---- tiles.c ---- */

/* Cuts the matrix of t in tiles of T weights. CORRUPT: T is 0 or too big, or there are too many tiles. */
ncd_status ncd_tiles_cut(ncd_tensor *t, uint32_t T);

/* Reads the tile index at the cursor; what follows it is the tensor's data. Only for tensors with data. */
ncd_status ncd_tiles_read_index(ncd_tensor *t, ncd_cursor *c);

/* Where the bytes of a tile lie. */
ncd_status ncd_tiles_extent(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size);

/* ---- table.c: code tables. A table is known by the address of its first byte; once checked, it tells its own size. */

/* Checks a table and moves the cursor behind it. */
ncd_status ncd_table_read(ncd_cursor *c);

/* Shortest code length; 0: the code is constant. */
static inline uint32_t ncd_table_min(const uint8_t *table)
{
    return table[0] & 15u;
}

static inline int ncd_table_is_pairs(const uint8_t *table)
{
    return (table[1] & 2u) != 0;
}

/* An entry: byte 0 first symbol, byte 1 second symbol (the first again where there is one), byte 2 bits of the code or
 * codes, byte 3 number of symbols. */
uint32_t ncd_table_entry(const uint8_t *table, uint32_t rank, uint32_t bits);

/* Fills a workspace: one word (ncd_table_tag), then 2^NCD_HUFFMAN_LOOKUP_BITS entries.
 * A code that is longer than the look-up has an entry below 2^16: see ncd_table_walk. */
void ncd_table_build(const uint8_t *table, uint32_t *workspace);

/* Tells a workspace that was prepared for this table from others: bits 9 and up of its first word. */
static inline uint32_t ncd_table_tag(const uint8_t *table)
{
    return (uint32_t)((uintptr_t)table << 9);
}

/* A run of codes in the stream. */
typedef struct ncd_codes {
    const uint8_t *table;
    const uint8_t *src;
    uint32_t bits; /* that may be read from src */
    uint32_t rank; /* codes that are not longer than a look-up */
} ncd_codes;

/* Reads the code at bit `pos` one bit at a time and gives its entry; 0: it runs past the end. With length 0 and d 0 it
 * starts afresh, else after a look-up of `length` bits whose entry was d, the distance of these bits from those that
 * begin the first longer code. */
uint32_t ncd_table_walk(const ncd_codes *codes, uint32_t pos, uint32_t length, uint32_t d);

/* ---- huffman.c ---- */

ncd_status ncd_huffman_bind(const ncd_model *m, ncd_tensor *t);
size_t ncd_huffman_workspace(const ncd_tensor *t);
void ncd_huffman_prepare(const ncd_tensor *t, uint32_t *workspace);
ncd_status ncd_huffman_levels(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace);
ncd_status ncd_huffman_lossless(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n,
                                const uint32_t *workspace);

/* ---- raw.c ---- */

ncd_status ncd_raw_bind(ncd_tensor *t);
ncd_status ncd_raw_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst);

/* ---- model.c ---- */

/* log2 of an element's size, by dtype number; the first is not used. */
extern const uint8_t ncd_size_log2[17];

/* Finds and checks shared code table `index`. */
ncd_status ncd_model_table(const ncd_model *m, uint32_t index, const uint8_t **table);

#endif
