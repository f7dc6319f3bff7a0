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

/* Whether the caller gave p, which only a full check looks at. */
#define NCD_GIVEN(p) (!NCD_FULL_CHECK || (p))

/* What mode says in bits 0-1. */
enum { NCD_MODE_LEVELS = 0, NCD_MODE_LOSSLESS = 1 };

/* ---- tensor.c ---- */

/* Takes over what a record says. */
ncd_status ncd_tensor_set(const ncd_record *r, const uint8_t *payload, ncd_tensor *t);

/* Reads the header of the payload of a tensor that has been set. */
ncd_status ncd_tensor_read(const ncd_model *m, ncd_tensor *t);

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

/* Whether a code may stand for two levels: pairs, or zeros. */
static inline int ncd_table_is_double(const uint8_t *table)
{
    return (table[1] & 6u) != 0;
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
ncd_status ncd_huffman_levels(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace);
ncd_status ncd_huffman_lossless(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n,
                                const uint32_t *workspace);

/* ---- raw.c ---- */

ncd_status ncd_raw_bind(ncd_tensor *t);
void ncd_raw_bytes(const ncd_tensor *t, uint32_t row, uint32_t col, uint32_t n, uint8_t *dst);

/* ---- model.c ---- */

enum { NCD_NAME_MAX = 65535, NCD_TENSORS_MAX = (1 << 24) - 1 };

/* log2 of an element's size in bytes: two bits for each dtype number, 1 to 16, the last one's first. */
static inline uint32_t ncd_size_log2(uint32_t dtype)
{
    return 0xE40E435Bu >> 2 * (dtype & 15u) & 3u;
}

/* Finds and checks shared code table `index`. */
ncd_status ncd_model_table(const ncd_model *m, uint32_t index, const uint8_t **table);

/* Goes to the place before the first record. */
void ncd_record_rewind(const ncd_model *m, ncd_record *r);

/* Reads the record after r. */
ncd_status ncd_record_read(const ncd_model *m, ncd_record *r);

/* Reads record `index`, which exists; or, with UINT32_MAX, goes to the place before the first. */
ncd_status ncd_record_seek(const ncd_model *m, uint32_t index, ncd_record *r);

/* ---- check.c ---- */

#if NCD_FULL_CHECK

enum { NCD_NAME_LEVELS = 16 };

/* Names are front-coded, so whether they ascend hangs on one byte: the one of the name before that the first new byte
 * replaces. It came with the last record whose prefix is not longer than the new one. This stack of the records that
 * still have bytes in the name before finds it without putting a name together; names nest a few levels deep. Where
 * they nest deeper, the directory is read again, in time quadratic in the number of tensors. Starts as zeros. */
typedef struct ncd_names {
    const uint8_t *suffix[NCD_NAME_LEVELS];
    uint16_t prefix[NCD_NAME_LEVELS];
    uint32_t depth;
    uint32_t lost; /* the least prefix of a record that found no room, else 0 */
    uint32_t size; /* of the last name */
} ncd_names;

/* Whether the name of r follows the one before, and its prefix is as long as it can be. */
int ncd_check_name(const ncd_model *m, ncd_names *names, const ncd_record *r);

/* Whether the name of the codec is one. */
int ncd_check_codec_name(const ncd_record *r);

/* That no tensor is tied to a tied one. */
ncd_status ncd_check_ties(const ncd_model *m);

#endif

#endif
