/* A function of each value, by a table. */
#include "common.h"

ncd_status ncd_nn_run_table_s8(const ncd_nn_table_s8 *layer, const int8_t *in, int8_t *out)
{
    const int8_t *const table = layer->table;
    uint32_t i;
    if (!table)
        return NCD_ERR_ARG;
    for (i = 0; i < layer->size; ++i)
        out[i] = table[in[i] + 128];
    return NCD_OK;
}
