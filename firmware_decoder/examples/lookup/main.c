/* y = W x with shared weights: inputs are summed by the index of their weight, and only the sums are multiplied, by the
 * centroids. A row of 16 centroids takes 16 multiplications, however long it is, and no weight is ever looked up.
 *
 * The weights are those of a tensor of codec kmeans with int8 centroids and one codebook. The same layer is computed with
 * the weights expanded, to compare results and instructions. */
#include "ncd.h"
#include "port.h"

extern const uint8_t model_stream[], model_stream_end[];

enum { MOST_ROWS = 64, MOST_COLUMNS = 512, TILE = 2048 };

static uint32_t workspace[NCD_HUFFMAN_WORKSPACE]; /* four times what a look-up takes: room for the slots of rANS */
static uint8_t tile[TILE];
static int8_t x[MOST_COLUMNS];
static int32_t by_sums[MOST_ROWS], by_products[MOST_ROWS];

/* Adds the products of one run of weights in a row. */
static int32_t sum_by_index(const uint8_t *index, const int8_t *input, uint32_t n, const uint8_t *centroids,
                            uint32_t count)
{
    int32_t sums[256];
    int32_t y = 0;
    uint32_t k;
    for (k = 0; k < count; ++k) {
        sums[k] = 0;
    }
    for (; n >= 4; n -= 4, index += 4, input += 4) {
        sums[index[0]] += input[0];
        sums[index[1]] += input[1];
        sums[index[2]] += input[2];
        sums[index[3]] += input[3];
    }
    for (; n > 0; --n) {
        sums[*index++] += *input++;
    }
    for (k = 0; k < count; ++k) {
        y += (int8_t)centroids[k] * sums[k];
    }
    return y;
}

static int32_t sum_products(const int8_t *weight, const int8_t *input, uint32_t n)
{
    int32_t y = 0;
    for (; n > 0; --n) {
        y += *weight++ * *input++;
    }
    return y;
}

/* The whole layer in one way or the other; `instructions` of the sums alone, without those of decoding. */
static ncd_status layer(const ncd_tensor *w, int expand, int32_t *y, uint32_t *instructions)
{
    const uint8_t *centroids;
    uint32_t count, i, r, row, column, rows, columns, from, to;
    ncd_status status = expand ? ncd_tensor_prepare(w, workspace, sizeof workspace)
                               : ncd_tensor_prepare_indices(w, workspace, sizeof workspace);
    *instructions = 0;
    for (i = 0; status == NCD_OK && i < w->tiles; ++i) {
        status = expand ? ncd_decode_tile_i8(w, i, (int8_t *)tile, sizeof tile, workspace)
                        : ncd_decode_tile_indices(w, i, tile, sizeof tile, workspace);
        if (status != NCD_OK || (status = ncd_tile_place(w, i, &row, &column, &rows, &columns)) != NCD_OK ||
            (status = ncd_codebook(w, row, &centroids, &count)) != NCD_OK) {
            return status;
        }
        from = port_counter();
        for (r = 0; r < rows; ++r) { /* whole rows, or, where a row is longer than a tile, a part of one */
            const uint8_t *const p = tile + r * columns;
            y[row + r] += expand ? sum_products((const int8_t *)p, x + column, columns)
                                 : sum_by_index(p, x + column, columns, centroids, count);
        }
        to = port_counter();
        *instructions += port_instructions(from, to);
    }
    return status;
}

int main(void)
{
    ncd_model model;
    ncd_tensor w;
    uint32_t i, sums, products;

    if (ncd_model_open(&model, model_stream, (size_t)(model_stream_end - model_stream)) != NCD_OK ||
        ncd_tensor_open(&model, 0, &w) != NCD_OK || w.codec != NCD_CODEC_KMEANS ||
        w.centroid_type != NCD_CENTROID_I8 || w.group_rows != 0 || w.rows > MOST_ROWS || w.cols > MOST_COLUMNS) {
        return PORT_FAILED;
    }
    for (i = 0; i < w.cols; ++i) {
        x[i] = (int8_t)((int)(i * 7u % 255u) - 127);
    }
    if (layer(&w, 0, by_sums, &sums) != NCD_OK || layer(&w, 1, by_products, &products) != NCD_OK) {
        return PORT_FAILED;
    }
    port_text("y=");
    for (i = 0; i < w.rows; ++i) {
        if (by_sums[i] != by_products[i]) {
            return PORT_FAILED;
        }
        port_text(i == 0 ? "" : " ");
        port_number(by_sums[i]);
    }
    port_text("\n");
    port_print("sums.per_weight_x100", sums * 100 / (w.rows * w.cols));
    port_print("products.per_weight_x100", products * 100 / (w.rows * w.cols));
    return PORT_OK;
}
