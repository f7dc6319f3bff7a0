/* Fully connected layer of floats. */
#include "multiply_f32.h"

#if NCD_ENABLE_FLOAT

typedef struct output {
    const ncd_nn_linear_f32 *layer;
    float *out;
} output;

static void emit(void *to, uint32_t vector, uint32_t row, uint32_t count, const float *sums)
{
    const output *const o = (const output *)to;
    const ncd_nn_affine *const a = &o->layer->affine;
    float *const out = o->out + (size_t)vector * o->layer->weights.rows;
    for (; count > 0; --count, ++row) {
        const float sum = *sums++ * (a->scale ? a->scale[row] : 1.0f) + (a->bias ? a->bias[row] : 0.0f);
        out[row] = ncd_nn_clamp_f32(sum, a->min, a->max);
    }
}

ncd_status ncd_nn_run_linear_f32(const ncd_nn *nn, const ncd_nn_linear_f32 *layer, const float *in, float *out)
{
    output o;
    o.layer = layer;
    o.out = out;
    if (layer->batch == 0)
        return NCD_ERR_ARG;
    return ncd_nn_multiply_f32(nn, &layer->weights, ncd_nn_memory_of(nn), layer->batch, in, emit, &o);
}

#endif
