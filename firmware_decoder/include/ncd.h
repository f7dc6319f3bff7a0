/* ncd: decodes neuralcodec model streams, tile by tile, on a microcontroller or a host.
 *
 * The stream is specified in docs/format.md. Portable C99, freestanding: memcpy and memset are all it wants.
 * The caller owns all memory; there is no malloc and no global that changes, so every function is reentrant.
 * Every read of the stream and every write of an output is bounds-checked: a hostile stream gives an error, never
 * an access outside the buffers. Decoding to levels and bytes uses integers only.
 *
 *     ncd_model m;  ncd_tensor t;  static uint32_t ws[MODEL_WORKSPACE / 4];  static int16_t w[MODEL_TILE];
 *     ncd_model_open(&m, blob, sizeof blob);
 *     ncd_tensor_find(&m, "fc.weight", &index);
 *     ncd_tensor_open(&m, index, &t);
 *     ncd_tensor_prepare(&t, ws, sizeof ws);                // builds the tables, once a tensor
 *     for (tile = 0; tile < t.tiles; ++tile)
 *         ncd_decode_tile_i16(&t, tile, w, MODEL_TILE, ws); // levels; weight = level * ncd_row_scale(&t, row)
 *
 * MODEL_...: of the header that `neuralcodec export-c model.c` writes beside the stream.
 * Where t.columns is set, tiles are of the transposed matrix: see ncd_tile_place.
 */
#ifndef NCD_H
#define NCD_H

#include <stddef.h>
#include <stdint.h>

#include <ncd_config.h> /* in brackets, so that a file of yours wins that is earlier on the include path */

#ifdef __cplusplus
extern "C" {
#endif

/* Values are ABI. docs/format.md section 8 says which cause gives which. */
typedef enum ncd_status {
    NCD_OK = 0,
    NCD_ERR_ARG = -1,         /* null pointer, index or tile out of range, wrong kind of tensor for the call */
    NCD_ERR_TRUNCATED = -2,   /* the stream is shorter than its header says */
    NCD_ERR_CORRUPT = -3,     /* the stream breaks a rule of the format */
    NCD_ERR_UNSUPPORTED = -4, /* newer version, reserved bit, or a codec that is not compiled in */
    NCD_ERR_CAPACITY = -5,    /* the output buffer is too small */
    NCD_ERR_WORKSPACE = -6,   /* the workspace is too small or not aligned to 4 bytes */
    NCD_ERR_CHECKSUM = -7     /* a crc32 does not match */
} ncd_status;

/* Codec numbers and dtype numbers of docs/format.md section 9. */
enum { NCD_CODEC_TIED = 0, NCD_CODEC_RAW = 1, NCD_CODEC_HUFFMAN = 2, NCD_CODEC_KMEANS = 3, NCD_CODEC_TRELLIS = 4,
       NCD_CODEC_AUTOENCODER = 5, NCD_CODEC_GENERATIVE = 6, NCD_CODEC_REGRESSION = 7, NCD_CODEC_NAMED = 255 };
/* Version of the prior of codec generative, section 15.4. */
enum { NCD_GENERATIVE_VERSION = 1 };
/* Types of centroids, section 10.1. */
enum { NCD_CENTROID_F32 = 0, NCD_CENTROID_F16 = 1, NCD_CENTROID_BF16 = 2, NCD_CENTROID_I8 = 3 };
enum {
    NCD_F32 = 1, NCD_F16 = 2, NCD_BF16 = 3, NCD_F64 = 4, NCD_I8 = 5, NCD_U8 = 6, NCD_I16 = 7, NCD_I32 = 8,
    NCD_I64 = 9, NCD_BOOL = 10, NCD_F8_E4M3FN = 11, NCD_F8_E5M2 = 12, NCD_U16 = 13, NCD_U32 = 14, NCD_U64 = 15,
    NCD_COMPLEX64 = 16
};

/* An opened model stream. Fields are read-only for the caller. */
typedef struct ncd_model {
    const uint8_t *blob;
    size_t size;            /* of the whole stream */
    const uint8_t *records; /* of the tensors */
    const uint8_t *end;     /* of the header; shared objects start here */
    size_t payloads;        /* where payloads start, from the start of the stream */
    uint32_t n_tensors;
    uint8_t has_names;
#if NCD_FULL_CHECK
    size_t available;       /* bytes at blob */
#endif
} ncd_model;

/* One entry of the directory. */
typedef struct ncd_record {
    uint8_t codec, dtype, ndim, codec_name_size;
    uint32_t index;
    uint32_t tied_to;          /* with codec NCD_CODEC_TIED: the other tensor's index, else its own index */
    uint32_t rows, cols;       /* matrix view, docs/format.md section 4 */
    uint32_t payload_crc;
    size_t payload_offset;     /* from the start of the stream */
    size_t payload_size;
    const uint8_t *next;       /* the record after this one */
    const uint8_t *dims;       /* ndim varints */
    const uint8_t *codec_name;
    const uint8_t *name_suffix; /* the name is the first name_prefix bytes of the name before, then these */
    uint32_t name_prefix;
    uint32_t name_suffix_size;
} ncd_record;

/* Whether levels may have 16 bits, go down the columns, and have scales of columns. */
#define NCD_HAS_COLUMNS (NCD_ENABLE_TRELLIS || NCD_ENABLE_AUTOENCODER || NCD_ENABLE_GENERATIVE)

#if NCD_ENABLE_LOSSLESS
#define NCD_TABLES NCD_MAX_PLANES
#else
#define NCD_TABLES 1
#endif

/* An opened tensor: where its payload is and how it is cut. Fields are read-only for the caller. */
typedef struct ncd_tensor {
    uint8_t codec, dtype, elem_size;
    uint8_t mode;                  /* what a tile holds: 0 levels, 1 element bytes, 2 indices into a codebook, 3 levels
                                    * of 16 bits */
    uint16_t tile_rows, tile_cols; /* a full tile; the last ones may be smaller */
    uint16_t tile_size;            /* weights in a full tile: room that a tile's output needs */
    /* private to the codec */
    uint8_t size_width;            /* tile index: W of docs/format.md section 4.1 */
    uint8_t scale_width;           /* bits of a row's scale code; 0: no row scales */
    /* public again */
    uint32_t rows, cols;           /* the tensor as a matrix */
    uint32_t tiles;
    uint32_t payload_crc;
    const uint8_t *payload, *end;
    /* private to the codec */
    uint32_t per_row;                     /* tiles that a row is cut in, or 1 */
    const uint8_t *index;                 /* tile index, from the offsets on; null where one tile has all data */
    const uint8_t *data;                  /* up to the end of the payload */
    uint32_t size_min;                    /* least size of a tile */
    uint32_t step_bits;                   /* the f32 step, as stored */
    const uint8_t *scales;
    const uint8_t *tables[NCD_TABLES];    /* code tables of the coded planes; of the levels or indices */
#if NCD_ENABLE_KMEANS
    const uint8_t *book;                  /* first codebook */
    const uint8_t *map;                   /* the codebook whose levels look-ups give in place of indices, or null */
    uint32_t group_rows;                  /* rows that have a codebook of their own; 0: all have the same */
    uint16_t centroids;                   /* of a codebook */
    uint8_t centroid_type, coding;
    uint8_t is_constant, constant;        /* whether all indices are the same one */
#endif
#if NCD_HAS_COLUMNS
    /* Whether the matrix is taken down its columns: rows and cols are then those of the transposed matrix, whose rows are
     * the tensor's columns, and so are the tiles. Public. */
    uint8_t columns;
    uint8_t column_scale_width;           /* private: as scale_width and scales, of the tensor's columns */
    uint8_t zeros;                        /* private: all levels are 0 */
    uint8_t center;                       /* private: codec generative, what is added to levels that are bytes */
    const uint8_t *column_scales;
    const uint8_t *model_end;             /* private */
#if NCD_TRELLIS_SKIP
    const uint8_t *coded_rows;            /* private: codec trellis, a bit for each 2^rows_log2 rows of the matrix, 0 where all
                                           * levels are 0 and have no data; or null */
    uint8_t rows_log2;
#endif
#if NCD_ENABLE_GENERATIVE
    const uint8_t *tuned;                 /* private: shared object that changes the prior, up to model_end; or null */
#endif
    uint32_t model_workspace;             /* private: bytes that the tables take */
#if NCD_TRELLIS_INDEX_LOG2 > 4
    uint32_t least_workspace;             /* private: what they take in firmware: 4 bits of index, one tile at a time */
    uint8_t least_kind;                   /* private: which kind of tables these are */
#endif
#endif
#if NCD_ENABLE_AUTOENCODER
    const uint8_t *model, *predictor;     /* private: the model; lags and coefficients */
    int32_t bias;                         /* private: of the predictor, in 64ths of a level */
    uint16_t period;                      /* private: places in a kernel, or 0 */
    uint8_t model_index, taps, fraction_bits; /* private: class, coefficients, log2 of levels between residuals */
#endif
#if NCD_ENABLE_REGRESSION
    /* private: what codec regression infers weights from */
    uint8_t regressor, replaces, fraction, stored_wide, stored_codec, residual_codec;
    const uint8_t *params;                            /* of the regressor, up to data */
    const uint8_t *stored, *stored_end;               /* payload of the stored rows, or null */
    const uint8_t *residual, *residual_end;           /* payload of the residual, or null */
    uint32_t stored_rows;
    uint32_t stored_tables, residual_tables;          /* bytes */
    uint32_t regression_workspace, regression_least; /* bytes, with all stored rows and with one tile of them */
#endif
} ncd_tensor;

/* Checks the fixed part, the checksum of the header and the whole directory.
 * blob: the stream, any alignment; it must stay in place while the model is used. size: its bytes, exactly. */
ncd_status ncd_model_open(ncd_model *m, const void *blob, size_t size);

#if NCD_FULL_CHECK
/* The same where only the first `available` bytes (header and shared objects at least) are in memory and the payloads
 * come from elsewhere, as on a host that reads them from a file one by one. */
ncd_status ncd_model_open_header(ncd_model *m, const void *bytes, size_t available, size_t size);
#endif

/* Walks the directory: first with r->next null, then with the record of the call before.
 * NCD_ERR_ARG after the last record. */
ncd_status ncd_record_next(const ncd_model *m, ncd_record *r);

/* Opens the tensor of a record whose payload lies at `payload` (r->payload_size bytes). The record must not be tied. */
ncd_status ncd_tensor_bind(const ncd_model *m, const ncd_record *r, const uint8_t *payload, ncd_tensor *t);

/* Opens tensor `index`, following a tie. Takes time proportional to index. */
ncd_status ncd_tensor_open(const ncd_model *m, uint32_t index, ncd_tensor *t);

/* Finds a tensor by its name (UTF-8, zero-terminated). NCD_ERR_ARG: no such name, or the stream has no names. */
ncd_status ncd_tensor_find(const ncd_model *m, const char *name, uint32_t *index);

/* Compares the payload's crc32. Optional: decoding is memory-safe without it, but may then give wrong weights. */
ncd_status ncd_tensor_check(const ncd_tensor *t);

/* Bytes of workspace that ncd_tensor_prepare wants; 0 for codecs without tables. 4-byte aligned memory. */
size_t ncd_tensor_workspace(const ncd_tensor *t);

/* The least that it takes. It is less for tensors of codec regression whose rows are sums of stored rows: at this size
 * there is room for one tile of the stored rows and for sums, and each tile of the tensor has those tiles of the stored
 * rows decoded anew that it needs, which takes a multiple of the time. Sizes between the two keep as many of them as there
 * is room for. */
size_t ncd_tensor_least_workspace(const ncd_tensor *t);

/* Fills the workspace with the tensor's tables. Tensors that share all tables may share a prepared workspace. Of codec
 * regression it decodes the stored rows, too, where there is room, and may find that their data are CORRUPT. */
ncd_status ncd_tensor_prepare(const ncd_tensor *t, void *workspace, size_t size);

/* Where a tile lies in the matrix; where t->columns is set, in the transposed one: then the element (r, c) of the tile belongs to
 * row col + c and column row + r of the tensor. */
ncd_status ncd_tile_place(const ncd_tensor *t, uint32_t tile, uint32_t *row, uint32_t *col, uint32_t *rows,
                          uint32_t *cols);

/* Decodes one tile to levels (lossy tensors) or to int8 weights (tensors of dtype i8).
 * capacity: room at dst, in weights; t->tile_size always suffices. workspace: as prepared, may be null where none is
 * needed; codecs autoencoder and generative write to it, and regression does to one that is smaller than it wants, so that
 * one call at a time may use it. On an error the content of dst is undefined, but nothing is written outside it. */
ncd_status ncd_decode_tile_i8(const ncd_tensor *t, uint32_t tile, int8_t *dst, size_t capacity, const void *workspace);

/* Tiles first .. last-1, one behind the other; the same as one call for each, and faster with NCD_TRELLIS_LANES. */
ncd_status ncd_decode_tiles_i8(const ncd_tensor *t, uint32_t first, uint32_t last, int8_t *dst, size_t capacity,
                               const void *workspace);

#if NCD_HAS_COLUMNS
/* The same where levels have 16 bits (t->mode is 3). Levels of 8 bits are widened. */
ncd_status ncd_decode_tile_i16(const ncd_tensor *t, uint32_t tile, int16_t *dst, size_t capacity, const void *workspace);

#if NCD_TRELLIS_LANES > 1
/* Tiles first .. last-1, as ncd_decode_tiles_i8. */
ncd_status ncd_decode_tiles_i16(const ncd_tensor *t, uint32_t first, uint32_t last, int16_t *dst, size_t capacity,
                                const void *workspace);
#endif
#endif

/* Decodes one tile of a losslessly coded or raw tensor to its element bytes, little-endian. capacity in bytes. */
ncd_status ncd_decode_tile_bytes(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                 const void *workspace);

#if NCD_ENABLE_FLOAT
/* The float that multiplies the levels or centroids of a row of the tensor; 1 where centroids are weights. */
float ncd_row_scale(const ncd_tensor *t, uint32_t row);

#if NCD_HAS_COLUMNS
/* What multiplies the weights of a column of the tensor besides; 1 where there are no column scales. */
float ncd_column_scale(const ncd_tensor *t, uint32_t col);
#endif

/* Decodes one tile to f32 weights: levels or centroids times their row's scale, or the elements of an f32 tensor.
 * capacity in weights. Works in place, without a second buffer. */
ncd_status ncd_decode_tile_f32(const ncd_tensor *t, uint32_t tile, float *dst, size_t capacity, const void *workspace);
#endif

#if NCD_ENABLE_KMEANS
/* Tensors of codec kmeans, for kernels that look up products instead of weights: decodes one tile to indices. The
 * workspace is prepared by ncd_tensor_prepare_indices; with centroids of type NCD_CENTROID_I8 the tables of
 * ncd_tensor_prepare give levels at once. capacity: room at dst, in indices. */
ncd_status ncd_tensor_prepare_indices(const ncd_tensor *t, void *workspace, size_t size);
ncd_status ncd_decode_tile_indices(const ncd_tensor *t, uint32_t tile, uint8_t *dst, size_t capacity,
                                   const void *workspace);

/* The codebook of a row: t->centroid_type says what its `count` entries are, little-endian, in the stream. Every index
 * is below count. */
ncd_status ncd_codebook(const ncd_tensor *t, uint32_t row, const uint8_t **centroids, uint32_t *count);
#endif

/* crc32 as in docs/format.md section 1; start with crc = 0, feed pieces in order. */
uint32_t ncd_crc32(uint32_t crc, const void *data, size_t size);

#ifdef __cplusplus
}
#endif
#endif
