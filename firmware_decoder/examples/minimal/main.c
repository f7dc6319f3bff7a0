/* y = W x: a fully connected layer whose weights stay coded in flash. One tile of them is in RAM at a time. */
#include "ncd.h"
#include "port.h"

extern const uint8_t model_stream[], model_stream_end[];

enum { ROWS = 12, COLUMNS = 40 };

static uint32_t workspace[NCD_HUFFMAN_WORKSPACE / 4]; /* the code's look-up table */
static int8_t tile[512];                              /* as many weights as the encoder was told to put in a tile */

/* levels of W times x; the layer's output is y[row] * ncd_row_scale(&w, row) * (the scale of x). */
static ncd_status fully_connected(const ncd_tensor *w, const int8_t *x, int32_t *y)
{
    uint32_t i, r, c, row, column, rows, columns;
    ncd_status status;

    for (i = 0; i < w->tiles; ++i) {
        if ((status = ncd_decode_tile_i8(w, i, tile, sizeof tile, workspace)) != NCD_OK ||
            (status = ncd_tile_place(w, i, &row, &column, &rows, &columns)) != NCD_OK) {
            return status;
        }
        for (r = 0; r < rows; ++r) { /* whole rows, or, where a row is longer than a tile, a part of one */
            for (c = 0; c < columns; ++c) {
                y[row + r] += tile[r * columns + c] * x[column + c];
            }
        }
    }
    return NCD_OK;
}

int main(void)
{
    static int8_t x[COLUMNS];
    static int32_t y[ROWS];
    ncd_model model;
    ncd_tensor w;
    uint32_t index, i;

    for (i = 0; i < COLUMNS; ++i) {
        x[i] = (int8_t)((int)(i * 7u % 31u) - 15);
    }
    if (ncd_model_open(&model, model_stream, (size_t)(model_stream_end - model_stream)) != NCD_OK ||
        ncd_tensor_find(&model, "fc.weight", &index) != NCD_OK || ncd_tensor_open(&model, index, &w) != NCD_OK ||
        w.rows != ROWS || w.cols != COLUMNS || ncd_tensor_prepare(&w, workspace, sizeof workspace) != NCD_OK ||
        fully_connected(&w, x, y) != NCD_OK) {
        return PORT_FAILED;
    }
    port_text("y=");
    for (i = 0; i < ROWS; ++i) {
        port_text(i == 0 ? "" : " ");
        port_number(y[i]);
    }
    port_text("\n");
    return PORT_OK;
}
