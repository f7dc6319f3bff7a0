/* Runs the adapter with just the scratch that it says a layer takes, each time in memory of its own, so that the sanitizer
 * sees every byte beyond; and with less, which it must refuse. The scratch that a case brings only says how many output
 * channels a convolution may take at a time. */
#include <stdlib.h>

#include "cmsis_nn.h"

ncd_status exact_linear(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out);
ncd_status exact_conv(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);
ncd_status exact_depthwise(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);

static uint32_t tile_size(const ncd_nn *nn, const ncd_nn_weights *weights)
{
    ncd_tensor t;
    if (weights->plain || ncd_tensor_open(&nn->model, weights->index, &t) != NCD_OK)
        return 0;
    return t.tile_size;
}

static ncd_nn with_scratch(const ncd_nn *nn, size_t size)
{
    ncd_nn made = *nn;
    made.scratch = malloc(size);
    made.scratch_size = size;
    if (!made.scratch)
        abort();
    return made;
}

/* Both layers that have the same struct, and the one that has not. */
#define RUN(function, size, refuses)                                           \
    do {                                                                       \
        const size_t enough = (size);                                          \
        ncd_nn given = with_scratch(nn, enough);                               \
        const ncd_status status = function(&given, layer, in, out);            \
        free(given.scratch);                                                   \
        if (status == NCD_OK && (refuses) && enough >= 4) {                    \
            given = with_scratch(nn, enough - 4);                              \
            if (function(&given, layer, in, out) != NCD_ERR_WORKSPACE)         \
                abort();                                                       \
            free(given.scratch);                                               \
            given = with_scratch(nn, enough);                                  \
            if (function(&given, layer, in, out) != NCD_OK)                    \
                abort();                                                       \
            free(given.scratch);                                               \
        }                                                                      \
        return status;                                                         \
    } while (0)

ncd_status exact_linear(const ncd_nn *nn, const ncd_nn_linear_s8 *layer, const int8_t *in, int8_t *out)
{
    RUN(ncd_cmsis_run_linear_s8, ncd_cmsis_linear_scratch(layer, tile_size(nn, &layer->weights)), 1);
}

ncd_status exact_conv(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    /* With one channel there is no way to make do with less. */
    const uint32_t channels = 1u + (uint32_t)(nn->scratch_size % (layer->window.out_c + 1u));
    RUN(ncd_cmsis_run_conv_s8, ncd_cmsis_conv_scratch(layer, tile_size(nn, &layer->weights), channels), channels == 1);
}

ncd_status exact_depthwise(const ncd_nn *nn, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    RUN(ncd_cmsis_run_depthwise_s8, ncd_cmsis_depthwise_scratch(layer, tile_size(nn, &layer->weights)), 1);
}
