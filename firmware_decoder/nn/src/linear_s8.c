/* Fully connected layer. */
#include "multiply.h"
#include "requantize.h"

typedef struct target {
    const ncd_nn_linear_s8 *layer;
    int8_t *out;
} target;

static void emit(void *to, uint32_t vector, uint32_t row, uint32_t count, const int32_t *sums)
{
    const target *const o = (const target *)to;
    const ncd_nn_requant *const q = &o->layer->requant;
    int8_t *const out = o->out + (size_t)vector * o->layer->weights.rows;
    for (; count > 0; --count, ++row) {
        const ncd_nn_output output = ncd_nn_output_of(q, row);
        ncd_nn_write_s8(sums++, 1, &output, &out[row], 0);
    }
}

ncd_status ncd_nn_run_linear_s8(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out)
{
    target o;
    o.layer = layer;
    o.out = out;
    if (layer->batch == 0)
        return NCD_ERR_ARG;
    return ncd_nn_multiply(nn, &layer->weights, ncd_nn_memory_of(nn), layer->requant.in_zero, layer->batch, in, emit, &o);
}
