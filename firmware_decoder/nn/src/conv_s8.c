/* Convolution. */
#include "conv_patch.h"
#include "conv_row.h"
#include "rows.h"

enum { PLAIN_ROWS = 16 }; /* that take a patch together */

ncd_status ncd_nn_run_conv_s8(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    ncd_nn_memory memory = ncd_nn_memory_of(nn);
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    int32_t one_sum;
    ncd_nn_conv c;
    ncd_nn_rows rows;
    ncd_status status;
    void *patches;
    size_t patch_size;
    uint32_t i, n, rows_at_once;
    if (!ncd_nn_conv_is_good(w, &layer->weights))
        return NCD_ERR_ARG;
    status = ncd_nn_rows_open(&rows, nn, &layer->weights, 1);
    if (status == NCD_OK)
        status = ncd_nn_rows_begin(&rows, &memory, taps);
    if (status != NCD_OK)
        return status;
    ncd_nn_conv_begin(&c, layer, in, out);
    if (c.channels > 1 || taps == 1) {
        c.tap_sums = taps == 1 ? &one_sum : (int32_t *)ncd_nn_take(&memory, 4 * (size_t)taps);
        if (!c.tap_sums)
            return NCD_ERR_WORKSPACE;
    }
    rows_at_once = layer->weights.plain ? (uint32_t)PLAIN_ROWS : rows.tensor.tile_rows;
    patch_size = rows_at_once > 0 ? ncd_nn_patch_size(layer, rows_at_once) : 0;
    patches = patch_size > 0 ? ncd_nn_take(&memory, patch_size) : NULL; /* goes without where there is no room */
    for (;;) {
        status = ncd_nn_rows_next(&rows);
        if (status != NCD_OK || rows.count == 0)
            return status;
        for (i = 0; i < rows.count; i += n) {
            const int8_t *const weights = (const int8_t *)rows.data + (size_t)i * layer->weights.cols;
            n = patches ? rows.count - i : 1;
            if (n > rows_at_once)
                n = rows_at_once;
            if (patches && n > 1)
                ncd_nn_patch_rows(&c, rows.row + i, n, weights, patches);
            else
                ncd_nn_conv_row(&c, rows.row + i, weights);
        }
    }
}
