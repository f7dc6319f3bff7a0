/* Brings a layer's weights: opens the tensor, prepares its tables, and decodes it tile by tile, either in whole rows in the
 * order that kernels read them, or in pieces as they are. Weights in flash come the same way. */
#ifndef NCD_NN_ROWS_H
#define NCD_NN_ROWS_H

#include "common.h"

typedef struct ncd_nn_rows {
    /* What ncd_nn_rows_next or ncd_nn_pieces_next brought: `count` rows from `row` on, of them `width` columns from `col`
     * on; count 0: there is no more. */
    const void *data;
    uint32_t row, count, col, width;
    /* private */
    uint32_t left;                /* rows of the tile that have not been brought in order yet */
    uint32_t tile;                /* the next one */
    uint32_t taps, channels;      /* of a row; one tap: rows come as they are */
    uint32_t size;                /* bytes of a weight */
    const ncd_nn_weights *weights;
    const ncd_nn *nn;
    uint8_t *decoded, *ordered;   /* a tile, a row */
    ncd_tensor tensor;
} ncd_nn_rows;

/* Longest row whose sum of products of int8 fits into int32 for sure. */
enum { NCD_NN_COLS_MAX = 131071 };

/* Opens the tensor and prepares its tables. size: 1 brings int8 and 4 float.
 * CORRUPT: it has another shape. UNSUPPORTED: it has no int8 levels. */
ncd_status ncd_nn_rows_open(ncd_nn_rows *r, const ncd_nn *nn, const ncd_nn_weights *weights, uint32_t size);

/* Whether the tensor is coded down its columns: pieces are then those of the transposed matrix. */
static inline int ncd_nn_rows_are_columns(const ncd_nn_rows *r)
{
#if NCD_HAS_COLUMNS
    return !r->weights->plain && r->tensor.columns;
#else
    (void)r;
    return 0;
#endif
}

/* Whether a tile is less than a row. */
static inline int ncd_nn_rows_are_cut(const ncd_nn_rows *r)
{
    return !r->weights->plain && r->tensor.tile_cols < r->tensor.cols;
}

/* Takes memory for whole rows of `taps` kernel places. UNSUPPORTED: the tensor is coded down its columns. */
ncd_status ncd_nn_rows_begin(ncd_nn_rows *r, ncd_nn_memory *memory, uint32_t taps);

/* The next whole rows, [tap][channel]. */
ncd_status ncd_nn_rows_next(ncd_nn_rows *r);

/* Takes memory for pieces. */
ncd_status ncd_nn_pieces_begin(ncd_nn_rows *r, ncd_nn_memory *memory);

/* The next tile as it is. */
ncd_status ncd_nn_pieces_next(ncd_nn_rows *r);

#endif
