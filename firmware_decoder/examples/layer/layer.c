/* A fully connected layer whose weights stay coded in flash. One tile of them is in RAM at a time. */
#include "layer.h"

#include "fc.h"

static uint32_t tables[(FC_WORKSPACE + 3) / 4];
static int8_t tile[FC_TILE];

static ncd_status multiply(const ncd_tensor *w, const int8_t *x, int32_t *y)
{
    uint32_t i, r, c, row, column, rows, columns;
    ncd_status status = NCD_OK;

    for (i = 0; i < LAYER_ROWS; ++i) {
        y[i] = 0;
    }
    for (i = 0; status == NCD_OK && i < w->tiles; ++i) {
        if ((status = ncd_decode_tile_i8(w, i, tile, FC_TILE, tables)) != NCD_OK ||
            (status = ncd_tile_place(w, i, &row, &column, &rows, &columns)) != NCD_OK) {
            break;
        }
        for (r = 0; r < rows; ++r) { /* whole rows, or, where a row is longer than a tile, a part of one */
            for (c = 0; c < columns; ++c) {
                y[row + r] += (int32_t)tile[r * columns + c] * x[column + c];
            }
        }
    }
    return status;
}

ncd_status layer_run(const int8_t x[LAYER_COLUMNS], int32_t y[LAYER_ROWS])
{
    ncd_model model;
    ncd_tensor w;
    ncd_status status = ncd_model_open(&model, fc, FC_SIZE);

    if (status == NCD_OK) {
        status = ncd_tensor_open(&model, FC_FC_WEIGHT, &w);
    }
    if (status == NCD_OK && (w.rows != LAYER_ROWS || w.cols != LAYER_COLUMNS)) {
        status = NCD_ERR_CORRUPT;
    }
    if (status == NCD_OK) {
        status = ncd_tensor_prepare(&w, tables, sizeof tables);
    }
    return status == NCD_OK ? multiply(&w, x, y) : status;
}

void layer_example(int8_t x[LAYER_COLUMNS])
{
    uint32_t i;
    for (i = 0; i < LAYER_COLUMNS; ++i) {
        x[i] = (int8_t)((int)(i * 7u % 31u) - 15);
    }
}
