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
#if NCD_TRELLIS_INDEX_LOG2 < 4 || NCD_TRELLIS_INDEX_LOG2 > 8
#error "NCD_TRELLIS_INDEX_LOG2 must be 4 to 8"
#endif
#if NCD_TRELLIS_BYTE_LOADS && defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "NCD_TRELLIS_BYTE_LOADS is for little-endian machines"
#endif
#if NCD_TRELLIS_LANES != 1 && NCD_TRELLIS_LANES != 4
#error "NCD_TRELLIS_LANES must be 1 or 4"
#endif

#if defined(__GNUC__)
#define NCD_INLINE static inline __attribute__((always_inline))
#define NCD_NOINLINE __attribute__((noinline))
#define NCD_COPY __builtin_memcpy /* with -ffreestanding a small memcpy would be a call, and there is no string.h */
#define NCD_FILL __builtin_memset
#define NCD_ALIGNED __builtin_assume_aligned
#define NCD_LIKELY(x) __builtin_expect(!!(x), 1)
#define NCD_KEEP(x) __asm__("" : "+r"(x)) /* compute x here, once; compilers split sums of pointers otherwise */
/* Memory of the caller's is used as another type from here on. Where all is optimized as one program (LTO), compilers might take
 * what is of another type for something else, and move accesses across this. */
#define NCD_RETYPE() __asm__ volatile("" : : : "memory")
#else
#include <string.h>
#define NCD_INLINE static inline
#define NCD_NOINLINE
#define NCD_COPY memcpy
#define NCD_FILL memset
#define NCD_ALIGNED(p, n) (p)
#define NCD_LIKELY(x) (x)
#define NCD_KEEP(x) ((void)0)
#define NCD_RETYPE() ((void)0)
#endif

/* Whether the caller gave p, which only a full check looks at. */
#define NCD_GIVEN(p) (!NCD_FULL_CHECK || (p))

/* What a tile holds. */
enum { NCD_MODE_LEVELS = 0, NCD_MODE_LOSSLESS = 1, NCD_MODE_INDICES = 2, NCD_MODE_WIDE = 3 };

/* Kinds of shared objects. */
enum { NCD_SHARED_TABLE = 1, NCD_SHARED_FREQUENCIES = 2, NCD_SHARED_BOOK = 3, NCD_SHARED_TRELLIS = 4, NCD_SHARED_AUTOENCODER = 6,
       NCD_SHARED_GENERATIVE = 7 };

/* ---- tensor.c ---- */

/* Takes over what a record says. */
ncd_status ncd_tensor_set(const ncd_record *r, const uint8_t *payload, ncd_tensor *t);

/* Reads the header of the payload of a tensor that has been set. */
ncd_status ncd_tensor_read(const ncd_model *m, ncd_tensor *t);

/* Whether a workspace holds what is wanted. */
NCD_INLINE int ncd_holds(const void *workspace, size_t size, size_t wanted)
{
    return size >= wanted && workspace && ((uintptr_t)workspace & 3u) == 0;
}

/* The first word of a workspace, which tells it from those that were prepared from other bytes: all 32 bits of an address, for
 * what is 8 MiB or 1 GiB off differs in some of them only. Neither 0 nor a pointer to the bytes, which memory may hold
 * that was never prepared. `add` tells apart what has the same bytes, of which there are more than so many. */
static inline uint32_t ncd_tag(const uint8_t *bytes, uint32_t add)
{
    return ~((uint32_t)(uintptr_t)bytes + add);
}

/* What codecs 1 to 4, and 6, do, whose payloads hold no other tensors; regression.c has them do it for what it nests. */
#if NCD_ENABLE_REGRESSION
#define NCD_CODED
ncd_status ncd_coded_bind(const ncd_model *m, ncd_tensor *t);
size_t ncd_coded_workspace(const ncd_tensor *t);
ncd_status ncd_coded_prepare(const ncd_tensor *t, void *workspace, size_t size);
ncd_status ncd_coded_tile(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace);
#else
#define NCD_CODED static
#endif

/* ---- tiles.c ---- */

/* Cuts the matrix of t in tiles of T weights. CORRUPT: T is 0 or too big, or there are too many tiles. */
ncd_status ncd_tiles_cut(ncd_tensor *t, uint32_t T);

/* Reads the tile index at the cursor; what follows it is the tensor's data. Only for tensors with data. */
ncd_status ncd_tiles_read_index(ncd_tensor *t, ncd_cursor *c);

/* Where the bytes of a tile lie. */
ncd_status ncd_tiles_extent(const ncd_tensor *t, uint32_t tile, const uint8_t **src, size_t *size);

#if NCD_HAS_COLUMNS || NCD_ENABLE_REGRESSION
/* ---- What codecs 4 to 7 have in common ---- */

enum { NCD_LEVELS_WIDE = 1, NCD_LEVELS_COLUMNS = 2 }; /* as in the modes of codecs 4, 5 and 6 */

/* Reads what is behind the mode: the cut in tiles, of the matrix or of the transposed one, and the step. CORRUPT where the
 * dtype has no levels. */
ncd_status ncd_tensor_read_levels(ncd_tensor *t, ncd_cursor *c, uint32_t mode);
#endif

/* ---- What codecs 2 and 3 have in common. Inline: with one of them compiled in, a function would cost bytes. ---- */

/* Reads the scale codes of `count` rows or columns; the cursor may be bad afterwards. */
static inline ncd_status ncd_tensor_read_codes(ncd_cursor *c, uint32_t count, uint8_t *width, const uint8_t **codes)
{
    const uint32_t w = ncd_get_u8(c);
    if (w >> 4)
        return NCD_ERR_UNSUPPORTED;
    if (w - 1u > 7u)
        return NCD_ERR_CORRUPT;
    *width = (uint8_t)w;
    *codes = ncd_get_fields(c, count, w);
    return NCD_OK;
}

/* Reads the step, and the scale codes if there are any; the cursor may be bad afterwards. CORRUPT where the dtype has no
 * levels. */
static inline ncd_status ncd_tensor_read_scales(ncd_tensor *t, ncd_cursor *c, uint32_t has_codes)
{
    t->step_bits = ncd_get_u32(c);
    if (t->dtype > NCD_F64 || t->step_bits - 1u >= 0x7F7FFFFFu)
        return NCD_ERR_CORRUPT; /* the step is finite and positive */
    return has_codes ? ncd_tensor_read_codes(c, t->rows, &t->scale_width, &t->scales) : NCD_OK;
}

/* Reads the tile index. `bits`: what all codes together take at least; 0: they are constant, with neither index nor
 * data. */
static inline ncd_status ncd_tensor_read_data(ncd_tensor *t, ncd_cursor *c, uint64_t bits)
{
    ncd_status status;
    t->data = c->p;
    if (bits == 0)
        return c->p == c->end ? NCD_OK : NCD_ERR_CORRUPT;
    status = ncd_tiles_read_index(t, c);
#if NCD_FULL_CHECK
    if (status == NCD_OK && (bits + 7) >> 3 > (uint64_t)(size_t)(c->end - c->p))
        status = NCD_ERR_CORRUPT;
#endif
    return status;
}

/* ---- table.c: code tables. A table is known by the address of its first byte; once checked, it tells its own size. */

/* Checks a table and moves the cursor behind it. */
ncd_status ncd_table_read(ncd_cursor *c);

/* Shortest code length; 0: the code is constant. */
static inline uint32_t ncd_table_min(const uint8_t *table)
{
    return table[0] & 15u;
}

/* Whether symbols are ranks, which is for indices only. */
static inline int ncd_table_is_ranks(const uint8_t *table)
{
    return NCD_ENABLE_KMEANS && (table[1] & 8u) != 0;
}

#if NCD_ENABLE_KMEANS
/* Number of symbols. */
uint32_t ncd_table_symbols(const uint8_t *table);

/* Puts map[symbol] in place of each symbol of a look-up; nothing with map null. */
void ncd_table_map(const uint8_t *map, uint32_t *workspace);
#endif

/* Whether a code may stand for two levels: pairs, or zeros. */
static inline int ncd_table_is_double(const uint8_t *table)
{
    return (table[1] & 6u) != 0;
}

/* An entry: byte 0 first symbol, byte 1 second symbol (the first again where there is one), byte 2 bits of the code or
 * codes, byte 3 number of symbols. */
uint32_t ncd_table_entry(const uint8_t *table, uint32_t rank, uint32_t bits);

/* Fills a workspace: one word (ncd_tag of the table), then 2^NCD_HUFFMAN_LOOKUP_BITS entries.
 * A code that is longer than the look-up has an entry below 2^16: see ncd_table_walk. */
void ncd_table_build(const uint8_t *table, uint32_t *workspace);

/* A run of codes in the stream. */
typedef struct ncd_codes {
    const uint8_t *table;
    const uint8_t *src;
    uint32_t bits; /* that may be read from src */
} ncd_codes;

/* Reads the code at bit `pos` one bit at a time and gives its entry; 0: it runs past the end. With length 0 and e 0 it
 * starts afresh, else after a look-up of `length` bits whose entry was e: byte 0 the distance of these bits from those that
 * begin the first longer code, byte 1 how many codes are not longer. As each such distance has two codes at least, of 256
 * in all, both fit. */
uint32_t ncd_table_walk(const ncd_codes *codes, uint32_t pos, uint32_t length, uint32_t e);

/* ---- huffman.c ---- */

ncd_status ncd_huffman_bind(const ncd_model *m, ncd_tensor *t);
ncd_status ncd_huffman_levels(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n, const uint32_t *workspace);
#if NCD_ENABLE_KMEANS
/* Decodes n symbols from a tile's bytes, through t->map if there is one. */
ncd_status ncd_huffman_symbols(const ncd_tensor *t, const uint32_t *workspace, const uint8_t *src, size_t size,
                               uint8_t *dst, uint32_t n);
#endif
ncd_status ncd_huffman_lossless(const ncd_tensor *t, uint32_t tile, uint8_t *dst, uint32_t n,
                                const uint32_t *workspace);

/* ---- kmeans.c ---- */

#if NCD_ENABLE_KMEANS
ncd_status ncd_kmeans_bind(const ncd_model *m, ncd_tensor *t);
size_t ncd_kmeans_workspace(const ncd_tensor *t);
void ncd_kmeans_prepare(const ncd_tensor *t, uint32_t *workspace);

/* Levels of a tile, or indices where centroids are floats. */
ncd_status ncd_kmeans_tile(const ncd_tensor *t, uint32_t tile, uint8_t *dst, const uint32_t *workspace);

/* Bytes of a centroid. */
static inline uint32_t ncd_centroid_size(uint32_t type)
{
    return 0x1224u >> 4 * type & 7u;
}

#endif

/* ---- rans.c ---- */

#if NCD_ENABLE_KMEANS || NCD_ENABLE_TRELLIS
/* Frequencies, read one after the other. */
typedef struct ncd_frequencies {
    const uint8_t *p, *end;
    uint32_t bit; /* below 8, of *p */
} ncd_frequencies;

/* The next frequency; UINT32_MAX past the end, or where it is no frequency. */
uint32_t ncd_frequency_next(ncd_frequencies *f);
#endif

#if NCD_ENABLE_KMEANS
/* Checks a frequency table of at most `symbols` symbols and moves the cursor behind it. constant: the symbol that has
 * all slots, or UINT32_MAX. */
ncd_status ncd_frequencies_read(ncd_cursor *c, uint32_t symbols, uint32_t *constant);

/* Fills 2^m slots: byte 0 the symbol (or map[symbol]), bits 8-19 its frequency, 20-31 the slot's place among its. */
void ncd_rans_build(const uint8_t *table, const uint8_t *map, uint32_t *slot);

/* Decodes n > 0 symbols from the `size` bytes of a tile. */
ncd_status ncd_rans_decode(uint32_t m, const uint32_t *slots, const uint8_t *src, size_t size, uint8_t *dst, uint32_t n);
#endif

/* ---- trellis.c ---- */

#if NCD_ENABLE_TRELLIS
ncd_status ncd_trellis_bind(const ncd_model *m, ncd_tensor *t);
void ncd_trellis_prepare(const ncd_tensor *t, uint32_t *workspace);

/* Levels of a tile, of 8 or 16 bits as t->mode says. */
ncd_status ncd_trellis_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *workspace);

#if NCD_TRELLIS_PREPARED
/* The same of a tensor whose tables are constants, at t->tables[0]; there is such a tile, or NCD_ERR_ARG. */
ncd_status ncd_trellis_prepared(const ncd_tensor *t, uint32_t tile, void *dst, size_t capacity);
#endif

#if NCD_TRELLIS_LANES > 1
enum { NCD_TRELLIS_TILES = 16 };

/* How many of so many tiles are best decoded together: at most NCD_TRELLIS_TILES. */
uint32_t ncd_trellis_together(const ncd_tensor *t, uint32_t tiles, const uint32_t *workspace);

/* `count` tiles, which are that many, from the first one on, of so many levels each, of 8 or 16 bits, one behind the other. */
ncd_status ncd_trellis_tiles(const ncd_tensor *t, uint32_t first, uint32_t count, const uint32_t *sizes, void *dst,
                             const uint32_t *workspace);
#endif
#endif

/* ---- regression.c ---- */

#if NCD_ENABLE_REGRESSION
ncd_status ncd_regression_bind(const ncd_model *m, ncd_tensor *t);

/* Fills a workspace of t->regression_workspace bytes, or of the t->regression_least that will do. */
ncd_status ncd_regression_prepare(const ncd_tensor *t, uint32_t *workspace, size_t size);

/* Levels of a tile, of 8 or 16 bits as t->mode says. A workspace of least size is written to, const or not. */
ncd_status ncd_regression_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const uint32_t *workspace);
#endif

/* ---- generative.c, generative_tile.c ---- */

#if NCD_ENABLE_GENERATIVE
ncd_status ncd_generative_bind(const ncd_model *m, ncd_tensor *t);
void ncd_generative_prepare(const ncd_tensor *t, void *workspace);

/* Levels of a tile, of 8 or 16 bits, or its elements, as t->mode says. Writes to the workspace. */
ncd_status ncd_generative_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const void *workspace);
#endif

/* ---- autoencoder.c ---- */

#if NCD_ENABLE_AUTOENCODER
ncd_status ncd_autoencoder_bind(const ncd_model *m, ncd_tensor *t);
size_t ncd_autoencoder_workspace(const ncd_tensor *t);

/* Only says whose workspace it is: each tile starts afresh. */
void ncd_autoencoder_prepare(const ncd_tensor *t, uint32_t *workspace);

/* Levels of a tile, of 8 or 16 bits as t->mode says. The workspace is written to, const or not. */
ncd_status ncd_autoencoder_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const void *workspace);
#endif

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

/* Reads the index of a shared object of this kind at the cursor, and gives the object, whose checksum is right. */
ncd_status ncd_model_shared(const ncd_model *m, ncd_cursor *c, uint32_t kind, ncd_cursor *object);

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
